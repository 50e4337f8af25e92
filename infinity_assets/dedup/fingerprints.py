"""Fingerprints of rows (content hashes and a MinHash signature), so that de-duplication reads every text only once.

The content hash finds exact duplicates. For near-duplicates (MinHash: Broder 1997; banded for LSH: Leskovec, Rajaraman
and Ullman, Mining of Massive Datasets, ch. 3) a row is represented by the set of its shingles: runs of consecutive
tokens within a turn. A token is a word or one CJK character, so that the method suits Chinese as well as English.
System turns are left out: a long system prompt that a source repeats would make all of its rows alike. Columns:

    shingles   the set, as 31-bit hashes, for the exact Jaccard similarity
    sketch     512 bits; each is the parity of the number of shingles that hash to it. If two sketches differ in n bits,
               at least n shingles belong to only one of the rows. This settles most comparisons without the shingles
               (Sandes, Teodoro and de Melo, "Bitmap filter", Information Systems 2020)
    keys       one number per band of the MinHash signature; only rows that share a key are compared
"""

import sys
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from infinity_assets.rows.token_hashes import character_tables, to_nfkc, to_utf8
from infinity_assets.rows.words import load_words
from infinity_assets.settings import Near

PLACE = ["source", "file", "position"]
"""The columns that identify a record."""

ROLES = ("system", "user", "assistant")

_LOOKS = frozenset(
    (
        "<wide>",
        "<narrow>",
        "<small>",
        "<vertical>",
        "<noBreak>",
        "<initial>",
        "<medial>",
        "<final>",
        "<isolated>",
        "<compat>",
    )
)
"""Unicode's tags of characters that only look unlike their NFKC form. Others have a meaning: 2⁵ is not 25."""

WORDS = 8
"""Number of 64-bit words in a sketch."""


def schema(rule: Near) -> pl.Schema:
    """Return the schema of a table of fingerprints."""
    return pl.Schema(
        {
            "row_id": pl.String,
            "source": pl.String,
            "file": pl.String,
            "position": pl.Int64,
            "content_hash": pl.String,
            "prompt_hash": pl.String,
            "chars": pl.Int64,
            "score": pl.Float64,
            "size": pl.Int32,
            "answered": pl.Int32,
            "signed": pl.Boolean,
            "keys": pl.Array(pl.UInt64, rule.bands),
            "sketch": pl.Array(pl.UInt64, WORDS),
            "shingles": pl.List(pl.UInt32),
        }
    )


def fingerprint(rows: pl.DataFrame, rule: Near) -> pl.DataFrame:
    """Return the fingerprints of rows, in the same order, with the columns of `schema`.

    Args:
        rows: Rows of the pool, some ten thousand per call. The column `score` is optional.
        rule: Settings of the shingles and of the signature.
    """
    from infinity_assets.dedup.signing_kernels import hash_facts, sign
    from infinity_assets.rows.token_kernels import scan_tokens

    turns = _turns(rows)
    content_hashes, prompt_hashes = _hashes(turns)
    tokens, token_turns, *_ = scan_tokens(turns.data, turns.where, *character_tables())
    facts = hash_facts(turns.data, turns.where, *character_tables(), turns.rows, turns.roles, turns.about_case)
    shingles, begins, answered, sketches, keys, signed = sign(
        tokens, token_turns, turns.rows, turns.roles, facts, rule.shingle, rule.answers == "alike",
        *_permutations(rule.bands * rule.rows_per_band), rule.rows_per_band, WORDS,
    )  # fmt: skip
    return rows.select(
        "row_id",
        *PLACE,
        content_hashes.alias("content_hash"),
        prompt_hashes.alias("prompt_hash"),
        pl.Series("chars", np.diff(turns.chars[turns.rows]), dtype=pl.Int64),
        pl.col("score").cast(pl.Float64) if "score" in rows.columns else pl.lit(None, pl.Float64).alias("score"),
        pl.Series("size", np.diff(begins), dtype=pl.Int32),
        pl.Series("answered", answered, dtype=pl.Int32),
        pl.Series("signed", signed, dtype=pl.Boolean),
        pl.Series("keys", keys, dtype=pl.Array(pl.UInt64, rule.bands)),
        pl.Series("sketch", sketches, dtype=pl.Array(pl.UInt64, WORDS)),
        to_lists(shingles, begins).alias("shingles"),
    )


