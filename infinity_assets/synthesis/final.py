"""The last filter before InfInstruct-G, applied to the conversations of all rounds.

Infinity-Instruct's diagram of the data flow shows such a filter but does not describe it. Its later releases contain
rewards. Rewards are not comparable across domains and languages, so a row is ranked within its own domain and language.
Rows that fail any other rule are dropped whatever their reward.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from infinity_assets.dedup import fingerprints
from infinity_assets.dedup.duplicates import find_duplicates
from infinity_assets.dedup.fingerprints import fingerprint
from infinity_assets.rows import conversation, schema
from infinity_assets.selection.rules import Rule, first_failure
from infinity_assets.settings import Dedup, Near
from infinity_assets.settings.chat import Final
from infinity_assets.synthesis.lineage import merge_parents
from infinity_assets.synthesis.safety import find_harm

REASONS = (
    "repeats_another", "contaminated", "unsafe", "licence_denied", "terms_denied", "not_scored", "low_answer_score", "in_foundation",
    "near_duplicate_of_seed", "near_duplicate_of_foundation", "near_duplicate", "low_reward",
)  # fmt: skip
"""Reasons for dropping a row, in the order in which they are tested."""

BATCH = 10_000
"""Number of rows that are fingerprinted at a time."""

_GROUP = ("domain", "language")
_BELOW = 0.2
"""Pairs are also reported if their similarity is at most this far below the threshold."""
_PAIRS = 1 << 22
"""Approximate maximum number of candidate pairs in memory."""

NEAREST = pl.Schema({"row_id": pl.String, "other": pl.String, "similarity": pl.Float64, "same": pl.Boolean})
"""Ids of a row and of the most similar row of another set. `same`: the two have equal content. Key: row_id."""


@dataclass(frozen=True)
class FilterResult:
    """Result of the final filter."""

    kept: pl.DataFrame
    """The rows of InfInstruct-G, sorted by id, with `terms` and `quantile`."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`: one line per input row."""
    pairs: pl.DataFrame
    """Compared pairs, by distance from the threshold: row_id, other, against (seed, foundation, g), similarity, dropped."""


def filter_rows(
    arrived: pl.DataFrame,
    terms: str,
    hits: pl.DataFrame,
    seeds: Iterable[pl.DataFrame],
    foundation: Iterable[pl.DataFrame],
    settings: Final,
    near: Near,
    workers: int = 1,
) -> FilterResult:
    """Filter the rows of all rounds.

    Args:
        arrived: `schema.SYNTHETIC_ROW` with round, answer_score and reward. A row id may occur in several rounds.
        terms: Terms of use of the model that wrote the rows.
        hits: Rows in which the gate found a benchmark item: row_id, item_id, rule, share, span.
        seeds, foundation: Batches of the seeds and of InfInstruct-F: row_id, messages, source, file, position.
        settings: Settings of the filter.
        near: Rule for near-duplicates. Its threshold is replaced by the threshold in `settings`.
        workers: Number of threads.
    """
    near = whole_conversation_rule(near, settings)
    rows, repeated = merge_parents(arrived, "round")
    prints = Prints(rows, near)
    against = {"seed": prints.find_nearest(seeds), "foundation": prints.find_nearest(foundation)}
    described = rows.with_columns(harm=find_harm(conversation.whole()), terms=pl.lit(terms)).join(
        hits.select("row_id", "item_id", "rule", "share", "span"), on="row_id", how="left", maintain_order="left"
    )
    for name, nearest in against.items():
        columns = nearest.select("row_id", **{f"{name}_{column}": column for column in ("other", "similarity", "same")})
        described = described.join(columns, on="row_id", how="left", maintain_order="left")
    failed = first_failure(described, _rules(settings))
    left = described.join(failed, on="row_id", how="anti", maintain_order="left")
    lost = prints.find_losers(left, workers)
    detail = pl.struct(
        "similarity", threshold=pl.lit(settings.near), duplicate_of="duplicate_of", matched="matched", method="method"
    ).struct.json_encode()
    near_duplicates = lost.select("row_id", reason=pl.lit("near_duplicate"), detail=detail)
    left = rank_rows(left.join(lost, on="row_id", how="anti", maintain_order="left"), settings)
    failed = pl.concat([failed, near_duplicates, first_failure(left, [_LOW])])
    kept = left.join(failed, on="row_id", how="anti").select(*arrived.columns, "terms", "quantile").sort("row_id")
    passed = kept.with_columns(
        verdict=pl.lit("chosen"),
        reason=pl.lit("passed_final_filter"),
        detail=pl.struct("answer_score", "reward", "quantile", "round").struct.json_encode(),
    )
    detail = pl.struct("round", duplicate_of="row_id").struct.json_encode()
    dropped = [
        repeated.with_columns(reason=pl.lit("repeats_another"), detail=detail),
        rows.join(failed, on="row_id", maintain_order="left"),
    ]
    decisions = [*(part.with_columns(verdict=pl.lit("dropped")) for part in dropped), passed]
    decisions = pl.concat([part.select(schema.DECISIONS.names()) for part in decisions])
    return FilterResult(kept, decisions, _list_pairs(against, lost, failed, settings.near))


