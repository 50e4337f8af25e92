"""The last filter before InfInstruct-G: what of the conversations of all rounds is kept, and why the rest is not.

Infinity-Instruct's figure of the data flow shows such a filter and says nothing of it; its later releases carry a reward. Rewards of different
domains and languages are not comparable, so the place of a row within its own group decides, and what is wrong in form or comes from elsewhere is
dropped whatever its reward.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from infinity_assets.dedup import fingerprints
from infinity_assets.dedup.duplicates import find_duplicates
from infinity_assets.dedup.fingerprints import PLACE, fingerprint
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.selection.rules import Rule, first_failure
from infinity_assets.settings import Dedup, Near
from infinity_assets.settings.chat import Final
from infinity_assets.synthesis.safety import harmful

REASONS = (
    "repeats_another", "contaminated", "unsafe", "licence_denied", "terms_denied", "not_scored", "low_answer_score", "in_foundation",
    "near_duplicate_of_seed", "near_duplicate_of_foundation", "near_duplicate", "low_reward",
)  # fmt: skip
"""In the order in which they are tried."""

BATCH = 10_000
"""Rows that are fingerprinted at a time."""

_GROUP = ("domain", "language")
_BELOW = 0.2
"""Pairs that are less similar than the threshold by up to this are told, too."""
_PAIRS = 1 << 22
"""Candidate pairs that are held at a time."""

NEAREST = pl.Schema({"row_id": pl.String, "other": pl.String, "similarity": pl.Float64, "same": pl.Boolean})
"""Of a row, the one of some other rows that is most similar to it, and whether their contents are equal."""


@dataclass(frozen=True)
class Filtered:
    """What the filter made of the rows."""

    kept: pl.DataFrame
    """The rows of G, sorted by id, with `terms` and `quantile`."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`: one line per row that came in."""
    pairs: pl.DataFrame
    """Pairs of a row and one that it was held against, those nearest to the threshold first: row_id, other, against, similarity, dropped."""


def keep(
    arrived: pl.DataFrame,
    terms: str,
    hits: pl.DataFrame,
    seeds: Iterable[pl.DataFrame],
    foundation: Iterable[pl.DataFrame],
    settings: Final,
    near: Near,
    workers: int = 1,
) -> Filtered:
    """Filter the rows of all rounds.

    Args:
        arrived: Rows of `schema.SYNTHETIC_ROW` with answer_score and reward; an id may come twice, from different rounds.
        terms: Of the model that wrote them.
        hits: Rows in which the gate found a benchmark item: row_id, item_id, rule, share, span.
        seeds: The seeds, some at a time: row_id, messages, source, file, position.
        foundation: InfInstruct-F, likewise.
        settings: Of the filter.
        near: How near-duplicates are found; the threshold is that of `settings`.
        workers: Threads.
    """
    near = whole_conversations(near, settings)
    rows, repeated = _once(arrived)
    prints = Prints(rows, near)
    against = {"seed": prints.nearest(seeds), "foundation": prints.nearest(foundation)}
    described = rows.with_columns(harm=harmful(conversation.whole()), terms=pl.lit(terms)).join(
        hits.select("row_id", "item_id", "rule", "share", "span"), on="row_id", how="left", maintain_order="left"
    )
    for name, found in against.items():
        found = found.select("row_id", **{f"{name}_{column}": column for column in ("other", "similarity", "same")})
        described = described.join(found, on="row_id", how="left", maintain_order="left")
    failed = first_failure(described, _rules(settings))
    left = described.join(failed, on="row_id", how="anti", maintain_order="left")
    lost = prints.losers(left, workers)
    detail = pl.struct(
        "similarity", threshold=pl.lit(settings.near), duplicate_of="duplicate_of", matched="matched", method="method"
    )
    failed = pl.concat(
        [failed, lost.select("row_id", reason=pl.lit("near_duplicate"), detail=detail.struct.json_encode())]
    )
    left = ranked(left.join(lost, on="row_id", how="anti", maintain_order="left"), settings)
    failed = pl.concat([failed, first_failure(left, [_LOW])])
    kept = left.join(failed, on="row_id", how="anti").select(*arrived.columns, "terms", "quantile").sort("row_id")
    passed = kept.with_columns(
        verdict=pl.lit("chosen"),
        reason=pl.lit("passed_final_filter"),
        detail=pl.struct("answer_score", "reward", "quantile", "round").struct.json_encode(),
    )
    dropped = pl.concat([repeated, rows.join(failed, on="row_id", maintain_order="left").select(repeated.columns)])
    decisions = [
        part.select(list(schema.DECISIONS)) for part in (dropped.with_columns(verdict=pl.lit("dropped")), passed)
    ]
    return Filtered(kept, pl.concat(decisions), _closest(against, lost, failed, settings.near))


