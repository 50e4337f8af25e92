"""The gate: which rows hold a benchmark item, by which rule, and on what evidence.

Three rules, each of which can be switched off (`settings.Decontamination`):

| rule | a turn is a hit if |
|---|---|
| exact_prompt | its tokens are those of the item's question |
| ngram | it shares a run of 13 tokens with a side of the item, 4 of them words (GPT-3, arXiv 2005.14165, appendix C) |
| overlap | its runs of 8 tokens cover more than half of the tokens of a side of the item (Tulu 3, arXiv 2411.15124, section 3.2) |

Tokens ignore case and punctuation; a CJK character is one; the letters of options (`A)`, `(b)`, `C.`) are none. An item has two sides: its
question, with the options or turns that follow it, and its answer. Each is compared with each turn alone. The question is looked for without what
follows it, too.

Texts are compared by 64-bit hashes of their tokens, and what is found is confirmed on the tokens themselves: a collision costs time, not a row.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl

from infinity_assets.decontamination.index import Index, Tokens
from infinity_assets.settings import Decontamination, Part

MATCHES = pl.Schema(
    {
        "row_id": pl.String,
        "benchmark": pl.String,
        "item_id": pl.String,
        "part": pl.String,
        "side": pl.String,
        "turn": pl.Int64,
        "rule": pl.String,
        "verdict": pl.String,
        "span": pl.String,
        "shared": pl.Int64,
        "share": pl.Float64,
    }
)
"""What a row shares with an item, by one rule. Key: row_id, item_id, part, side, rule. See `MEANING` for the columns."""

MEANING: dict[str, str] = {
    "benchmark": "name of the benchmark's folder",
    "item_id": "the benchmark item",
    "part": "question or answer of the item",
    "side": "role of the row's turn",
    "turn": "index of that turn in the conversation, from 0; of several the one that shares most",
    "rule": "exact_prompt, ngram or overlap",
    "verdict": "removes, reported, or excused (what is shared lies inside an allowed text)",
    "span": "the longest run that is shared, as it stands in the row",
    "shared": "tokens of that run",
    "share": "of the tokens of that part of the item, how many the turn shares in runs, from 0 to 1",
}
"""The columns of `MATCHES`, for pages."""

RULES = ("exact_prompt", "ngram", "overlap")
"""The strongest evidence first."""

VERDICTS = ("removes", "reported", "excused")
"""What follows from a hit."""

LINES_PER_ROW = 20
"""Hits kept of one row, the strongest: a row that quotes the template of a benchmark shares it with hundreds of items."""

_CHUNK = 16 << 20
"""Bytes of text that are looked at together."""


_ORDER = (*(pl.col(name).replace_strict({value: place for place, value in enumerate(values)}, return_dtype=pl.Int8)
            for name, values in (("verdict", VERDICTS), ("rule", RULES))),
          -pl.col("share"), -pl.col("shared"), "item_id", "part", "side", "turn")  # fmt: skip
"""The strongest hit of a row first."""

_HIT = ["row_id", "item_id", "part", "side", "rule"]


def strongest(matches: pl.DataFrame) -> pl.DataFrame:
    """The rows that are to be removed, each with its strongest evidence, sorted by row id.

    Args:
        matches: Lines as `MATCHES` describes.
    """
    removes = matches.filter(pl.col("verdict") == "removes").sort("row_id", *_ORDER)
    return removes.unique("row_id", keep="first", maintain_order=True)


class Gate:
    """Benchmark items, indexed for a rule.

    Args:
        items: Columns item_id, benchmark, prompt; `further` (list of texts that follow it) and `answer` where there are some.
        rule: What counts as a hit, and what follows.
        allowed: Texts that everyone quotes: a hit that would be none without what it shares inside one of them is excused.
    """

    def __init__(self, items: pl.DataFrame, rule: Decontamination, allowed: Iterable[str] = ()):
        self._rule = rule
        lengths = [
            n
            for n, on in ((rule.ngram, rule.ngram is not None), (rule.overlap_ngram, rule.overlap is not None))
            if on and n
        ]
        self._by_runs = bool(lengths)
        self._shortest = min(lengths, default=rule.overlap_ngram)
        self._covers = rule.overlap_ngram if rule.overlap is not None else self._shortest
        parts = [part for part, sides in rule.sides.items() if sides]
        self._sides = sorted(frozenset[str]().union(*rule.sides.values()))
        self._index = Index(items, parts, self._shortest, rule.exact_words, list(allowed))

    def matches(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Everything that rows share with items, whatever follows from it.

        Args:
            rows: Columns row_id and messages.

        Returns:
            Lines as `MATCHES` describes, at most `LINES_PER_ROW` a row, sorted by row id, the strongest first.
        """
        found = [self._of_turns(turns) for turns in self._turns(rows)] if self._index.parts.height else []
        return _bounded(pl.concat([pl.DataFrame(schema=MATCHES), *found]))

    def hits(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that are to be removed, as `strongest` gives them.

        Args:
            rows: Columns row_id and messages.
        """
        return strongest(self.matches(rows))

    def _turns(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The turns that are looked at, a chunk at a time: row_id, turn, side, content."""
        turn = pl.col("messages").struct
        listed = (
            rows.lazy()
            .select("row_id", "messages", turn=pl.int_ranges(pl.col("messages").list.len(), dtype=pl.Int64))
            .explode("messages", "turn")
            .select("row_id", "turn", turn.field("role").alias("side"), turn.field("content").alias("content"))
            .filter(pl.col("side").is_in(self._sides))
            .collect()
        )
        chunk = (listed["content"].str.len_bytes().cast(pl.Int64).cum_sum() // _CHUNK).to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), listed.height]
        yield from (listed[start:stop] for start, stop in pairwise(cuts) if stop > start)

    def _of_turns(self, turns: pl.DataFrame) -> pl.DataFrame:
        tokens = Tokens.of(turns["content"])
        hits = pl.concat([self._exact(tokens), self._shared(tokens)])
        if hits.is_empty():
            return pl.DataFrame(schema=MATCHES)
        at_turn, at_part = hits["text"], hits["item_part"]
        placed = hits.with_columns(
            *(turns[name].gather(at_turn) for name in ("row_id", "side", "turn")),
            *(self._index.parts[name].gather(at_part) for name in ("benchmark", "item_id", "part")),
        )
        removes = pl.any_horizontal(
            (pl.col("rule") == rule) & _among(sides) for rule, sides in self._rule.remove.items()
        )
        verdict = (
            pl.when("excused")
            .then(pl.lit("excused"))
            .when(removes)
            .then(pl.lit("removes"))
            .otherwise(pl.lit("reported"))
        )
        lines = _bounded(placed.filter(_among(self._rule.sides)).with_columns(verdict.alias("verdict")))
        spans = [tokens.quoted(*run) for run in lines.select("text", "start", "shared").iter_rows()]
        return lines.with_columns(pl.Series("span", spans, dtype=pl.String)).select(list(MATCHES))

    def _exact(self, tokens: Tokens) -> pl.DataFrame:
        """Turns that are a question, as `_HITS`."""
        if not self._rule.exact:
            return pl.DataFrame(schema=_HITS)
        runs = self._index.equal(tokens)
        excused = self._index.reach[runs[:, 3]] >= runs[:, 3] + runs[:, 4]
        return _hits("exact_prompt", runs, np.ones(len(runs)), excused)

    def _shared(self, tokens: Tokens) -> pl.DataFrame:
        """What turns and parts of items share by runs, as `_HITS`."""
        if not self._by_runs:
            return pl.DataFrame(schema=_HITS)
        runs = self._index.runs(tokens)
        while True:
            firsts = np.flatnonzero(np.diff(runs[:, 0], prepend=-1) | np.diff(runs[:, 1], prepend=-1))
            every, unexcused = (
                self._fired(runs, np.append(firsts, len(runs)), of_allowed) for of_allowed in (True, False)
            )
            fired = every.ngram | every.overlap
            suspects = np.flatnonzero(np.repeat(fired, np.diff(np.append(firsts, len(runs)))))
            wrong = suspects[~self._index.confirmed(runs[suspects], tokens)]
            if not len(wrong):
                break
            runs = np.delete(runs, wrong, axis=0)
        found = []
        for rule in ("ngram", "overlap"):
            fires, holds = getattr(every, rule), getattr(unexcused, rule)
            evidence = np.where(holds, getattr(unexcused, f"{rule}_run"), getattr(every, f"{rule}_run"))
            found.append(_hits(rule, runs[evidence[fires]], every.share[fires], ~holds[fires]))
        return pl.concat(found)

    def _fired(self, runs: np.ndarray, firsts: np.ndarray, of_allowed: bool) -> "_Fired":
        """Which pairs of a turn and a part are hits, by rule.

        Args:
            runs: As `Index.runs` gives them.
            firsts: Where those of each pair begin; one more than there are pairs.
            of_allowed: Whether runs inside an allowed text count.
        """
        from infinity_assets.decontamination.kernels import measure

        index, rule = self._index, self._rule
        ends = index.tokens.found.offsets[:-1] + index.heads
        least = rule.min_words
        measured = measure(
            runs, firsts, rule.ngram or 0, least, self._covers, index.words_before, ends, index.reach, of_allowed
        )
        parts = runs[firsts[:-1], 1]
        share, overlap = np.zeros(len(parts)), np.zeros(len(parts), bool)
        begins = index.tokens.found.offsets[:-1]
        for tokens, words, lengths in ((0, 1, index.tokens.lengths), (2, 3, index.heads)):
            covered, length = measured[:, tokens], lengths[parts]
            of = covered / np.maximum(length, 1)
            there = (index.words_before[begins + lengths] - index.words_before[begins])[parts]
            if rule.overlap is not None:
                enough = (covered >= rule.overlap_tokens) | (covered == length)
                overlap |= (
                    (of > rule.overlap) & enough & (measured[:, words] >= np.minimum(np.maximum(there, 1), least))
                )
            share = np.maximum(share, of)
        return _Fired(measured[:, 4] >= 0, overlap, measured[:, 4], measured[:, 5], share)


class _Fired(NamedTuple):
    """By pair of a turn and a part of an item."""

    ngram: np.ndarray
    overlap: np.ndarray
    ngram_run: np.ndarray
    """The longest run that is a hit by itself."""
    overlap_run: np.ndarray
    """The longest run."""
    share: np.ndarray
    """Of the part's tokens, or of its head's where that is more."""


_HITS = pl.Schema(
    {
        "text": pl.Int64,
        "item_part": pl.Int64,
        "start": pl.Int64,
        "shared": pl.Int64,
        "share": pl.Float64,
        "rule": pl.String,
        "excused": pl.Boolean,
    }
)


def _hits(rule: str, runs: np.ndarray, share: np.ndarray, excused: np.ndarray) -> pl.DataFrame:
    columns = [runs[:, 0], runs[:, 1], runs[:, 2], runs[:, 4], share, np.full(len(runs), rule), excused]
    return pl.DataFrame(dict(zip(_HITS, columns, strict=True)), schema=_HITS)


def _among(sides: Mapping[Part, Collection[str]]) -> pl.Expr:
    """Whether the role of the turn is one of those named for the part of the item."""
    return pl.any_horizontal(
        (pl.col("part") == part) & pl.col("side").is_in(list(roles)) for part, roles in sides.items()
    )


def _bounded(lines: pl.DataFrame) -> pl.DataFrame:
    """The strongest line of each hit, and the strongest hits of each row."""
    once = lines.sort("row_id", *_ORDER).unique(_HIT, keep="first", maintain_order=True)
    return once.filter(pl.int_range(pl.len()).over("row_id") < LINES_PER_ROW)
