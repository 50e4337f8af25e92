"""The arena compares selectors on equal rows at equal size. Pure functions from frames to tables.

| table | grain | contents |
|---|---|---|
| summary | selector | rows taken, labels, length, near-duplicates inside, proximity to the benchmarks, cost |
| overlap | pair of selectors | rows that both take, and their Jaccard similarity |
| mix | selector, column, value | rows by source, domain, language and length |
| reach | selector, domain of benchmarks | cosines of items to their nearest row, and of rows to their nearest item |
| reasons | selector, reason | rows that were not taken, by reason |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.selection.composition import compose, scale_quotas
from infinity_assets.selection.diversity import ReprFilter
from infinity_assets.selection.domain_budget import budget
from infinity_assets.selection.selector import OVER_SIZE, VERDICTS
from infinity_assets.selection.selectors import SELECTORS, select
from infinity_assets.selection.vectors import to_matrix, to_unit
from infinity_assets.settings import Foundation

RECIPE = "infinity"
"""Name of the composed recipe for F as a contestant."""

LENGTHS = (0, 30, 100, 300, 1000, 3000)
"""Lower bounds of the classes of answer length, in characters."""

_OPTIONAL = {"topic_share", "is_seed", "domain", "log_weight", "stratum", "share"}
"""Columns whose nulls are valid: a domain without a target has no weights."""
_ROWS = 1024

Fetch = Callable[[pl.Series], pl.DataFrame]
Proxy = Callable[[str, pl.Series], Mapping[str, float]]
"""Function from a selector's name and row ids to scores by benchmark: trains a model on the rows and evaluates it."""


@dataclass(frozen=True)
class Arena:
    """The result of a comparison. The module docstring describes the tables."""

    size: int
    rows: int
    """Number of rows that all contestants chose from."""
    chosen: pl.DataFrame
    """Columns selector, row_id, place: one line per selector and row that it took."""
    summary: pl.DataFrame
    overlap: pl.DataFrame
    mix: pl.DataFrame
    reach: pl.DataFrame
    reasons: pl.DataFrame


def check_selectors(selectors: Sequence[str]) -> list[str]:
    """Validate the names and return them without repetitions.

    Raises:
        InfinityError: A name is unknown, or there are no names.
    """
    if not selectors:
        raise InfinityError(f"Name at least one selector; there are {', '.join([*SELECTORS, RECIPE])}.")
    if unknown := [name for name in selectors if name not in {*SELECTORS, RECIPE}]:
        raise InfinityError(f"There is no selector {', '.join(unknown)}; there are {', '.join([*SELECTORS, RECIPE])}.")
    return list(dict.fromkeys(selectors))


def _required_columns(name: str) -> set[str]:
    # The recipe for F runs its selectors on the rows that have their columns.
    return set() if name == RECIPE else set(SELECTORS[name].needs)


def required_columns(selectors: Sequence[str]) -> set[str]:
    """Return the columns that the contestants require."""
    return set().union(*map(_required_columns, selectors))


def _has(frame: pl.DataFrame, column: str) -> pl.Expr:
    listed = isinstance(frame.schema[column], pl.List)
    return (pl.col(column).list.len() > 0 if listed else pl.col(column).is_not_null()).fill_null(value=False)


def has_all(frame: pl.DataFrame, columns: Iterable[str]) -> pl.Expr:
    """Return whether a row has a value in all of these columns, except those whose nulls are valid."""
    return pl.all_horizontal(pl.lit(value=True), *(_has(frame, column) for column in sorted(set(columns) - _OPTIONAL)))


def scarcity(frame: pl.DataFrame, selectors: Sequence[str]) -> pl.DataFrame:
    """Count the rows with a value per required column: column, rows, selectors (that require it)."""
    counted = [
        (
            column,
            int(frame.select(_has(frame, column).sum()).item()),
            ", ".join(n for n in selectors if column in _required_columns(n)),
        )
        for column in sorted(required_columns(selectors) - _OPTIONAL)
        if column in frame.columns
    ]
    return pl.DataFrame(counted, schema={"column": pl.String, "rows": pl.Int64, "selectors": pl.String}, orient="row")


