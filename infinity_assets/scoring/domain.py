"""The domain of a row, for sources that do not name one: math, code, knowledge or chat.

math       asks for a calculation, a proof, an equation or a number that has to be worked out.
code       asks for a program, a query, a command or markup, or about programming and its tools.
knowledge  has an answer that is right or wrong by the world or by a given text: facts, explanations, how something known is done, reading
           comprehension, summary, extraction, classification, choice among options; a passage of facts.
chat       everything open: conversation, small talk, advice and ideas, role play, stories and other writing, translation and editing.

A linear model over hashed words and characters decides; `infinity_assets_tests/benchmarks/train_domain.py` makes its weights. What it was
trained on and how often it is right: docs/language_and_domain.md.
"""

import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.rows.domains import DOMAINS

WEIGHTS = Path(__file__).with_name("domain.npz")
"""weights: int8, buckets x domains. scale: what one step of a domain's column is worth. bias: one per domain."""

_BITS = 16
BUCKETS = 2**_BITS
_HEAD, _TAIL, _ANSWER = 400, 200, 200
"""Characters read: the beginning and the end of the prompt, the beginning of the answer. Requests stand at either end of a long prompt."""
_LONGEST_RUN = 3
"""Tokens in a row that make a feature, at most."""
_ROWS = 1000
"""Rows at a time: their arrays stay in the cache."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BASE_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))
_RUN, _MIX = np.uint64(0xD1342543DE82EF95), np.uint64(0xBF58476D1CE4E5B9)
_NOTHING, _ALONE, _WORD, _NUMBER = np.arange(4, dtype=np.uint8)


def classify(prompt: pl.Expr, answer: pl.Expr) -> pl.Expr:
    """The domain, from the user turns and the answer; either may be null. `chat` where both are empty."""
    return pl.struct(prompt.alias("prompt"), answer.alias("answer")).map_batches(
        _classify, return_dtype=pl.String, is_elementwise=True
    )


def _classify(rows: pl.Series) -> pl.Series:
    frame = rows.struct.unnest()
    weights, bias = _model()
    best = []
    for chunk in frame.iter_slices(_ROWS):
        buckets, owner = features(chunk)
        counts = np.maximum(np.bincount(owner, minlength=chunk.height), 1)
        sums = [np.bincount(owner, column[buckets], minlength=chunk.height) for column in weights]
        scores = np.stack(sums, axis=1) / np.sqrt(counts)[:, None] + bias
        best.append(np.where(np.isin(np.arange(chunk.height), owner), scores.argmax(axis=1), DOMAINS.index("chat")))
    found = np.concatenate(best) if best else np.empty(0, np.int64)
    return pl.Series(rows.name, found).replace_strict(dict(enumerate(DOMAINS)), return_dtype=pl.String)


def features(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The buckets of the features of every row, a bucket as often as it occurs, and which row each belongs to.

    Features are runs of one to three tokens, and the one and two tokens a prompt begins with; those of answers are apart from those of prompts.
    A token is a word, a number whatever its digits, one character of a script without spaces, or one sign. Hashes are polynomials modulo
    2^64 of the code points: the same on every machine and with every version of every library.

    Args:
        rows: Columns prompt and answer, both may be null.
    """
    prompt, answer = pl.col("prompt").cast(pl.String).fill_null(""), pl.col("answer").cast(pl.String).fill_null("")
    length = prompt.str.len_chars().cast(pl.Int64)
    excerpts = rows.select(
        prompt.str.slice(0, _HEAD).alias("head"),
        prompt.str.tail((length - _HEAD).clip(0, _TAIL)).alias("tail"),
        answer.str.slice(0, _ANSWER).alias("answer"),
    )
    parts = [
        _runs(excerpts["head"], salt=1, begin=2),
        _runs(excerpts["tail"], salt=1),
        _runs(excerpts["answer"], salt=3),
    ]
    buckets, owner = (np.concatenate(each) for each in zip(*parts, strict=True))
    return buckets, owner


def _runs(texts: pl.Series, salt: int, begin: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    hashes, owner = _tokens(texts)
    found, owners = [], []
    run = np.zeros(len(hashes), np.uint64)
    for size in range(1, _LONGEST_RUN + 1):
        run = run[: len(hashes) - size + 1] * _RUN + hashes[size - 1 :]
        whole = owner[: len(run)] == owner[size - 1 :]
        found.append(_bucket(run[whole], salt))
        owners.append(owner[: len(run)][whole])
        if begin is not None and size < _LONGEST_RUN:
            first = whole & np.diff(owner[: len(run)], prepend=-1).astype(bool)
            found.append(_bucket(run[first], begin))
            owners.append(owner[: len(run)][first])
    return np.concatenate(found), np.concatenate(owners)


def _bucket(hashes: np.ndarray, salt: int) -> np.ndarray:
    mixed = (hashes + np.uint64(salt)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    return ((mixed * _MIX) >> np.uint64(64 - _BITS)).astype(np.int64)


def _tokens(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Hash and place of the text of every token, in the order in which they stand."""
    lower = texts.str.to_lowercase().to_list()
    points = np.frombuffer("\n".join([*lower, ""]).encode("utf-32-le", "replace"), np.uint32)
    kinds = _kinds()[np.minimum(points, 0xFFFF)]
    before, after = np.append(_NOTHING, kinds[:-1]), np.append(kinds[1:], _NOTHING)
    inside = kinds > 0
    starts = np.flatnonzero(inside & ((kinds == _ALONE) | (kinds != before)))
    ends = np.flatnonzero(inside & ((kinds == _ALONE) | (kinds != after))) + 1
    powers, inverse = _powers(1 << len(points).bit_length())
    sums = np.append(np.uint64(0), np.cumsum(points * powers[: len(points)]))
    hashes = np.where(
        kinds[starts] == _NUMBER, _NUMBER.astype(np.uint64), (sums[ends] - sums[starts]) * inverse[starts]
    )
    ends_of_texts = np.cumsum([len(text) + 1 for text in lower])
    return hashes, np.searchsorted(ends_of_texts, starts, side="right")


@lru_cache(2)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.cumprod(np.full(count, _BASE)), np.cumprod(np.full(count, _BASE_INVERSE))


@cache
def _kinds() -> np.ndarray:
    """Per code point of the first plane: 0 for spaces and controls, else what kind of token it belongs to."""
    kinds = np.full(0x10000, _ALONE, np.uint8)
    for point in range(0x10000):
        category = unicodedata.category(chr(point))
        if category == "Nd":
            kinds[point] = _NUMBER
        elif category[0] == "L" or category[0] == "M":
            kinds[point] = _WORD
        elif category[0] in "ZC":
            kinds[point] = 0
    for first, last in ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3000, 0x9FFF), (0xF900, 0xFAFF)):
        unspaced = kinds[first : last + 1]
        unspaced[unspaced == _WORD] = _ALONE
    kinds[0xFFFF] = _ALONE
    return kinds


@cache
def _model() -> tuple[list[np.ndarray], np.ndarray]:
    """One column of weights per domain, and the biases."""
    with np.load(WEIGHTS) as stored:
        return list((stored["weights"] * stored["scale"]).T.copy()), stored["bias"]