def to_lists(values: np.ndarray, begins: np.ndarray) -> pl.Series:
    """Split flat values into lists; `begins` holds the start of each list and the end of the last."""
    import pyarrow as pa

    array = pa.LargeListArray.from_arrays(pa.array(begins, pa.int64()), pa.array(values))
    return pl.Series(pl.from_arrow(array))


def compute_content_hashes(rows: pl.DataFrame) -> pl.Series:
    """Return the content hash of every row."""
    return _hashes(_turns(rows))[0].alias("content_hash")


class _Turns(NamedTuple):
    """The turns of a table of rows, one after another."""

    rows: np.ndarray
    """int64: index of each row's first turn (rows + 1 entries)."""
    roles: np.ndarray
    """uint8: role of each turn, as an index into `ROLES`."""
    data: np.ndarray
    """The normalized texts of all turns, as UTF-8 bytes."""
    where: np.ndarray
    """int64: offset of each turn's text in `data`."""
    chars: np.ndarray
    """int64: number of characters before each turn."""
    about_case: np.ndarray
    """bool: by row, whether a request is about letter case."""


def _turns(rows: pl.DataFrame) -> _Turns:
    turns = rows["messages"].explode(empty_as_null=False).struct.unnest()
    numbers = {role: number for number, role in enumerate(ROLES)}
    roles = turns["role"].replace_strict(numbers, return_dtype=pl.UInt8).to_numpy()
    contents = _normalize(turns["content"].fill_null(""))
    begins = _begins(rows["messages"].list.len())
    names_case = (turns["role"] != "assistant") & contents.str.contains_any(_case_words(), ascii_case_insensitive=True)
    named = np.concatenate([[0], np.cumsum(names_case.to_numpy())])
    return _Turns(begins, roles, *to_utf8(contents), _begins(contents.str.len_chars()), np.diff(named[begins]) > 0)


def _normalize(texts: pl.Series) -> pl.Series:
    """Return texts in NFKC, except for characters with a meaning of their own, such as raised digits and fractions."""
    from infinity_assets.rows.token_kernels import contains_any

    normalized = to_nfkc(texts)
    looks, has_meaning = _character_meanings()
    foreign = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    marked = foreign.filter(pl.Series(contains_any(*to_utf8(texts.gather(foreign)), has_meaning), dtype=pl.Boolean))
    if not len(marked):
        return normalized
    plain = texts.gather(marked).str.replace_many(list(looks), list(looks.values()))
    return normalized.scatter(marked, plain.str.normalize("NFC"))


@cache
def _character_meanings() -> tuple[dict[str, str], np.ndarray]:
    """Return the NFKC forms of characters that only look different, and, by code point, the rest that NFKC changes."""
    looks: dict[str, str] = {}
    has_meaning = np.zeros(0x110000, np.bool_)
    for point in range(sys.maxunicode + 1):
        tag, *parts = unicodedata.decomposition(chr(point)).split() or ("",)
        if parts and tag in _LOOKS:
            looks[chr(point)] = unicodedata.normalize("NFKC", chr(point))
        elif parts and tag.startswith("<"):
            has_meaning[point] = True
    return looks, has_meaning


@cache
def _case_words() -> list[str]:
    return list(load_words(Path(__file__).with_name("letter_case.yaml")))


def _begins(lengths: pl.Series) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)])


def _permutations(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return affine permutations of 32-bit numbers, as odd multipliers and offsets, drawn by SplitMix64."""
    with np.errstate(over="ignore"):
        state = np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn = (state >> np.uint64(32)).astype(np.uint32)
    return drawn[:count] | np.uint32(1), drawn[count:]


def _hashes(turns: _Turns) -> tuple[pl.Series, pl.Series]:
    """Return two hashes per row, as 32 hexadecimal digits: of all its turns, and of its turns without the answers."""
    import pyarrow as pa

    from infinity_assets.dedup.signing_kernels import hash_contents

    hashed = hash_contents(
        turns.data, turns.where, *character_tables(), turns.rows, turns.roles, turns.about_case
    ).astype(">u8")

    def spell(hashes: np.ndarray) -> pl.Series:
        flat = pa.py_buffer(np.ascontiguousarray(hashes))
        binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(hashes), [None, flat])
        return pl.Series(pl.from_arrow(binary)).bin.encode("hex")

    return spell(hashed[:, 0]), spell(hashed[:, 1])


def collision_probability(similarity: np.ndarray, rule: Near) -> np.ndarray:
    """Return the probability that rows of Jaccard similarity s share one of b keys of r numbers: 1 - (1 - s^r)^b."""
    return 1 - (1 - similarity**rule.rows_per_band) ** rule.bands
