"""The gate: exact prompt, and shared runs of n tokens (13 by default, the convention of GPT-3).

A turn of a row is contaminated if its tokens equal those of an item's prompt, or if it shares a run of `ngram` tokens with one, of which at
least `min_words` are words. Tokens ignore case and punctuation; a CJK character is a token of its own. Runs are
compared by 64-bit hashes and every hit is confirmed on the tokens themselves, so a hash collision can cost time but not a row.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from infinity_assets.rows.text import CJK, tokens
from infinity_assets.settings import Decontamination

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers of it never vanish modulo 2^64

HITS = pl.Schema(
    {
        "row_id": pl.String,
        "benchmark": pl.String,
        "item_id": pl.String,
        "method": pl.String,
        "side": pl.String,
        "span": pl.String,
        "shared": pl.Int64,
    }
)
"""One line per contaminated row, its strongest evidence: an exact prompt before a run, then the item that shares most runs."""


@dataclass(frozen=True)
class _Runs:
    """All runs of n tokens in a list of texts, flat: which text, where it starts, and its hash."""

    words: pl.Series
    text: np.ndarray
    start: np.ndarray
    hashes: np.ndarray


def _runs(token_lists: pl.Series, n: int) -> _Runs:
    lengths = token_lists.list.len().to_numpy().astype(np.int64)
    words = token_lists.filter(token_lists.list.len() > 0).explode()
    if len(words) < n:
        none = np.zeros(0, np.int64)
        return _Runs(words, none, none, none.astype(np.uint64))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    word_hashes = words.hash(seed=0).to_numpy()
    count = len(words) - n + 1
    rolled = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(n):
            rolled = rolled * _BASE + word_hashes[offset : offset + count]
    start = np.flatnonzero(owner[:count] == owner[n - 1 :])
    return _Runs(words, owner[start], start, rolled[start])


class Gate:
    """The benchmark items, indexed for a rule.

    Args:
        items: Columns item_id, benchmark, prompt.
        rule: What counts as a hit.
    """

    def __init__(self, items: pl.DataFrame, rule: Decontamination):
        self.rule = rule
        self.items = items.select("item_id", "benchmark", tokens(pl.col("prompt")).alias("tokens")).filter(pl.col("tokens").list.len() > 0)

    @cached_property
    def _exact(self) -> pl.DataFrame:
        prompts = self.items.select(pl.col("tokens").list.join(" ").alias("joined"), "item_id", "benchmark")
        return prompts.sort("item_id").unique("joined", keep="first", maintain_order=True)

    @cached_property
    def _grams(self) -> pl.DataFrame:
        runs = _runs(self.items["tokens"], self.rule.ngram)
        frame = pl.DataFrame({"hash": runs.hashes, "item": runs.text, "item_start": runs.start})
        return frame.unique(["hash", "item"], keep="first", maintain_order=True)

    @cached_property
    def _item_words(self) -> pl.Series:
        return self.items["tokens"].explode()

    def hits(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The contaminated rows with their evidence.

        Args:
            rows: Columns row_id and messages.

        Returns:
            Lines as `HITS` describes, at most one per row, sorted by row id.
        """
        turn = pl.col("messages").struct
        turns = (
            rows.lazy()
            .select("row_id", "messages")
            .explode("messages")
            .select("row_id", turn.field("role").alias("side"), tokens(turn.field("content")).alias("tokens"))
            .filter(pl.col("side").is_in(self.rule.sides), pl.col("tokens").list.len() > 0)
            .collect()
        )
        if turns.is_empty() or self.items.is_empty():
            return pl.DataFrame(schema=HITS)
        both = pl.concat([self._exact_hits(turns), self._run_hits(turns)])
        strongest = both.sort("row_id", "method", pl.col("shared") * -1, "item_id", maintain_order=True)
        return strongest.unique("row_id", keep="first", maintain_order=True)

    def _exact_hits(self, turns: pl.DataFrame) -> pl.DataFrame:
        joined = turns.with_columns(pl.col("tokens").list.join(" ").alias("joined"))
        return joined.join(self._exact, on="joined", maintain_order="left").select(
            "row_id",
            "benchmark",
            "item_id",
            pl.lit("exact_prompt").alias("method"),
            "side",
            pl.col("joined").str.slice(0, 300).alias("span"),
            pl.col("tokens").list.len().cast(pl.Int64).alias("shared"),
        )

    def _run_hits(self, turns: pl.DataFrame) -> pl.DataFrame:
        n = self.rule.ngram
        runs = _runs(turns["tokens"], n)
        known = np.isin(runs.hashes, self._grams["hash"].to_numpy())
        # In the order of the turns: which run is quoted as evidence must not depend on what else is looked at.
        found = pl.DataFrame({"hash": runs.hashes[known], "turn": runs.text[known], "start": runs.start[known]}).join(
            self._grams, on="hash", maintain_order="left_right"
        )
        if found.is_empty():
            return pl.DataFrame(schema=HITS)
        window = np.arange(n)
        words = runs.words.gather((found["start"].to_numpy()[:, None] + window).ravel())
        item_words = self._item_words.gather((found["item_start"].to_numpy()[:, None] + window).ravel())
        equal = (words == item_words).to_numpy().reshape(-1, n).all(axis=1)
        # A word has two letters or more; a CJK character is one.
        wordy = words.str.contains(rf"^(?:[{CJK}]|\p{{L}}\p{{L}}+)$").to_numpy().reshape(-1, n).sum(axis=1) >= self.rule.min_words
        found = found.with_columns(pl.Series("line", np.arange(found.height))).filter(pl.Series(equal & wordy))
        best = found.group_by("turn", "item", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("shared"), pl.col("line").first())
        spans = [" ".join(words[line * n : line * n + n]) for line in best["line"]]
        return pl.DataFrame(
            {
                "row_id": turns["row_id"].gather(best["turn"]),
                "benchmark": self.items["benchmark"].gather(best["item"]),
                "item_id": self.items["item_id"].gather(best["item"]),
                "method": ["ngram"] * best.height,
                "side": turns["side"].gather(best["turn"]),
                "span": spans,
                "shared": best["shared"],
            },
            schema=HITS,
        )