def whole_conversations(near: Near, settings: Final) -> Near:
    """The rule for near-duplicates of G: two conversations are held against each other as a whole, by the bands and shingles of the pool's rule."""
    return near.model_copy(update={"threshold": settings.near, "answers": "any"})


def _rules(settings: Final) -> list[Rule]:
    hit = pl.format("{} by {}: {}", "item_id", "rule", "span")
    return [
        Rule("contaminated", pl.col("item_id").is_not_null(), pl.col("share"), evidence=hit),
        Rule("unsafe", pl.col("harm").is_not_null(), pl.col("harm").str.slice(0, 120)),
        Rule(
            "licence_denied",
            pl.col("licence").is_in(settings.denied_licences),
            pl.col("licence"),
            ", ".join(settings.denied_licences),
        ),
        Rule(
            "terms_denied",
            pl.col("terms").is_in(settings.denied_terms),
            pl.col("terms"),
            ", ".join(settings.denied_terms),
        ),
        Rule("not_scored", ~pl.col("answer_score").is_finite().fill_null(False), pl.col("answer_score")),
        Rule(
            "low_answer_score",
            pl.col("answer_score") < settings.min_answer_score,
            pl.col("answer_score"),
            settings.min_answer_score,
        ),
        Rule("in_foundation", pl.col("foundation_same"), pl.lit(1.0), evidence=pl.col("foundation_other")),
        *(
            Rule(
                f"near_duplicate_of_{name}",
                pl.col(f"{name}_similarity") >= settings.near,
                pl.col(f"{name}_similarity"),
                settings.near,
                pl.col(f"{name}_other"),
            )
            for name in ("seed", "foundation")
        ),
    ]


_LOW = Rule(
    "low_reward",
    pl.col("place") < pl.col("cut"),
    pl.col("measure"),
    pl.col("least"),
    pl.format("{} of {} by {}", "place", "rows", "by"),
)


def ranked(rows: pl.DataFrame, settings: Final) -> pl.DataFrame:
    """The place of every row within its domain and language: by reward where all rows of the group have one, else by the judge's score.

    Args:
        rows: row_id, domain, language, reward, answer_score.
        settings: How many of the lowest are dropped.

    Returns:
        The rows with `quantile` (the share of the group's other rows below it, ties in half; 1 for a row alone), `by`, `measure`, `place` (from 0,
        the lowest first; ties by id), `rows` (of the group), `cut` (so many are dropped) and `least` (the lowest measure that is not).
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


def _once(arrived: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every row once, that of the earliest round, with the parents of all and the most restrictive of their licences; the others, as decisions."""
    ordered = arrived.sort("row_id", "round", pl.col("parents").list.join(" "))
    first = pl.int_range(pl.len()).over("row_id") == 0
    several = ordered.filter(pl.len().over("row_id") > 1)
    merged = (
        several.explode("parents")
        .group_by("row_id")
        .agg(most_restrictive(pl.col("licence")), pl.col("parents").unique().sort())
    )
    rows = ordered.filter(first).update(merged, on="row_id", maintain_order="left") if several.height else ordered
    detail = pl.struct("round", duplicate_of="row_id").struct.json_encode()
    repeated = ordered.filter(~first).with_columns(reason=pl.lit("repeats_another"), detail=detail)
    return rows, repeated.select("row_id", *PLACE, "reason", "detail")


