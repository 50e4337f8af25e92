"""Index of benchmark items by token hashes, for a fast search of shared runs. `kernels.py` defines parts and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.rows.text import CJK
from infinity_assets.rows.token_hashes import TokenHashes, hash_tokens, to_utf8
from infinity_assets.rows.words import load_words

LONGEST = 12
"""Maximum number of tokens of a question that is found among other words. `ngram` finds longer ones."""

_TELLING_WORDS = 3
_TELLING_TOKENS = 5
"""Minimum number of words, or of any tokens, of a question that is recognized among sentences of any kind."""

_MOST_AROUND = 120
"""Maximum number of tokens of a text in which a short question is looked for."""

_TABLE_BITS = 20
"""Number of bits of a hash that are looked up before the hash is searched for."""

_SPAN_CHARS = 300
"""Maximum number of characters of a quoted run."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a list of texts, without the letters of answer options (`A)`, `(b)`) and HTML entities.

    A number with commas is one token.
    """

    scan: TokenHashes
    data: np.ndarray
    """The texts as UTF-8 bytes, one after another."""
    where: np.ndarray
    """Offset of each text in `data`."""

    @classmethod
    def from_texts(cls, texts: pl.Series) -> "Tokens":
        """Tokenize a list of texts."""
        from infinity_assets.decontamination.kernels import clean_tokens

        scan = hash_tokens(texts)
        data, where = to_utf8(scan.texts)
        kept = clean_tokens(data, where, scan.hashes, scan.offsets, scan.starts, scan.ends, scan.wordy)
        n = int(kept[-1])
        scan = TokenHashes(scan.hashes[:n], kept, scan.starts[:n], scan.ends[:n], scan.wordy[:n], scan.texts)
        return cls(scan, data, where)

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens in each text."""
        return np.diff(self.scan.offsets)

    def spell(self, texts: np.ndarray, firsts: np.ndarray, lengths: np.ndarray) -> pl.Series:
        """Return one text in lower case per run of tokens, given the text, first token and length of each run."""
        from pyarrow import LargeStringArray, py_buffer

        from infinity_assets.decontamination.kernels import spell

        joined, begins = spell(self.data, self.where, texts, firsts, lengths, self.scan.starts, self.scan.ends)
        written = LargeStringArray.from_buffers(len(texts), py_buffer(begins), py_buffer(joined))
        lower = pl.Series(values=written, dtype=pl.String).str.to_lowercase()
        # The lower case of these letters depends on their context. `hash_tokens` treats them in the same way.
        return lower.str.replace_all("ς", "σ", literal=True).str.replace_all("i̇", "i", literal=True)

    def quote(self, text: int, first: int, length: int) -> str:
        """Return a run of tokens verbatim, cut to `_SPAN_CHARS` characters."""
        begin = self.where[text]
        stretch = self.data[begin + self.scan.starts[first] : begin + self.scan.ends[first + length - 1]]
        return stretch[: 4 * _SPAN_CHARS].tobytes().decode(errors="ignore")[:_SPAN_CHARS]


