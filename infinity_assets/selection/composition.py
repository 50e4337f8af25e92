"""Composition of InfInstruct-F: each domain runs the selectors of its recipe through a shared diversity filter.

A selector orders the rows of a domain, and the Repr filter rejects rows that are close to a row taken before, in any
domain. If places of the quota are left, the next selector fills them. By default each language has the same share of a
domain's places as of its rows: most selectors favor English benchmarks, and vectors of an English embedder are
meaningless for Chinese. Rows without a vector pass the filter. This module reads no texts and calls no models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.selection.diversity import REJECTED, ReprFilter
from infinity_assets.selection.selector import OVER_SIZE, first_condition
from infinity_assets.selection.selectors import SELECTORS, select
from infinity_assets.selection.vectors import to_matrix
from infinity_assets.settings import Foundation

COMPOSED = pl.Schema({
    "row_id": pl.String, "domain": pl.String, "taken": pl.Boolean, "place": pl.Int64, "selector": pl.String,
    "reason": pl.String, "detail": pl.String,
})  # fmt: skip
"""Grain: a row. Key: row_id. `place`: position in the order in which the domain took rows, from 0; null for rows that
are not taken. `selector`: the selector that took the row or ranked it last. `reason`: the selector's name for rows
taken; else near_duplicate, over_quota, or the reason for which the last selector excluded the row."""

_VERDICTS = pl.Schema({name: dtype for name, dtype in COMPOSED.items() if name != "domain"})
_SETTLED = pl.col("taken") | (pl.col("reason") == "near_duplicate")
_RARE = 0.01

PAPER = {"knowledge": 3_291_318, "math": 1_417_560, "code": 1_397_801, "chat": 1_342_427}
"""Rows of the released InfInstruct-F per domain, summed over its sources."""

Fetch = Callable[[pl.Series], pl.DataFrame]
"""Function that takes row ids and returns a frame with row_id and vector. Rows may be missing from it."""


def compose(
    frame: pl.DataFrame, quotas: Mapping[str, int], settings: Foundation, fetch: Fetch | None = None
) -> pl.DataFrame:
    """Decide which rows F takes: schema `COMPOSED`, sorted by row id.

    Args:
        frame: The rows that pass the rules: row_id, domain, language, and the columns that the recipe's selectors need.
        quotas: Number of rows that each domain may contribute. In a domain without a quota all rows are over quota.
        settings: Settings of F, with the recipe.
        fetch: Source of the vectors; by default the column `vector` of the frame.
    """
    fetch = fetch or (lambda ids: frame.select("row_id", "vector").filter(pl.col("row_id").is_in(ids.implode())))
    seeds = round(settings.seed_share * sum(quotas.values()))
    composer = _Composer(settings, ReprFilter(settings.max_similarity), fetch, seeds)
    by_domain = {domain: rows for (domain,), rows in frame.group_by("domain")}
    # The order of the domains is fixed: rows taken first decide which later rows are too close.
    ordered = sorted(by_domain, key=lambda d: (DOMAINS.index(d) if d in DOMAINS else len(DOMAINS), d))
    parts = [composer.compose_domain(d, by_domain[d].sort("row_id"), quotas.get(d, 0)) for d in ordered]
    return pl.concat([pl.DataFrame(schema=COMPOSED), *parts]).sort("row_id")


@dataclass
class _Composer:
    """The state of a composition: the diversity filter and the number of seeds left, which all domains share."""

    settings: Foundation
    diversity: ReprFilter
    fetch: Fetch
    seeds: int
    """Number of seeds of the chat phase that may still be taken."""

    def compose_domain(self, domain: Any, rows: pl.DataFrame, quota: int) -> pl.DataFrame:
        """Decide on the rows of a domain, which are sorted by row id: schema `COMPOSED`."""
        names = self.settings.recipe.get(domain, ())
        if any("vector" in SELECTORS[name].needs for name in names) and "vector" not in rows.columns:
            rows = rows.join(self.fetch(rows["row_id"]), on="row_id", how="left")
        settled = []
        last = _mark_over_quota(rows)
        place = 0
        left = rows.height
        for group in [*_split_by_language(rows, self.settings), None]:
            # Places that a language cannot fill go to the next language, and finally to all remaining rows.
            if group is None and place >= quota > 0:
                break
            pool = last.select("row_id").join(rows, on="row_id") if group is None else group
            most = quota - place if group is None else (2 * (quota - place) * pool.height + left) // max(2 * left, 1)
            verdicts = self._walk(pool.sort("row_id"), names, most).with_columns(pl.col("place") + place)
            done = verdicts.filter(_SETTLED)
            settled.append(done)
            others = last.join(verdicts, on="row_id", how="anti")
            last = pl.concat([others, verdicts.join(done, on="row_id", how="anti")])
            place += int(verdicts["taken"].sum())
            left -= pool.height
        return _add_domain_detail(domain, quota, pl.concat([*settled, last]))

    def _walk(self, rows: pl.DataFrame, names: Sequence[str], places: int) -> pl.DataFrame:
        """Run the selectors of a recipe one after the other on some rows: schema `_VERDICTS`, one line per row."""
        settled = []
        last = _mark_over_quota(rows)
        place = 0
        for name in names:
            if rows.is_empty():
                break
            most = min(places - place, self.seeds) if name == "seed_replay" else places - place
            verdicts = self._fill(rows, name, most)
            taken = int(verdicts["taken"].sum())
            verdicts = verdicts.with_columns(pl.col("place") + place, selector=pl.lit(name)).select(list(_VERDICTS))
            place += taken
            self.seeds -= taken if name == "seed_replay" else 0
            # Once all places are filled, later selectors do not rank the rest.
            full = pl.lit(place >= places) & (pl.col("reason") == "over_quota")
            settled.append(verdicts.filter(_SETTLED | full))
            rows = rows.join(settled[-1], on="row_id", how="anti")
            last = verdicts.join(rows, on="row_id", how="semi")
        return pl.concat([*settled, last])

    def _fill(self, rows: pl.DataFrame, name: str, places: int) -> pl.DataFrame:
        """Run a selector and the diversity filter to fill some places: row_id, taken, place, reason, detail."""
        requested = max(int(np.ceil(places * self.settings.candidates_per_place)), 0)
        verdicts = select(name, rows, requested, self.settings)
        walked = taken = pl.DataFrame(schema={"row_id": pl.String})
        lost = []
        while places > taken.height:
            ranked = verdicts.filter("taken").sort("place")
            candidates = ranked.join(walked, on="row_id", how="anti", maintain_order="left").select("row_id")
            if candidates.is_empty():
                break
            fetched = self.fetch(candidates["row_id"])
            vectors = candidates.join(fetched, on="row_id", how="left", maintain_order="left")["vector"]
            known = vectors.is_not_null().to_numpy()
            kept, losers = self.diversity.walk(candidates["row_id"], to_matrix(vectors), known, places - taken.height)
            taken = pl.concat([taken, candidates[kept]])
            lost.append(losers)
            walked = pl.concat([walked, candidates])
            if taken.height < places and ranked.height == requested:
                requested *= 2
                verdicts = select(name, rows, requested, self.settings)
        near = pl.struct("duplicate_of", pl.col("similarity").round(4)).struct.json_encode().alias("near")
        near_rows = pl.concat([pl.DataFrame(schema=REJECTED), *lost]).select("row_id", near)
        joined = verdicts.join(taken.with_row_index("walk"), on="row_id", how="left")
        joined = joined.join(near_rows, on="row_id", how="left")
        conditions = {
            name: pl.col("walk").is_not_null(),
            "near_duplicate": pl.col("near").is_not_null(),
            "over_quota": pl.col("reason").is_in([name, OVER_SIZE]),
        }
        return joined.select(
            "row_id",
            taken=pl.col("walk").is_not_null(),
            place=pl.col("walk").cast(pl.Int64),
            reason=pl.coalesce(first_condition(conditions), "reason"),
            detail=pl.coalesce("near", "detail"),
        )


def _split_by_language(rows: pl.DataFrame, settings: Foundation) -> list[pl.DataFrame]:
    """Split a domain's rows by language, rarest first, and merge rare ones; no parts if `languages` is `any`."""
    if settings.languages == "any":
        return []
    common = pl.len().over("language") >= _RARE * pl.len()
    grouped = rows.with_columns(group=pl.when(common).then("language").fill_null(""))
    groups = sorted(grouped.partition_by("group"), key=lambda group: (group.height, group["group"][0]))
    return [group.drop("group") for group in groups]


