"""n-grams against plain loops over strings, for our features and for the reference's.

The reference is `get_ngram_counts` of data-selection 1.0.2, reimplemented with `regex` and `hashlib`. Its tokens are
NLTK's WordPunct expression (3.10, on `regex`). The benchmark `dsir --reference` compares with the package itself.
"""

import hashlib
from collections import Counter

import numpy as np
import polars as pl
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infinity_assets.rows.text import tokens
from infinity_assets.selection.dsir.features import ngrams
from infinity_assets.selection.dsir.kernels import sha256_modulo
from infinity_assets.settings.foundation import Dsir
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(100), deadline=None)
TEXTS = st.lists(st.none() | st.text(max_size=40) | st.text("aB '.,3 数学_\n", max_size=60), max_size=6)
ORDERS = st.integers(1, 4)
BUCKETS = st.integers(1, 20_000)


def runs(words: list[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1)]


def reference(text: str | None, order: int, buckets: int) -> Counter[int]:
    words = regex.findall(r"\w+|[^\w\s]+", (text or "").lower())
    return Counter(int(hashlib.sha256(" ".join(run).encode()).hexdigest(), 16) % buckets for run in runs(words, order))


@FEW
@given(texts=TEXTS, order=ORDERS, buckets=BUCKETS)
@example(["Don't STOP!! naïve_ẞ İ Σας हिन्दी ไทย ½²٣ 数学题，好。\x1c\u200d👍🏽 e\u0301"], 2, 10_000)
@example(["word " * 300 + "x" * 500, None, ""], 3, 7)
def test_reference_features_equal_the_packages(texts: list, order: int, buckets: int) -> None:
    grams = ngrams(pl.Series(texts, dtype=pl.String), Dsir(features="reference", ngram=order, buckets=buckets))
    own = [Counter(part.tolist()) for part in np.split(grams.buckets, grams.offsets[1:-1])] if texts else []
    assert own == [reference(text, order, buckets) for text in texts]
    assert grams.tokens.tolist() == [len(regex.findall(r"\w+|[^\w\s]+", (text or "").lower())) for text in texts]


@FEW
@given(message=st.binary(max_size=200), modulus=st.integers(1, 2**24))
@example(b"", 10_000)
@example(b"x" * 55, 2**24)
@example(b"x" * 56, 2**24)
@example(b"x" * 64, 2**24)
def test_sha256_modulo_equals_hashlib(message: bytes, modulus: int) -> None:
    buffer = np.frombuffer(message + bytes(72), np.uint8).copy()
    assert sha256_modulo(buffer, len(message), modulus) == int(hashlib.sha256(message).hexdigest(), 16) % modulus


@FEW
@given(texts=TEXTS, order=ORDERS)
def test_words_are_our_tokens_and_only_equal_runs_share_a_bucket(texts: list, order: int) -> None:
    """In 2^24 buckets the few runs do not collide, not even `a b`, `b a` and `ab`."""
    series = pl.Series("text", texts, dtype=pl.String)
    grams = ngrams(series, Dsir(ngram=order, buckets=2**24))
    lists = series.fill_null("").to_frame().select(tokens(pl.col("text"))).to_series().to_list()
    assert grams.tokens.tolist() == [len(words) for words in lists]
    assert np.diff(grams.offsets).tolist() == [len(runs(words, order)) for words in lists]
    # The kernel orders runs by first token, then by length.
    listed = [tuple(w[i : i + n]) for w in lists for i in range(len(w)) for n in range(1, min(order, len(w) - i) + 1)]
    pairs = sorted(set(zip(listed, grams.buckets.tolist(), strict=True)))
    assert len(pairs) == len(set(listed)) == len({bucket for _, bucket in pairs})


@FEW
@given(
    words=st.lists(st.integers(0, 10**6).map(str), min_size=400, max_size=400, unique=True), buckets=st.integers(1, 8)
)
def test_n_grams_spread_evenly_over_the_buckets(words: list[str], buckets: int) -> None:
    for features in ("words", "reference"):
        dsir = Dsir.model_validate({"features": features, "buckets": buckets, "ngram": 2})
        grams = ngrams(pl.Series([" ".join(words)]), dsir)
        counts = np.bincount(grams.buckets, minlength=buckets)
        expected = (2 * len(words) - 1) / buckets
        assert len(counts) == buckets
        assert np.abs(counts - expected).max() < 8 * expected**0.5