class Index:
    """An index of the parts of items: questions and answers.

    Args:
        items: Columns item_id, benchmark, prompt; optionally `further` (list of texts after the prompt) and `answer`.
        parts, shortest: Names of the parts to index, and the length of the shortest run to find, in tokens.
        exact_words: Minimum words of a question that `find_equal` finds; two CJK characters count as one word.
        allowed: Widely quoted texts.
    """

    def __init__(
        self, items: pl.DataFrame, parts: Sequence[str], shortest: int, exact_words: float, allowed: Sequence[str]
    ):
        self.parts = _parts(items).filter(pl.col("part").is_in(parts))
        """One line per part: benchmark, item_id, part (question or answer), text, head (prompt alone, or answer)."""
        self._shortest, self._exact_words, self._allowed = shortest, exact_words, allowed

    def find_runs(self, tokens: Tokens) -> np.ndarray:
        """Return the runs that texts share with parts, sorted by text, part and `at`: text, part, start, at, length."""
        from infinity_assets.decontamination.kernels import find_shared_runs

        ours, theirs = self.tokens.scan, tokens.scan
        items = ours.hashes, ours.offsets, self._part_of
        runs = find_shared_runs(theirs.hashes, theirs.offsets, self._shortest, *self._grams, *items)
        return runs[np.lexsort((runs[:, 3], runs[:, 1], runs[:, 0]))]

    def confirm(self, runs: np.ndarray, tokens: Tokens) -> np.ndarray:
        """Return a mask of the runs whose tokens are equal, not only their hashes."""
        theirs = tokens.spell(runs[:, 0], runs[:, 2], runs[:, 4])
        return (theirs == self.tokens.spell(runs[:, 1], runs[:, 3], runs[:, 4])).to_numpy()

    def find_equal(self, tokens: Tokens) -> np.ndarray:
        """Return a run for each text that equals a question, with or without the texts that follow it."""
        from infinity_assets.decontamination.kernels import hash_texts

        hashes, parts, lengths = self._whole
        text_keys = hash_texts(tokens.scan.hashes, tokens.scan.offsets)
        # Nearly no text is a question, so a table of the hashes' first bits saves nearly all binary searches.
        begins_like_one = np.zeros(1 << _TABLE_BITS, bool)
        begins_like_one[hashes >> (64 - _TABLE_BITS)] = True
        candidates = np.flatnonzero(begins_like_one[text_keys >> (64 - _TABLE_BITS)])
        low = np.searchsorted(hashes, text_keys[candidates], "left")
        high = np.searchsorted(hashes, text_keys[candidates], "right")
        texts = np.repeat(candidates, high - low)
        entries = np.concatenate(
            [np.arange(a, b) for a, b in zip(low[high > low], high[high > low], strict=True)] or [np.zeros(0, np.int64)]
        )
        part, length = parts[entries], lengths[entries]
        runs = np.stack([texts, part, tokens.scan.offsets[texts], self.tokens.scan.offsets[part], length], axis=1)
        runs = runs[tokens.lengths[texts] == length]
        return runs[self.confirm(runs, tokens)]

    def find_wrapped(self, tokens: Tokens) -> np.ndarray:
        """Return a run for each text that is a short question with only words around it that people put there.

        Longer questions are found by their runs. The words are in `wrappers.yaml`.
        """
        from infinity_assets.decontamination.kernels import find_wrapped

        hashes, parts, lengths = self._whole
        short = lengths <= LONGEST
        if not short.any():
            return np.zeros((0, 5), np.int64)
        keys, firsts = np.unique(hashes[short], return_index=True)
        scan, (around, options) = tokens.scan, _wrappers()
        begins = self.tokens.scan.offsets[:-1][parts[short]]
        words = self.words_before[begins + lengths[short]] - self.words_before[begins]
        enough = (words >= _TELLING_WORDS) | (lengths[short] >= _TELLING_TOKENS)
        found = find_wrapped(
            scan.hashes, scan.offsets, scan.starts, scan.ends, tokens.data, tokens.where, _MOST_AROUND, keys,
            np.append(firsts, int(short.sum())), lengths[short], enough, self.tokens.scan.hashes, begins, LONGEST, around,
            options,
        )  # fmt: skip
        texts, entries, starts, sizes = found.T
        part = parts[short][entries]
        runs = np.stack([texts, part, starts, self.tokens.scan.offsets[part], sizes], axis=1)
        return runs[self.confirm(runs, tokens)]

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens of the parts."""
        return Tokens.from_texts(self.parts["text"])

    @cached_property
    def heads(self) -> np.ndarray:
        """Number of tokens in the head of each part."""
        return self._heads.lengths

    @cached_property
    def _heads(self) -> Tokens:
        return Tokens.from_texts(self.parts["head"])

    @cached_property
    def words_before(self) -> np.ndarray:
        """Number of words among the parts' tokens before each token (tokens + 1 entries)."""
        return np.concatenate([[0], np.cumsum(self.tokens.scan.wordy, dtype=np.int64)])

    @cached_property
    def allowed_until(self) -> np.ndarray:
        """End of the run that each token shares with an allowed text; the token's own index if there is no such run."""
        until = np.arange(len(self.tokens.scan.hashes))
        if len(self._allowed):
            allowed = Tokens.from_texts(pl.Series(self._allowed, dtype=pl.String))
            # `find_equal` finds allowed texts that are a whole question, but shorter than the shortest run.
            for at, length in np.concatenate([self.find_runs(allowed), self.find_equal(allowed)])[:, 3:]:
                stretch = until[at : at + length]
                np.maximum(stretch, at + length, out=stretch)
        return until

    @cached_property
    def _part_of(self) -> np.ndarray:
        return np.repeat(np.arange(self.parts.height), self.tokens.lengths)

    @cached_property
    def _grams(self) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The arguments `words` to `begins` of `find_shared_runs`."""
        from infinity_assets.decontamination.kernels import build_bit_filter, hash_grams

        hashes, places = hash_grams(self.tokens.scan.hashes, self.tokens.scan.offsets, self._shortest)
        order = np.argsort(hashes, kind="stable")
        keys, firsts = np.unique(hashes[order], return_index=True)
        bits = max(16, len(keys).bit_length() + 4)
        begins = np.zeros(len(self.tokens.scan.hashes), bool)
        begins[places] = True
        return build_bit_filter(keys, bits), bits, keys, np.append(firsts, len(hashes)), places[order], begins

    @cached_property
    def _whole(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hashes, parts and token counts of the questions, with and without the texts that follow; sorted by hash."""
        from infinity_assets.decontamination.kernels import hash_texts

        entries = []
        for text, tokens in (("head", self._heads), ("text", self.tokens)):
            words = tokens.lengths - self.parts[text].str.count_matches(f"[{CJK}]").to_numpy() / 2
            wanted = (self.parts["part"] == "question").to_numpy() & (words >= self._exact_words)
            if text == "text":
                wanted &= self.tokens.lengths > self.heads
            hashes = hash_texts(tokens.scan.hashes, tokens.scan.offsets)
            entries.append((hashes[wanted], np.flatnonzero(wanted), tokens.lengths[wanted]))
        hashes, parts, lengths = map(np.concatenate, zip(*entries, strict=True))
        order = np.argsort(hashes, kind="stable")
        return hashes[order], parts[order], lengths[order]


@cache
def _wrappers() -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of the words around a question, and of those that begin a list of options; both sorted."""
    listed = load_words(Path(__file__).with_name("wrappers.yaml"))
    around, options = (np.unique(hash_tokens(pl.Series(listed[name])).hashes) for name in ("words", "options"))
    return around, options


def _parts(items: pl.DataFrame) -> pl.DataFrame:
    """Return one line per question and one per answer; a missing text is empty."""
    for column, dtype in (("further", pl.List(pl.String)), ("answer", pl.String)):
        if column not in items.columns:
            items = items.with_columns(pl.lit(None, dtype=dtype).alias(column))
    further = pl.col("further").list.drop_nulls().list.join("\n")
    whole = pl.concat_str("prompt", further, separator="\n", ignore_nulls=True)
    question = items.select("benchmark", "item_id", part=pl.lit("question"), text=whole, head="prompt")
    answer = items.select("benchmark", "item_id", part=pl.lit("answer"), text="answer", head="answer")
    return pl.concat([question, answer]).with_columns(pl.col("text", "head").fill_null(""))
