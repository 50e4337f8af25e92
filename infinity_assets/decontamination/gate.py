"""The gate: finds the rows that contain a benchmark item, with the rule that each row meets and the evidence.

There are three rules, each of which can be switched off (`settings.Decontamination`):

| rule | a turn is a hit if |
|---|---|
| exact_prompt | its tokens equal those of the item's question, or hold a short one among other words or sentences |
| ngram | it shares a run of 13 tokens with a part of the item, 4 of them words (GPT-3, arXiv 2005.14165, appendix C) |
| overlap | its runs of 8 tokens cover more than half of a part of the item (Tulu 3, arXiv 2411.15124, section 3.2) |

Tokens ignore case and punctuation. A CJK character is a token; the letter of an answer option (`A)`, `(b)`) and an HTML
entity are not. An item has two parts: its question, with the options or turns that follow it, and its answer. Each part is compared with
each turn separately. A question is also searched for without the options or turns that follow it.

Texts are compared by 64-bit hashes of their tokens, and hits are confirmed on the tokens themselves. A hash collision
therefore costs time but never removes a row.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise

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
"""Hits: one line per row, item, part of the item, role of the turn (`side`) and rule. Key: these five columns."""


RULES = ("exact_prompt", "ngram", "overlap")
"""The rules, from the strongest evidence to the weakest."""

VERDICTS = ("removes", "reported", "excused")
"""The possible consequences of a hit."""

LINES_PER_ROW = 20
"""Maximum number of hits that are kept per row, the strongest first. A row that quotes the template of a benchmark
shares it with hundreds of items."""

_CHUNK = 16 << 20
"""Number of bytes of text that are compared at a time."""


_ORDER = (*(pl.col(name).replace_strict({value: place for place, value in enumerate(values)}, return_dtype=pl.Int8)
            for name, values in (("verdict", VERDICTS), ("rule", RULES))),
          -pl.col("share"), -pl.col("shared"), "item_id", "part", "side", "turn")  # fmt: skip
"""Sort keys that put the strongest hit of a row first."""

_HIT = ["row_id", "item_id", "part", "side", "rule"]


def select_removals(matches: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that must be removed, each with its strongest match (`MATCHES`), sorted by row id."""
    removes = matches.filter(pl.col("verdict") == "removes").sort("row_id", *_ORDER)
    return removes.unique("row_id", keep="first", maintain_order=True)