def whole_conversation_rule(near: Near, settings: Final) -> Near:
    """Return the near-duplicate rule of InfInstruct-G: the pool's rule with another threshold, for whole conversations."""
    return near.model_copy(update={"threshold": settings.near, "answers": "any"})


def _rules(settings: Final) -> list[Rule]:
    hit = pl.format("{} by {}: {}", "item_id", "rule", "span")
    harm, licence, terms, score = (pl.col(name) for name in ("harm", "licence", "terms", "answer_score"))
    licences, denied = settings.denied_licences, settings.denied_terms
    scored = score.is_finite().fill_null(False)
    rules = [
        Rule("contaminated", pl.col("item_id").is_not_null(), pl.col("share"), evidence=hit),
        Rule("unsafe", harm.is_not_null(), harm.str.slice(0, 120)),
        Rule("licence_denied", licence.is_in(licences), licence, ", ".join(licences)),
        Rule("terms_denied", terms.is_in(denied), terms, ", ".join(denied)),
        Rule("not_scored", ~scored, score),
        Rule("low_answer_score", score < settings.min_answer_score, score, settings.min_answer_score),
        Rule("in_foundation", pl.col("foundation_same"), pl.lit(1.0), evidence=pl.col("foundation_other")),
    ]
    for name in ("seed", "foundation"):
        near, other = pl.col(f"{name}_similarity"), pl.col(f"{name}_other")
        rules.append(Rule(f"near_duplicate_of_{name}", near >= settings.near, near, settings.near, other))
    return rules


_PLACE = pl.format("{} of {} by {}", "place", "rows", "by")
_LOW = Rule("low_reward", pl.col("place") < pl.col("cut"), pl.col("measure"), pl.col("least"), _PLACE)


def rank_rows(rows: pl.DataFrame, settings: Final) -> pl.DataFrame:
    """Rank rows within their domain and language, by reward if all rows of the group have one, else by answer_score.

    Args:
        rows: row_id, domain, language, reward, answer_score.
        settings: The share of rows to drop from each group, and the minimum size of a group that loses rows.

    Returns:
        The rows with `quantile` (share of the group's other rows that rank lower, where a tie counts half; 1 for a
        single row), `by` (name of the measure), `measure`, `place` (rank from 0, the lowest first; ties by id), `rows`
        (size of the group), `cut` (number of rows to drop) and `least` (lowest measure of the kept rows).
    """
    reward = pl.when(pl.col("reward").is_finite()).then("reward")
    rewarded = reward.is_not_null().all().over(_GROUP)
    measured = rows.with_columns(
        by=pl.when(rewarded).then(pl.lit("reward")).otherwise(pl.lit("answer_score")),
        measure=pl.when(rewarded).then(reward).otherwise("answer_score"),
    ).sort("measure", "row_id")
    others = pl.len().over(_GROUP) - 1
    below = (pl.col("measure").rank("average").over(_GROUP) - 1) / others
    share = (settings.drop_quantile * pl.len().over(_GROUP) + 1e-9).floor().cast(pl.Int64)
    placed = measured.with_columns(
        quantile=pl.when(others > 0).then(below).otherwise(1.0),
        place=pl.int_range(pl.len()).over(_GROUP),
        rows=pl.len().over(_GROUP),
        cut=pl.when(pl.len().over(_GROUP) >= settings.min_group).then(share).otherwise(0),
    )
    stays = pl.when(pl.col("place") >= pl.col("cut")).then("measure")
    return placed.with_columns(least=stays.min().over(_GROUP))


