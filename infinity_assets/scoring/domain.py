"""The domain of a row, for sources that do not name one: math, code, knowledge or chat.

math       asks for a calculation, a proof, an equation or a number that has to be worked out.
code       asks for a program, a query, a command or markup, or about programming and its tools.
knowledge  has an answer that the world or a given text makes right or wrong: facts, explanations, established
           procedures, reading comprehension, summary, extraction, classification, multiple choice; a passage of facts.
chat       everything open: conversation, small talk, advice and ideas, role play, stories and other writing,
           translation and editing.

A linear model over hashed words and characters decides. `infinity_assets_tests/benchmarks/train_domain.py` trains its
weights; docs/language_and_domain.md documents the training data and the accuracy.
"""

import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.rows.domains import DOMAINS

WEIGHTS = Path(__file__).with_name("domain.npz")
"""File of the model. weights: int8, shape (buckets, domains). scale and bias: unit of weights and bias, by domain."""

_BITS = 16
BUCKETS = 2**_BITS
_HEAD = 400
_TAIL = 200
_ANSWER = 200
"""Number of characters read from the start of the prompt, from its end (where long prompts put the request), and from
the start of the answer."""
_LONGEST_RUN = 3
"""Maximum number of consecutive tokens in a feature."""
_ROWS = 1000
"""Number of rows per batch, small enough for their arrays to stay in the processor's cache."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BASE_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))
_RUN = np.uint64(0xD1342543DE82EF95)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_NOTHING, _ALONE, _WORD, _NUMBER = np.arange(4, dtype=np.uint8)


def classify(prompt: pl.Expr, answer: pl.Expr) -> pl.Expr:
    """Return the domain of a row from its user turns and its answer. Either may be null; if both are empty, `chat`."""
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
    indices = np.concatenate(best) if best else np.empty(0, np.int64)
    return pl.Series(rows.name, indices).replace_strict(dict(enumerate(DOMAINS)), return_dtype=pl.String)


def features(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Hash the features of every row into buckets.

    Features are runs of one to three tokens, and the first one and the first two tokens of a prompt. Prompts and
    answers have separate features. A token is a word, a number (all numbers are one token), one character of a script
    without spaces, or one sign. Hashes are polynomials of the code points modulo 2^64, and thus equal on every machine.

    Args:
        rows: Columns prompt and answer, either of which may be null.

    Returns:
        The bucket of every occurrence of a feature, and the index of the row in which it occurs.
    """
    prompt = pl.col("prompt").cast(pl.String).fill_null("")
    answer = pl.col("answer").cast(pl.String).fill_null("")
    length = prompt.str.len_chars().cast(pl.Int64)
    excerpts = rows.select(
        prompt.str.slice(0, _HEAD).alias("head"),
        prompt.str.tail((length - _HEAD).clip(0, _TAIL)).alias("tail"),
        answer.str.slice(0, _ANSWER).alias("answer"),
    )
    head, tail, answers = excerpts
    parts = [_runs(head, salt=1, begin=2), _runs(tail, salt=1), _runs(answers, salt=3)]
    buckets, owner = (np.concatenate(each) for each in zip(*parts, strict=True))
    return buckets, owner


def _runs(texts: pl.Series, salt: int, begin: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    hashes, owner = _tokens(texts)
    buckets = []
    owners = []
    run = np.zeros(len(hashes), np.uint64)
    for size in range(1, _LONGEST_RUN + 1):
        run = run[: len(hashes) - size + 1] * _RUN + hashes[size - 1 :]
        whole = owner[: len(run)] == owner[size - 1 :]
        buckets.append(_bucket(run[whole], salt))
        owners.append(owner[: len(run)][whole])
        if begin is not None and size < _LONGEST_RUN:
            first = whole & np.diff(owner[: len(run)], prepend=-1).astype(bool)
            buckets.append(_bucket(run[first], begin))
            owners.append(owner[: len(run)][first])
    return np.concatenate(buckets), np.concatenate(owners)


def _bucket(hashes: np.ndarray, salt: int) -> np.ndarray:
    mixed = (hashes + np.uint64(salt)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    return ((mixed * _MIX) >> np.uint64(64 - _BITS)).astype(np.int64)


def _tokens(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of every token, in reading order, and the index of its text."""
    lower = texts.str.to_lowercase().to_list()
    points = np.frombuffer("\n".join([*lower, ""]).encode("utf-32-le", "replace"), np.uint32)
    kinds = _kinds()[np.minimum(points, 0xFFFF)]
    before = np.append(_NOTHING, kinds[:-1])
    after = np.append(kinds[1:], _NOTHING)
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
    """Return the kind of token of each code point below 2^16; 0 for spaces and control characters."""
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
    """Return one array of weights per domain, and the biases."""
    with np.load(WEIGHTS) as stored:
        return list((stored["weights"] * stored["scale"]).T.copy()), stored["bias"]