def infinity(frame: pl.DataFrame, size: int, settings: Foundation, fetch: Fetch | None = None) -> pl.DataFrame:
    """Run the recipe for F as a selector, with the domains' shares of F scaled to the size as quotas.

    Returns:
        Verdicts, like any selector's.
    """
    available = frame.group_by("domain").len("rows")
    rows_of = dict(available.select("domain", pl.col("rows").cast(pl.Int64)).iter_rows())
    shares = budget(available, settings.model_copy(update={"max_rows": frame.height}))
    quotas = scale_quotas(dict(shares.select("domain", "quota").iter_rows()), rows_of, size)
    composed = compose(frame, quotas, settings, fetch)
    # Domains take turns, so that there is one order of all rows.
    order = composed.filter("taken").select(
        "row_id", key=pl.col("place") / pl.col("domain").replace_strict(quotas, default=1.0, return_dtype=pl.Float64)
    )
    places = order.sort("key", "row_id").select("row_id", pl.int_range(pl.len(), dtype=pl.Int64).alias("place"))
    reason = (
        pl.when("taken")
        .then(pl.lit(RECIPE))
        .when(pl.col("reason") == "over_quota")
        .then(pl.lit(OVER_SIZE))
        .otherwise("reason")
    )
    return (
        composed.with_columns(reason.alias("reason"))
        .drop("place")
        .join(places, on="row_id", how="left")
        .select(list(VERDICTS))
        .sort("row_id")
    )


def compare(
    frame: pl.DataFrame,
    selectors: Sequence[str],
    size: int,
    settings: Foundation,
    *,
    fetch: Fetch,
    items: pl.DataFrame,
    calls: pl.DataFrame,
    proxy: Proxy | None = None,
    advance: Callable[[str], None] = lambda name: None,
) -> Arena:
    """Run the selectors and measure their selections.

    Args:
        frame: The rows to select from: row_id, source, domain, language, answer_chars, ability, proximity, and the
            columns that the selectors require.
        selectors: Contestants: names of the registry, or `infinity`.
        size: Rows that each selector is to take.
        settings: The recipe.
        fetch: Function from row ids to row_id and vector.
        items: Items of the benchmarks: domain, vector.
        calls: Model calls about the rows: row_id, prompt (its name in the ledger tables), prompt_tokens,
            completion_tokens, cost.
        proxy: Function that trains a model on a selection and evaluates it.
        advance: Called with the name of each selector before it runs.
    """
    chosen = []
    reasons = []
    lines = []
    reach = []
    vocabulary = frame["ability"].list.explode(keep_nulls=False, empty_as_null=False).n_unique()
    for name in selectors:
        advance(name)
        verdicts = infinity(frame, size, settings, fetch) if name == RECIPE else select(name, frame, size, settings)
        taken = verdicts.filter("taken").sort("place").select("row_id", "place")
        rows = taken.join(frame, on="row_id", how="left", maintain_order="left")
        vectors = taken.select("row_id").join(fetch(taken["row_id"]), on="row_id", how="left", maintain_order="left")[
            "vector"
        ]
        chosen.append(taken.select(pl.lit(name).alias("selector"), "row_id", "place"))
        reasons.append(
            verdicts.filter(~pl.col("taken"))
            .group_by("reason")
            .len("rows")
            .select(pl.lit(name).alias("selector"), "reason", pl.col("rows").cast(pl.Int64))
        )
        reach.append(_reach(rows, vectors, items).select(pl.lit(name).alias("selector"), pl.all()))
        lines.append(
            {
                "selector": name,
                "rows": taken.height,
                **_labels(rows, vocabulary),
                "median_answer_chars": rows["answer_chars"].median(),
                "near_duplicates": _near_duplicates(taken["row_id"], vectors, settings.max_similarity),
                "proximity": rows["proximity"].mean(),
                **_cost(name, frame, calls, settings),
                **({f"proxy {key}": value for key, value in proxy(name, taken["row_id"]).items()} if proxy else {}),
            }
        )
    picks = pl.concat(chosen)
    return Arena(
        size,
        frame.height,
        picks,
        pl.DataFrame(lines, infer_schema_length=None),
        overlap(picks, selectors),
        mix(picks, frame, selectors),
        pl.concat(reach),
        pl.concat(reasons).sort("selector", pl.col("rows") * -1, "reason"),
    )


def overlap(chosen: pl.DataFrame, selectors: Sequence[str]) -> pl.DataFrame:
    """Compare every ordered pair of selectors, including each with itself.

    Returns:
        one, other, rows (taken by both), jaccard (null if neither took any).
    """
    taken = {name: set(chosen.filter(selector=name)["row_id"]) for name in selectors}
    lines = []
    for one, other in product(selectors, repeat=2):
        both = len(taken[one] & taken[other])
        either = len(taken[one] | taken[other])
        lines.append((one, other, both, both / either if either else None))
    return pl.DataFrame(
        lines, schema={"one": pl.String, "other": pl.String, "rows": pl.Int64, "jaccard": pl.Float64}, orient="row"
    )