class Prints:
    """Fingerprints of rows, sorted by band, so that any number of others can be held against them a batch at a time.

    Args:
        rows: Rows of the pool's schema with distinct ids.
        rule: How they are signed.
    """

    def __init__(self, rows: pl.DataFrame, rule: Near):
        self._rule = rule
        parts = [fingerprint(rows[start : start + BATCH], rule) for start in range(0, rows.height, BATCH)]
        self._prints = pl.concat([pl.DataFrame(schema=fingerprints.schema(rule)), *parts])
        self._signed = np.flatnonzero(self._prints["signed"].to_numpy())
        self._sizes = self._prints["size"].to_numpy()
        self._shingles, self._begins = _flat(self._prints)
        keys = self._prints["keys"].to_numpy()[self._signed]
        self._orders = [np.argsort(band, kind="stable") for band in keys.T]
        self._bands = [band[order] for band, order in zip(keys.T, self._orders, strict=True)]

    def nearest(self, others: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """The most similar of the others of each row, as `NEAREST`; a row that is like none has no line. Only rows that share a band are compared.

        Args:
            others: Some ten thousand rows at a time: row_id, messages, source, file, position.
        """
        found = pl.DataFrame(schema=NEAREST)
        for batch in others:
            prints = fingerprint(batch, self._rule)
            pairs = [found, self._equal(prints), *self._similar(prints)]
            best = pl.concat(pairs).sort("row_id", pl.col("same").not_(), pl.col("similarity") * -1, "other")
            found = best.unique("row_id", keep="first", maintain_order=True)
        return found

    def losers(self, rows: pl.DataFrame, workers: int) -> pl.DataFrame:
        """Of some of the rows, those that are duplicates of a better one, as `duplicates.DUPLICATES`: the higher reward is better where all have one,
        else the judge's higher score.

        Args:
            rows: row_id, reward, answer_score.
            workers: Threads.
        """
        better = "reward" if rows.height and rows["reward"].is_finite().fill_null(False).all() else "answer_score"
        score = rows.select("row_id", score=pl.col(better).cast(pl.Float64))
        prints = self._prints.drop("score").join(score, on="row_id", maintain_order="left").select(self._prints.columns)
        return find_duplicates({"g": prints.lazy()}, Dedup(near=self._rule), workers=workers)

    def _equal(self, prints: pl.DataFrame) -> pl.DataFrame:
        """Pairs with the same content."""
        others = prints.select("content_hash", other="row_id")
        return self._prints.select("row_id", "content_hash").join(others, on="content_hash").select(
            "row_id", "other", similarity=pl.lit(1.0), same=pl.lit(True)
        )  # fmt: skip

    def _similar(self, prints: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Pairs that share a band and are alike, about."""
        from infinity_assets.dedup.comparing_kernels import similarities

        signed = prints.filter("signed")
        floor = max(self._rule.threshold - _BELOW, 0.0)
        mine, theirs = self._sizes, signed["size"].to_numpy()
        shingles, begins = _flat(signed)
        for left, right in self._candidates(signed["keys"].to_numpy()):
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

    def _candidates(self, keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs (row, other) that share a band, some of them in more than one portion."""
        held, count = [np.empty(0, np.int64)], 0
        width = max(len(keys), 1)
        for band, order, asked in zip(self._bands, self._orders, keys.T, strict=True):
            low, high = np.searchsorted(band, asked, "left"), np.searchsorted(band, asked, "right")
            for start, stop in _portions(high - low):
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


def _flat(prints: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of all rows one after another, and where each row's begin."""
    shingles = prints["shingles"].explode(empty_as_null=False).to_numpy()
    return shingles, np.concatenate([[0], np.cumsum(prints["size"].to_numpy(), dtype=np.int64)])


def _portions(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Stretches of places whose lengths come to no more than can be held, or of one place."""
    total, start = np.cumsum(lengths), 0
    while start < len(lengths):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + _PAIRS, "right")))
        yield start, stop
        start = stop


def _closest(
    against: dict[str, pl.DataFrame], lost: pl.DataFrame, failed: pl.DataFrame, threshold: float
) -> pl.DataFrame:
    near = failed.filter(pl.col("reason").str.starts_with("near_duplicate") | (pl.col("reason") == "in_foundation"))[
        "row_id"
    ]
    pairs = [
        found.select("row_id", "other", pl.lit(name).alias("against"), "similarity") for name, found in against.items()
    ]
    pairs.append(lost.select("row_id", pl.col("matched").alias("other"), pl.lit("g").alias("against"), "similarity"))
    apart = (pl.col("similarity") - threshold).abs()
    return (
        pl.concat(pairs).with_columns(dropped=pl.col("row_id").is_in(near.implode())).sort(apart, "row_id", "against")
    )