def _mark_over_quota(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the verdict `over_quota` on all rows, in schema `_VERDICTS`."""
    values = {"taken": False, "place": None, "selector": None, "reason": "over_quota", "detail": "{}"}
    return rows.select("row_id", *(pl.lit(value, _VERDICTS[name]).alias(name) for name, value in values.items()))


def _add_domain_detail(domain: str, quota: int, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Add domain, quota, place and selector to the details of a domain's verdicts, and return schema `COMPOSED`."""
    # Insert these members at the front of the JSON object in `detail`.
    front = pl.struct(pl.lit(domain).alias("domain"), pl.lit(quota, pl.Int64).alias("quota"), "place", "selector")
    front = front.struct.json_encode().str.strip_suffix("}")
    behind = pl.col("detail").str.strip_prefix("{")
    detail = pl.concat_str(front, pl.when(behind == "}").then(pl.lit("")).otherwise(pl.lit(",")), behind)
    return verdicts.with_columns(domain=pl.lit(domain), detail=detail).select(list(COMPOSED))


def accounts(verdicts: pl.DataFrame, quotas: Mapping[str, int], rows: Mapping[str, int]) -> pl.DataFrame:
    """Account for the quota of every domain.

    Args:
        verdicts: The result of `compose` with these quotas.
        quotas: Number of rows that each domain may contribute.
        rows: Number of rows of the pool per domain, before the rules.

    Returns:
        One line per domain: domain, rows, passed (the rules), quota, taken, seeds (taken), near_duplicates, unranked
        (rows that no selector could rank), shortfall, because (its reason), share (of F), paper (of the released F).
    """
    named = {
        "passed": pl.len(),
        "taken": pl.col("taken").sum(),
        "seeds": (pl.col("taken") & (pl.col("selector") == "seed_replay")).sum(),
        "near_duplicates": (pl.col("reason") == "near_duplicate").sum(),
        "unranked": (~pl.col("taken") & ~pl.col("reason").is_in(["near_duplicate", "over_quota"])).sum(),
    }
    counted = verdicts.group_by("domain").agg(expr.cast(pl.Int64).alias(name) for name, expr in named.items())
    lines = [(d, rows.get(d, 0), quotas.get(d, 0)) for d in sorted({*rows, *quotas})]
    domains = pl.DataFrame(lines, {"domain": pl.String, "rows": pl.Int64, "quota": pl.Int64}, orient="row")
    shortfall = pl.col("quota") - pl.col("taken")
    conditions = {
        "": shortfall <= 0,
        "fewer rows passed the rules": pl.col("passed") < pl.col("quota"),
        "the rest are near-duplicates": pl.col("passed") - pl.col("near_duplicates") < pl.col("quota"),
        "the rest lack what the recipe's selectors need": pl.lit(True),
    }
    share = (pl.col("taken") / pl.max_horizontal(pl.col("taken").sum(), 1)).round(4)
    paper = pl.col("domain").replace_strict(PAPER, default=0, return_dtype=pl.Float64) / sum(PAPER.values())
    table = domains.join(counted, on="domain", how="left").with_columns(pl.col(list(named)).fill_null(0))
    columns = ("domain", "rows", "passed", "quota", "taken", "seeds", "near_duplicates", "unranked")
    because = first_condition(conditions)
    return table.select(*columns, shortfall=shortfall, because=because, share=share, paper=paper.round(4))