def mix(chosen: pl.DataFrame, frame: pl.DataFrame, selectors: Sequence[str]) -> pl.DataFrame:
    """Count the rows of each selection, and of all rows (`pool`), by source, domain, language and length.

    Returns:
        selector, column, value, rows, share.
    """
    names = [f"{low:,} to {high:,}" for low, high in pairwise(LENGTHS)] + [f"{LENGTHS[-1]:,} and more"]
    classes = frame.select(
        "row_id",
        "source",
        "domain",
        "language",
        pl.when(pl.col("answer_chars").is_not_null())
        .then(pl.sum_horizontal(pl.col("answer_chars") >= bound for bound in LENGTHS[1:]))
        .replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String)
        .alias("length"),
    )
    parts = []
    for name in ("pool", *selectors):
        rows = classes if name == "pool" else chosen.filter(selector=name).select("row_id").join(classes, on="row_id")
        for column in ("source", "domain", "language", "length"):
            counted = rows.group_by(pl.col(column).alias("value")).len("rows")
            parts.append(
                counted.select(
                    pl.lit(name).alias("selector"),
                    pl.lit(column).alias("column"),
                    "value",
                    pl.col("rows").cast(pl.Int64),
                    (pl.col("rows") / max(rows.height, 1)).alias("share"),
                ).sort(pl.col("rows") * -1, "value")
            )
    return pl.concat(parts)


def _labels(rows: pl.DataFrame, vocabulary: int) -> dict[str, float | None]:
    """Return the share of all labels that occur, and labels per labelled row (InsTag's diversity and complexity)."""
    labelled = rows["ability"].drop_nulls()
    distinct = labelled.list.explode(keep_nulls=False, empty_as_null=False).n_unique()
    per_row = labelled.list.unique().list.len().mean()
    return {
        "label_coverage": distinct / vocabulary if vocabulary else None,
        "labels_per_row": per_row if isinstance(per_row, float) else None,
    }


def _near_duplicates(row_ids: pl.Series, vectors: pl.Series, threshold: float) -> float | None:
    """Return the share of the rows with a vector that the Repr filter would reject."""
    has_vector = vectors.is_not_null()
    if not has_vector.any():
        return None
    _, lost = ReprFilter(threshold).walk(
        row_ids.filter(has_vector), to_matrix(vectors.drop_nulls()), np.ones(int(has_vector.sum()), bool), len(row_ids)
    )
    return lost.height / int(has_vector.sum())


def _reach(rows: pl.DataFrame, vectors: pl.Series, items: pl.DataFrame) -> pl.DataFrame:
    """Measure the distance between the benchmark items and the rows taken, per domain.

    Returns:
        domain, items, reach (mean cosine of the items to the nearest row taken), rows, proximity (mean cosine of the
        rows to the nearest item).
    """
    taken = to_unit(to_matrix(vectors.drop_nulls())) if vectors.count() else None
    lines = []
    for (domain,), own in sorted(
        items.filter(pl.col("vector").is_not_null()).group_by("domain"), key=lambda part: str(part[0][0])
    ):
        points = to_unit(to_matrix(own["vector"]))
        best = None
        if taken is not None:
            best = float(
                np.concatenate(
                    [(points[s : s + _ROWS] @ taken.T).max(axis=1) for s in range(0, len(points), _ROWS)]
                ).mean()
            )
        near = rows.filter(domain=domain)["proximity"]
        lines.append((domain, own.height, best, int(near.count()), near.mean()))
    schema = {"domain": pl.String, "items": pl.Int64, "reach": pl.Float64, "rows": pl.Int64, "proximity": pl.Float64}
    return pl.DataFrame(lines, schema=schema, orient="row")


def _cost(name: str, frame: pl.DataFrame, calls: pl.DataFrame, settings: Foundation) -> dict[str, float]:
    """Return the cost of the scores that the selector reads, over all rows that it chose from."""
    named = {step for steps in settings.recipe.values() for step in steps} if name == RECIPE else {name}
    prompts = {prompt for one in named for prompt in SELECTORS[one].calls}
    own = calls.filter(pl.col("prompt").str.split(".").list.first().is_in(sorted(prompts))).join(
        frame.select("row_id"), on="row_id", how="semi"
    )
    return {
        "calls": own.height,
        "tokens": int(own["prompt_tokens"].sum()) + int(own["completion_tokens"].sum()),
        "cost": float(own["cost"].sum()),
    }
