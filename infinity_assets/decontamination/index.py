"""Benchmark items as token hashes, in a form in which shared runs are found fast. Parts, runs, pairs: see `kernels.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from infinity_assets.rows.text import CJK
from infinity_assets.rows.token_hashes import TokenHashes, token_hashes, utf8

_SPAN_CHARS = 300
"""Of a span so much is shown."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a list of texts without the letters of options."""

    found: TokenHashes
    data: np.ndarray
    """The texts, one after the other, as bytes."""
    where: np.ndarray
    """Where each begins."""

    @classmethod
    def of(cls, texts: pl.Series) -> "Tokens":
        """Those of a list of texts."""
        from infinity_assets.decontamination.kernels import without_option_letters

        found = token_hashes(texts)
        data, where = utf8(found.texts)
        kept = without_option_letters(data, where, found.hashes, found.offsets, found.starts, found.ends, found.wordy)
        n = int(kept[-1])
        return cls(
            TokenHashes(found.hashes[:n], kept, found.starts[:n], found.ends[:n], found.wordy[:n], found.texts),
            data,
            where,
        )

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text."""
        return np.diff(self.found.offsets)

    def spelled(self, texts: np.ndarray, firsts: np.ndarray, lengths: np.ndarray) -> pl.Series:
        """Runs of tokens as text in lower case, one per run."""
        from pyarrow import LargeStringArray, py_buffer

        from infinity_assets.decontamination.kernels import spelled

        joined, begins = spelled(self.data, self.where, texts, firsts, lengths, self.found.starts, self.found.ends)
        written = pl.Series(
            values=LargeStringArray.from_buffers(len(texts), py_buffer(begins), py_buffer(joined)), dtype=pl.String
        )
        # Where lower case depends on more than the letter, as `token_hashes` has it.
        return (
            written.str.to_lowercase().str.replace_all("ς", "σ", literal=True).str.replace_all("i̇", "i", literal=True)
        )

    def quoted(self, text: int, first: int, length: int) -> str:
        """A run as it stands in its text, cut where it is long."""
        begin = self.where[text]
        stretch = self.data[begin + self.found.starts[first] : begin + self.found.ends[first + length - 1]]
        return stretch[: 4 * _SPAN_CHARS].tobytes().decode(errors="ignore")[:_SPAN_CHARS]


class Index:
    """The parts of items: questions and answers.

    Args:
        items: Columns item_id, benchmark, prompt; `further` (list of texts that follow it) and `answer` where there are some.
        parts: Which parts are wanted.
        shortest: Tokens of the shortest run that can be found.
        exact_words: Words of the shortest question that `equal` finds; two CJK characters count as a word.
        allowed: Texts that everyone quotes.
    """

    def __init__(
        self, items: pl.DataFrame, parts: Sequence[str], shortest: int, exact_words: float, allowed: Sequence[str]
    ):
        self.parts = _parts(items).filter(pl.col("part").is_in(parts))
        """benchmark, item_id, part (question or answer), text, head (of a question, without what follows it; else all)."""
        self._shortest, self._exact_words, self._allowed = shortest, exact_words, allowed

    def runs(self, tokens: Tokens) -> np.ndarray:
        """Runs that texts share with parts, by text and part: text, part, start, at, length."""
        from infinity_assets.decontamination.kernels import shared_runs

        ours, theirs = self.tokens.found, tokens.found
        runs = shared_runs(
            theirs.hashes, theirs.offsets, self._shortest, *self._grams, ours.hashes, ours.offsets, self._part_of
        )
        return runs[np.lexsort((runs[:, 3], runs[:, 1], runs[:, 0]))]

    def confirmed(self, runs: np.ndarray, tokens: Tokens) -> np.ndarray:
        """Whether the runs are the same tokens, and not only the same hashes."""
        theirs = tokens.spelled(runs[:, 0], runs[:, 2], runs[:, 4])
        return (theirs == self.tokens.spelled(runs[:, 1], runs[:, 3], runs[:, 4])).to_numpy()

    def equal(self, tokens: Tokens) -> np.ndarray:
        """Texts that are a question, with what follows it or without, as runs."""
        from infinity_assets.decontamination.kernels import text_hashes

        hashes, parts, lengths = self._whole
        of_texts = text_hashes(tokens.found.hashes, tokens.found.offsets)
        low, high = np.searchsorted(hashes, of_texts, "left"), np.searchsorted(hashes, of_texts, "right")
        texts = np.repeat(np.arange(len(of_texts)), high - low)
        entries = np.concatenate(
            [np.arange(a, b) for a, b in zip(low[high > low], high[high > low], strict=True)] or [np.zeros(0, np.int64)]
        )
        part, length = parts[entries], lengths[entries]
        runs = np.stack([texts, part, tokens.found.offsets[texts], self.tokens.found.offsets[part], length], axis=1)
        runs = runs[tokens.lengths[texts] == length]
        return runs[self.confirmed(runs, tokens)]

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens of the parts."""
        return Tokens.of(self.parts["text"])

    @cached_property
    def heads(self) -> np.ndarray:
        """Tokens of the head of each part."""
        return self._heads.lengths

    @cached_property
    def _heads(self) -> Tokens:
        return Tokens.of(self.parts["head"])

    @cached_property
    def words_before(self) -> np.ndarray:
        """Words before each token."""
        return np.concatenate([[0], np.cumsum(self.tokens.found.wordy, dtype=np.int64)])

    @cached_property
    def reach(self) -> np.ndarray:
        """Where the run ends that a token shares with an allowed text; the token itself where there is none."""
        reach = np.arange(len(self.tokens.found.hashes))
        if len(self._allowed):
            allowed = Tokens.of(pl.Series(self._allowed, dtype=pl.String))
            # A text that is a whole question may be shorter than the shortest run.
            for at, length in np.concatenate([self.runs(allowed), self.equal(allowed)])[:, 3:]:
                stretch = reach[at : at + length]
                np.maximum(stretch, at + length, out=stretch)
        return reach

    @cached_property
    def _part_of(self) -> np.ndarray:
        return np.repeat(np.arange(self.parts.height), self.tokens.lengths)

    @cached_property
    def _grams(self) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Bit filter, its size as a power of two, keys, where the places of each begin, places, what is a place: as `shared_runs` wants them."""
        from infinity_assets.decontamination.kernels import bit_filter, gram_hashes

        hashes, places = gram_hashes(self.tokens.found.hashes, self.tokens.found.offsets, self._shortest)
        order = np.argsort(hashes, kind="stable")
        keys, firsts = np.unique(hashes[order], return_index=True)
        bits = max(16, len(keys).bit_length() + 4)
        begins = np.zeros(len(self.tokens.found.hashes), bool)
        begins[places] = True
        return bit_filter(keys, bits), bits, keys, np.append(firsts, len(hashes)), places[order], begins

    @cached_property
    def _whole(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each question and each head, by hash: its hash, its part, its tokens."""
        from infinity_assets.decontamination.kernels import text_hashes

        found = []
        for text, tokens in (("head", self._heads), ("text", self.tokens)):
            words = tokens.lengths - self.parts[text].str.count_matches(f"[{CJK}]").to_numpy() / 2
            wanted = (self.parts["part"] == "question").to_numpy() & (words >= self._exact_words)
            if text == "text":
                wanted &= self.tokens.lengths > self.heads
            hashes = text_hashes(tokens.found.hashes, tokens.found.offsets)
            found.append((hashes[wanted], np.flatnonzero(wanted), tokens.lengths[wanted]))
        hashes, parts, lengths = map(np.concatenate, zip(*found, strict=True))
        order = np.argsort(hashes, kind="stable")
        return hashes[order], parts[order], lengths[order]


def _parts(items: pl.DataFrame) -> pl.DataFrame:
    """The questions and the answers that have tokens at all."""
    for column, dtype in (("further", pl.List(pl.String)), ("answer", pl.String)):
        if column not in items.columns:
            items = items.with_columns(pl.lit(None, dtype=dtype).alias(column))
    further = pl.col("further").list.drop_nulls().list.join("\n")
    whole = pl.concat_str("prompt", further, separator="\n", ignore_nulls=True)
    question = items.select(
        "benchmark", "item_id", pl.lit("question").alias("part"), whole.alias("text"), pl.col("prompt").alias("head")
    )
    answer = items.select(
        "benchmark",
        "item_id",
        pl.lit("answer").alias("part"),
        pl.col("answer").alias("text"),
        pl.col("answer").alias("head"),
    )
    return pl.concat([question, answer]).with_columns(pl.col("text", "head").fill_null(""))