class Gate:
    """A search for benchmark items in rows.

    Args:
        items: Columns item_id, benchmark, prompt; optionally `further` (list of texts after the prompt) and `answer`.
        rule: Settings that define a hit and its consequences.
        allowed: Widely quoted texts. A hit that depends on a stretch of one of them is excused.
    """

    def __init__(self, items: pl.DataFrame, rule: Decontamination, allowed: Iterable[str] = ()):
        self._rule = rule
        lengths = [n for n in (rule.ngram, rule.overlap_ngram if rule.overlap is not None else None) if n]
        self._uses_runs = bool(lengths)
        self._shortest = min(lengths, default=rule.overlap_ngram)
        self._covers = rule.overlap_ngram if rule.overlap is not None else self._shortest
        parts = [part for part, sides in rule.sides.items() if sides]
        self._sides = sorted(frozenset[str]().union(*rule.sides.values()))
        self._index = Index(items, parts, self._shortest, rule.exact_words, list(allowed))

    def matches(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return all hits in rows (columns row_id, messages), whatever their verdict.

        Returns:
            Lines of schema `MATCHES`, at most `LINES_PER_ROW` per row, sorted by row id and then by strength.
        """
        chunks = [self._match_turns(turns) for turns in self._turns(rows)] if self._index.parts.height else []
        return _bound(pl.concat([pl.DataFrame(schema=MATCHES), *chunks]))

    def hits(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows (columns row_id, messages) that must be removed, as `select_removals` does."""
        return select_removals(self.matches(rows))

    def _turns(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the turns to compare, in chunks: row_id, turn (index), side (role), content."""
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

    def _match_turns(self, turns: pl.DataFrame) -> pl.DataFrame:
        tokens = Tokens.from_texts(turns["content"])
        hits = pl.concat([self._find_exact(tokens), self._find_shared(tokens)])
        if hits.is_empty():
            return pl.DataFrame(schema=MATCHES)
        placed = hits.with_columns(
            *turns.select("row_id", "side", "turn")[hits["text"]],
            *self._index.parts.select("benchmark", "item_id", "part")[hits["item_part"]],
        )
        removing = ((pl.col("rule") == rule) & _among(sides) for rule, sides in self._rule.remove.items())
        removes = pl.when(pl.any_horizontal(removing)).then(pl.lit("removes")).otherwise(pl.lit("reported"))
        verdict = pl.when("excused").then(pl.lit("excused")).otherwise(removes)
        lines = _bound(placed.filter(_among(self._rule.sides)).with_columns(verdict.alias("verdict")))
        spans = [tokens.quote(*run) for run in lines.select("text", "start", "shared").iter_rows()]
        return lines.with_columns(pl.Series("span", spans, dtype=pl.String)).select(list(MATCHES))

    def _find_exact(self, tokens: Tokens) -> pl.DataFrame:
        """Return the hits of the rule exact_prompt, as `_HITS`."""
        if not self._rule.exact:
            return pl.DataFrame(schema=_HITS)
        runs = np.concatenate([self._index.find_equal(tokens), self._index.find_wrapped(tokens)])
        excused = self._index.allowed_until[runs[:, 3]] >= runs[:, 3] + runs[:, 4]
        return _hits("exact_prompt", runs, np.ones(len(runs)), excused)

    def _find_shared(self, tokens: Tokens) -> pl.DataFrame:
        """Return the hits of the rules ngram and overlap, as `_HITS`."""
        if not self._uses_runs:
            return pl.DataFrame(schema=_HITS)
        runs = self._index.find_runs(tokens)
        while True:
            begins = np.flatnonzero(np.diff(runs[:, 0], prepend=-1) | np.diff(runs[:, 1], prepend=-1))
            firsts = np.append(begins, len(runs))
            (share, every), (_, unexcused) = (self._apply_rules(runs, firsts, allowed) for allowed in (True, False))
            fired = every["ngram"][0] | every["overlap"][0]
            suspects = np.flatnonzero(np.repeat(fired, np.diff(firsts)))
            wrong = suspects[~self._index.confirm(runs[suspects], tokens)]
            if not len(wrong):
                break
            runs = np.delete(runs, wrong, axis=0)
        hits = []
        for rule, (fires, longest) in every.items():
            holds, longest_unexcused = unexcused[rule]
            evidence = np.where(holds, longest_unexcused, longest)
            hits.append(_hits(rule, runs[evidence[fires]], share[fires], ~holds[fires]))
        return pl.concat(hits)

    def _apply_rules(
        self, runs: np.ndarray, firsts: np.ndarray, of_allowed: bool
    ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Apply the rules ngram and overlap to pairs of a turn and a part. `kernels.measure` describes the arguments.

        Returns:
            The covered share of the part's tokens, or of its head's tokens if that is higher. By rule, a mask of the
            pairs that are hits, and the index of the longest run that is evidence of each.
        """
        from infinity_assets.decontamination.kernels import measure

        index, rule, least = self._index, self._rule, self._rule.min_words
        begins = index.tokens.scan.offsets[:-1]
        measured = measure(
            runs, firsts, rule.ngram or 0, least, self._covers, index.words_before, begins + index.heads,
            index.allowed_until, of_allowed,
        )  # fmt: skip
        parts = runs[firsts[:-1], 1]
        share = np.zeros(len(parts))
        overlap = np.zeros(len(parts), bool)
        for tokens, words, lengths in ((0, 1, index.tokens.lengths), (2, 3, index.heads)):
            covered, length = measured[:, tokens], lengths[parts]
            covered_share = covered / np.maximum(length, 1)
            words_in_part = (index.words_before[begins + lengths] - index.words_before[begins])[parts]
            if rule.overlap is not None:
                enough = (covered >= rule.overlap_tokens) | (covered == length)
                enough &= measured[:, words] >= np.minimum(np.maximum(words_in_part, 1), least)
                overlap |= (covered_share > rule.overlap) & enough
            share = np.maximum(share, covered_share)
        return share, {"ngram": (measured[:, 4] >= 0, measured[:, 4]), "overlap": (overlap, measured[:, 5])}


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
    """Return an expression that is true if `sides` lists the role of the turn for the part of the item."""
    return pl.any_horizontal(
        (pl.col("part") == part) & pl.col("side").is_in(list(roles)) for part, roles in sides.items()
    )


def _bound(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the strongest line per key (`_HIT`), and of these the `LINES_PER_ROW` strongest of each row."""
    once = lines.sort("row_id", *_ORDER).unique(_HIT, keep="first", maintain_order=True)
    return once.filter(pl.int_range(pl.len()).over("row_id") < LINES_PER_ROW)
