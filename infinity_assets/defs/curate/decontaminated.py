"""`decontaminated`: distinct rows without a benchmark item. Grain: a distinct row. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import select_removals
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.frames import decide, json_detail


@dataset(
    group="curate",
    partitions="shard",
    invariants=("conservation", "grammar", "unique", "clean"),
    reads=("deduped", "matches", "contamination", "paraphrases"),
    settings=lambda s: (s.decontamination.remove_flagged, s.decontamination.paraphrase_threshold or ""),
    columns=schema.ROW,
    version="2",
)
def decontaminated(step: Step) -> Outcome:
    """Distinct rows that contain no benchmark item.

    Grain: one distinct row. Key: row_id. `decisions` has every removed row with the rule, the benchmark item, the
    shared span and its share of the item. The asset `matches` lists all shared spans.
    """
    rows = step.read("deduped")
    hits = select_removals(step.read("matches").collect()).select(
        "row_id",
        pl.format("contaminated_{}", "rule").alias("reason"),
        json_detail("benchmark", "item_id", "part", "side", "span", "shared", "share"),
    )
    hits = pl.concat([hits, _paraphrase_hits(step).join(hits, on="row_id", how="anti")])
    worst = step.read("contamination").collect().filter("flagged").unique("source", keep="first", maintain_order=True)
    if not step.settings.decontamination.remove_flagged:
        worst = worst.clear()
    whole = worst.select("source", of_source=json_detail("benchmark", "items", "benchmark_items", "share"))
    marked = rows.join(hits.lazy(), on="row_id", how="left", maintain_order="left").join(
        whole.lazy(), on="source", how="left", maintain_order="left"
    )
    reason = pl.coalesce("reason", pl.when(pl.col("of_source").is_not_null()).then(pl.lit("contaminated_source")))
    decisions = decide(marked, reason=reason, detail=pl.coalesce("detail", "of_source"))
    dropped = decisions.filter(pl.col("reason").is_not_null()).collect(engine="streaming")
    per_source = dropped.group_by("source", "reason").len("rows").sort("source", "reason")
    # Lazy, so that no shard is in memory as a whole. The rows stay sorted by row id.
    kept = rows.join(dropped.lazy().select("row_id"), on="row_id", how="anti", maintain_order="left")
    return Outcome(
        kept,
        rows_in=rows.select(pl.len()).collect().item(),
        decisions=dropped,
        charts={"by source": charts.table_if_any(per_source)},
    )


def _paraphrase_hits(step: Step) -> pl.DataFrame:
    """Return the rows to remove as paraphrases of an item: row_id, reason, detail. Empty unless a threshold is set."""
    threshold = step.settings.decontamination.paraphrase_threshold
    close = step.read("paraphrases").filter(pl.col("similarity") >= threshold if threshold else pl.lit(False))
    closest = close.sort("row_id", pl.col("similarity") * -1, "item_id")
    closest = closest.unique("row_id", keep="first", maintain_order=True)
    detail = json_detail("benchmark", "item_id", "similarity")
    return closest.select("row_id", pl.lit("contaminated_paraphrase").alias("reason"), detail).collect()
