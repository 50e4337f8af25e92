"""Arena: a comparison of selectors on the same rows at the same size. Pure functions from frames to tables.

| table | grain | contents |
|---|---|---|
| summary | selector | rows taken, labels, length, near-duplicates, proximity to the benchmarks, cost |
| overlap | pair of selectors | rows that both take, and the Jaccard similarity of their selections |
| mix | selector, column, value | rows taken by source, domain, language or length |
| reach | selector, domain of benchmarks | mean cosine of items to the nearest row, and of rows to the nearest item |
| reasons | selector, reason | rows not taken |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.selection.composition import Fetch, compose
from infinity_assets.selection.diversity import ReprFilter
from infinity_assets.selection.domain_budget import budget, scale_quotas
from infinity_assets.selection.selector import OVER_SIZE, VERDICTS, first_condition
from infinity_assets.selection.selectors import SELECTORS, select
from infinity_assets.selection.vectors import to_matrix, to_unit
from infinity_assets.settings import Foundation

RECIPE = "infinity"
"""Name of the contestant that is the whole recipe for F."""

LENGTHS = (0, 30, 100, 300, 1000, 3000)
"""Lower bounds of the classes of answer length, in characters."""

_OPTIONAL = {"topic_share", "is_seed", "domain", "log_weight", "stratum", "share"}
"""Columns in which null is a value: a domain without a target, for instance, has no weights."""
_ROWS = 1024

Proxy = Callable[[str, pl.Series], Mapping[str, float]]
"""Function that trains a model on a selection (a selector's name and row ids) and returns its scores by benchmark."""


@dataclass(frozen=True)
class Arena:
    """The result of a comparison. The module docstring describes the tables."""

    size: int
    rows: int
    """Number of rows that each contestant chose from."""
    chosen: pl.DataFrame
    """Columns selector, row_id, place: one line per selector and row taken."""
    summary: pl.DataFrame
    overlap: pl.DataFrame
    mix: pl.DataFrame
    reach: pl.DataFrame
    reasons: pl.DataFrame


def check_selectors(selectors: Sequence[str]) -> list[str]:
    """Return the names without repetitions, or raise an `InfinityError` if a name is unknown or none is given."""
    known = [*SELECTORS, RECIPE]
    if not selectors:
        raise InfinityError(f"Name at least one selector; there are {', '.join(known)}.")
    if unknown := [name for name in selectors if name not in known]:
        raise InfinityError(f"There is no selector {', '.join(unknown)}; there are {', '.join(known)}.")
    return list(dict.fromkeys(selectors))


def required_columns(selectors: Sequence[str]) -> set[str]:
    """Return the columns that the contestants require.

    The recipe for F requires none: each of its selectors skips the rows that lack a column.
    """
    return {column for name in selectors if name != RECIPE for column in SELECTORS[name].needs}


def _has(frame: pl.DataFrame, column: str) -> pl.Expr:
    listed = isinstance(frame.schema[column], pl.List)
    return (pl.col(column).list.len() > 0 if listed else pl.col(column).is_not_null()).fill_null(value=False)


def has_all(frame: pl.DataFrame, columns: Iterable[str]) -> pl.Expr:
    """Return whether a row has a value in each of these columns, not counting those in which null is a value."""
    return pl.all_horizontal(pl.lit(value=True), *(_has(frame, column) for column in sorted(set(columns) - _OPTIONAL)))


def scarcity(frame: pl.DataFrame, selectors: Sequence[str]) -> pl.DataFrame:
    """Count the rows with a value per required column: column, rows, selectors (names of those that require it)."""
    lines = []
    for column in sorted(required_columns(selectors) - _OPTIONAL):
        if column in frame.columns:
            rows = int(frame.select(_has(frame, column).sum()).item())
            lines.append((column, rows, ", ".join(name for name in selectors if column in required_columns([name]))))
    return pl.DataFrame(lines, {"column": pl.String, "rows": pl.Int64, "selectors": pl.String}, orient="row")


def infinity(frame: pl.DataFrame, size: int, settings: Foundation, fetch: Fetch | None = None) -> pl.DataFrame:
    """Run the recipe for F as a selector of `size` rows. The quotas of the domains are their shares of F, scaled."""
    available = frame.group_by("domain").agg(rows=pl.len().cast(pl.Int64))
    shares = budget(available, settings.model_copy(update={"max_rows": frame.height}))
    quotas = scale_quotas(dict(shares.select("domain", "quota").iter_rows()), dict(available.iter_rows()), size)
    composed = compose(frame, quotas, settings, fetch)
    # Merge the orders of the domains into one, in proportion to their quotas.
    quota = pl.col("domain").replace_strict(quotas, default=1.0, return_dtype=pl.Float64)
    order = composed.filter("taken").sort(pl.col("place") / quota, "row_id").select("row_id")
    conditions = {RECIPE: pl.col("taken"), OVER_SIZE: pl.col("reason") == "over_quota"}
    composed = composed.with_columns(reason=pl.coalesce(first_condition(conditions), "reason")).drop("place")
    placed = order.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("place"))
    return composed.join(placed, on="row_id", how="left").select(list(VERDICTS)).sort("row_id")


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
        selectors: Contestants: names of selectors, or `infinity`.
        size: Number of rows that each contestant takes.
        items: Items of the benchmarks: domain, vector.
        calls: Model calls about the rows: row_id, prompt (its name in the ledger tables), prompt_tokens,
            completion_tokens, cost.
        proxy: Trains a model on a selection and evaluates it.
        advance: Called with the name of each contestant before it runs.
    """
    chosen, reasons, reach, lines = [], [], [], []
    vocabulary = frame["ability"].list.explode(keep_nulls=False, empty_as_null=False).n_unique()
    for name in selectors:
        advance(name)
        verdicts = infinity(frame, size, settings, fetch) if name == RECIPE else select(name, frame, size, settings)
        taken = verdicts.filter("taken").sort("place").select("row_id", "place")
        rows = taken.join(frame, on="row_id", how="left", maintain_order="left")
        fetched = fetch(taken["row_id"])
        vectors = taken.select("row_id").join(fetched, on="row_id", how="left", maintain_order="left")["vector"]
        scores = proxy(name, taken["row_id"]) if proxy else {}
        label = pl.lit(name).alias("selector")
        left = verdicts.filter(~pl.col("taken")).group_by("reason").agg(rows=pl.len().cast(pl.Int64))
        chosen.append(taken.select(label, "row_id", "place"))
        reasons.append(left.select(label, "reason", "rows"))
        reach.append(_reach(rows, vectors, items).select(label, pl.all()))
        lines.append(
            {
                "selector": name,
                "rows": taken.height,
                **_labels(rows, vocabulary),
                "median_answer_chars": rows["answer_chars"].median(),
                "near_duplicates": _near_duplicates(taken["row_id"], vectors, settings.max_similarity),
                "proximity": rows["proximity"].mean(),
                **_cost(name, frame, calls, settings),
                **{f"proxy {benchmark}": score for benchmark, score in scores.items()},
            }
        )
    picks = pl.concat(chosen)
    return Arena(
        size=size,
        rows=frame.height,
        chosen=picks,
        summary=pl.DataFrame(lines, infer_schema_length=None),
        overlap=overlap(picks, selectors),
        mix=mix(picks, frame, selectors),
        reach=pl.concat(reach),
        reasons=pl.concat(reasons).sort("selector", pl.col("rows") * -1, "reason"),
    )


def overlap(chosen: pl.DataFrame, selectors: Sequence[str]) -> pl.DataFrame:
    """Compare all ordered pairs of selections, each with itself, too. Two empty ones have a null Jaccard similarity."""
    taken = {name: set(chosen.filter(selector=name)["row_id"]) for name in selectors}
    lines = []
    for one, other in product(selectors, repeat=2):
        both = len(taken[one] & taken[other])
        either = len(taken[one] | taken[other])
        lines.append((one, other, both, both / either if either else None))
    schema = {"one": pl.String, "other": pl.String, "rows": pl.Int64, "jaccard": pl.Float64}
    return pl.DataFrame(lines, schema, orient="row")


def mix(chosen: pl.DataFrame, frame: pl.DataFrame, selectors: Sequence[str]) -> pl.DataFrame:
    """Count rows by source, domain, language and length, for each selection and for all rows (`pool`)."""
    names = [f"{low:,} to {high:,}" for low, high in pairwise(LENGTHS)] + [f"{LENGTHS[-1]:,} and more"]
    classes = pl.sum_horizontal(pl.col("answer_chars") >= bound for bound in LENGTHS[1:])
    length = pl.when(pl.col("answer_chars").is_not_null()).then(
        classes.replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String)
    )
    pool = frame.select("row_id", "source", "domain", "language", length=length)
    parts = []
    for name in ("pool", *selectors):
        rows = pool if name == "pool" else chosen.filter(selector=name).select("row_id").join(pool, on="row_id")
        for column in ("source", "domain", "language", "length"):
            counted = rows.group_by(value=column).agg(rows=pl.len().cast(pl.Int64))
            share = (pl.col("rows") / max(rows.height, 1)).alias("share")
            labels = (pl.lit(name).alias("selector"), pl.lit(column).alias("column"))
            parts.append(counted.select(*labels, "value", "rows", share).sort(pl.col("rows") * -1, "value"))
    return pl.concat(parts)


def _labels(rows: pl.DataFrame, vocabulary: int) -> dict[str, float | None]:
    """Return the share of labels that occur, and labels per labelled row (InsTag's diversity and complexity)."""
    labelled = rows["ability"].drop_nulls()
    distinct = labelled.list.explode(keep_nulls=False, empty_as_null=False).n_unique()
    per_row = labelled.list.unique().list.len().mean()
    return {
        "label_coverage": distinct / vocabulary if vocabulary else None,
        "labels_per_row": per_row if isinstance(per_row, float) else None,
    }


def _near_duplicates(row_ids: pl.Series, vectors: pl.Series, threshold: float) -> float | None:
    """Return the share of near-duplicates by the Repr filter among the rows with a vector; `None` if there are none."""
    known = vectors.drop_nulls()
    if known.is_empty():
        return None
    ids = row_ids.filter(vectors.is_not_null())
    _, lost = ReprFilter(threshold).walk(ids, to_matrix(known), np.ones(len(ids), bool), len(ids))
    return lost.height / len(ids)


def _reach(rows: pl.DataFrame, vectors: pl.Series, items: pl.DataFrame) -> pl.DataFrame:
    """Measure per domain how close the benchmark items and the rows taken are.

    Returns:
        domain, items, reach (mean cosine of the items to the nearest row taken), rows (taken in the domain, with a
        proximity), proximity (mean cosine of these rows to the nearest item).
    """
    taken = to_unit(to_matrix(vectors.drop_nulls())) if vectors.count() else None
    lines = []
    for (domain,), own in (
        items.drop_nulls("vector").sort("domain", maintain_order=True).group_by("domain", maintain_order=True)
    ):
        points = to_unit(to_matrix(own["vector"]))
        reach = None
        if taken is not None:
            blocks = [(points[s : s + _ROWS] @ taken.T).max(axis=1) for s in range(0, len(points), _ROWS)]
            reach = float(np.concatenate(blocks).mean())
        near = rows.filter(domain=domain)["proximity"]
        lines.append((domain, own.height, reach, int(near.count()), near.mean()))
    schema = {"domain": pl.String, "items": pl.Int64, "reach": pl.Float64, "rows": pl.Int64, "proximity": pl.Float64}
    return pl.DataFrame(lines, schema=schema, orient="row")


def _cost(name: str, frame: pl.DataFrame, calls: pl.DataFrame, settings: Foundation) -> dict[str, float]:
    """Return number, tokens and cost of the model calls behind a selector's columns, over all rows of the frame."""
    named = {step for steps in settings.recipe.values() for step in steps} if name == RECIPE else {name}
    prompts = {prompt for one in named for prompt in SELECTORS[one].calls}
    own = calls.filter(pl.col("prompt").str.split(".").list.first().is_in(sorted(prompts)))
    own = own.join(frame, on="row_id", how="semi")
    return {
        "calls": own.height,
        "tokens": int(own["prompt_tokens"].sum()) + int(own["completion_tokens"].sum()),
        "cost": float(own["cost"].sum()),
    }