class Prints:
    """Fingerprints of rows with distinct ids, indexed by band, for comparison with other rows in batches."""

    def __init__(self, rows: pl.DataFrame, rule: Near):
        self._rule = rule
        parts = [fingerprint(rows[start : start + BATCH], rule) for start in range(0, rows.height, BATCH)]
        self._prints = pl.concat([pl.DataFrame(schema=fingerprints.schema(rule)), *parts])
        self._signed = np.flatnonzero(self._prints["signed"].to_numpy())
        self._sizes = self._prints["size"].to_numpy()
        self._shingles, self._begins = _flatten_shingles(self._prints)
        keys = self._prints["keys"].to_numpy()[self._signed]
        self._orders = [np.argsort(band, kind="stable") for band in keys.T]
        self._bands = [band[order] for band, order in zip(keys.T, self._orders, strict=True)]

    def find_nearest(self, others: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """Find for each row the most similar of other rows, among those with equal content or a common band.

        Args:
            others: Batches of about ten thousand other rows: row_id, messages, source, file, position.

        Returns:
            `NEAREST`, for the rows to which another row is similar.
        """
        nearest = pl.DataFrame(schema=NEAREST)
        for batch in others:
            prints = fingerprint(batch, self._rule)
            pairs = [nearest, self._find_equal(prints), *self._find_similar(prints)]
            best = pl.concat(pairs).sort("row_id", pl.col("same").not_(), pl.col("similarity") * -1, "other")
            nearest = best.unique("row_id", keep="first", maintain_order=True)
        return nearest

    def find_losers(self, rows: pl.DataFrame, workers: int) -> pl.DataFrame:
        """Return `duplicates.DUPLICATES`: the rows (row_id, reward, answer_score) that are duplicates of a better row.

        The better row has the higher reward if all rows have one, else the higher answer_score.
        """
        better = "reward" if rows.height and rows["reward"].is_finite().fill_null(False).all() else "answer_score"
        score = rows.select("row_id", score=pl.col(better).cast(pl.Float64))
        prints = self._prints.drop("score").join(score, on="row_id", maintain_order="left").select(self._prints.columns)
        return find_duplicates({"g": prints.lazy()}, Dedup(near=self._rule), workers=workers)

    def _find_equal(self, prints: pl.DataFrame) -> pl.DataFrame:
        """Return the pairs with equal content."""
        others = prints.select("content_hash", other="row_id")
        equal = self._prints.select("row_id", "content_hash").join(others, on="content_hash")
        return equal.select("row_id", "other", similarity=pl.lit(1.0), same=pl.lit(True))

    def _find_similar(self, prints: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the pairs that share a band and have a similarity of at least the threshold minus `_BELOW`."""
        from infinity_assets.dedup.comparing_kernels import similarities

        signed = prints.filter("signed")
        floor = max(self._rule.threshold - _BELOW, 0.0)
        mine, theirs = self._sizes, signed["size"].to_numpy()
        shingles, begins = _flatten_shingles(signed)
        for left, right in self._find_candidates(signed["keys"].to_numpy()):
            small, large = np.minimum(mine[left], theirs[right]), np.maximum(mine[left], theirs[right])
            left, right = left[small >= floor * large], right[small >= floor * large]
            similarity = np.empty(len(left), np.float32)
            similarities(self._shingles, self._begins, shingles, begins, left, right, floor, similarity)
            alike = similarity >= floor
            yield pl.DataFrame(
                {
                    "row_id": self._prints["row_id"].gather(left[alike]),
                    "other": signed["row_id"].gather(right[alike]),
                    "similarity": similarity[alike].astype(np.float64).round(6),
                    "same": np.zeros(int(alike.sum()), bool),
                },
                schema=NEAREST,
            )

    def _find_candidates(self, keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield pairs that share a band, as index arrays (row, other). A pair may occur in several arrays."""
        held, count = [np.empty(0, np.int64)], 0
        width = max(len(keys), 1)
        for band, order, asked in zip(self._bands, self._orders, keys.T, strict=True):
            low, high = np.searchsorted(band, asked, "left"), np.searchsorted(band, asked, "right")
            for start, stop in _split_portions(high - low):
                lengths = high[start:stop] - low[start:stop]
                other = np.repeat(np.arange(start, stop), lengths)
                within = np.arange(len(other)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
                row = self._signed[order[np.repeat(low[start:stop], lengths) + within]]
                held.append(row * width + other)
                count += len(other)
                if count >= _PAIRS:
                    yield np.divmod(np.unique(np.concatenate(held)), width)
                    held, count = [np.empty(0, np.int64)], 0
        yield np.divmod(np.unique(np.concatenate(held)), width)


def _flatten_shingles(prints: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the concatenated shingles of all rows, and the offset of each row in them."""
    shingles = prints["shingles"].explode(empty_as_null=False).to_numpy()
    return shingles, np.concatenate([[0], np.cumsum(prints["size"].to_numpy(), dtype=np.int64)])


def _split_portions(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield index ranges (start, stop) whose lengths sum to at most `_PAIRS`. A longer element has a range of its own."""
    total, start = np.cumsum(lengths), 0
    while start < len(lengths):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + _PAIRS, "right")))
        yield start, stop
        start = stop


def _list_pairs(
    against: dict[str, pl.DataFrame], lost: pl.DataFrame, failed: pl.DataFrame, threshold: float
) -> pl.DataFrame:
    by_another = pl.col("reason").str.starts_with("near_duplicate") | (pl.col("reason") == "in_foundation")
    near = failed.filter(by_another)["row_id"]
    found = {**against, "g": lost.rename({"matched": "other"})}
    pairs = pl.concat(
        [nearest.select("row_id", "other", "similarity", against=pl.lit(name)) for name, nearest in found.items()]
    )
    apart = (pl.col("similarity") - threshold).abs()
    pairs = pairs.select("row_id", "other", "against", "similarity", dropped=pl.col("row_id").is_in(near.implode()))
    return pairs.sort(apart, "row_id", "against")
