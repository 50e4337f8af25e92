"""`matches`: the spans that rows share with benchmark items. Grain: a hit of a rule on a row and an item."""

import polars as pl

from infinity_assets.atomic import ROW_GROUP
from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import LINES_PER_ROW, MATCHES, Gate
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.frames import count_by

GATE = ("benchmarks", "allowed")
"""Inputs that an asset needs to run the decontamination gate."""

_MATCHES = pl.Schema({**MATCHES, "source": pl.String})


def gate_of(step: Step) -> Gate:
    """Return the gate. The asset must read the assets of `GATE` and depend on the setting `decontamination.gate`."""
    read, rule = step.read, step.settings.decontamination
    return step.once("gate", lambda: Gate(read("benchmarks").collect(), rule, read("allowed").collect()["text"]))


@dataset(
    group="curate",
    partitions="shard",
    reads=("deduped", *GATE),
    settings=lambda s: (s.decontamination.gate,),
    columns=_MATCHES,
    kinds=("polars", "parquet", "numba"),
    version="4",
)
def matches(step: Step) -> Outcome:
    """Spans that rows share with benchmark items. By its verdict, a hit removes the row, is reported or is excused.

    Grain: one hit, of one rule on the turns of one role in a row and a part of an item (question or answer). Key:
    row_id, item_id, part, side, rule. At most the twenty strongest hits of a row are kept.
    """
    item_gate = gate_of(step)
    rows = step.read("deduped").select("row_id", "source", "messages")
    lines = [pl.DataFrame(schema=_MATCHES)]
    for batch in step.batches(rows, ROW_GROUP // 2):
        sources = batch.select("row_id", "source")
        lines.append(item_gate.matches(batch).join(sources, on="row_id", maintain_order="left"))
    hits = pl.concat(lines).sort("row_id", maintain_order=True)
    counts = hits.group_by("verdict", "rule", "part", "side").agg(
        pl.len().alias("hits"), pl.col("row_id").n_unique().alias("rows")
    )
    full = hits.group_by("row_id").len().filter(pl.col("len") == LINES_PER_ROW).height
    return Outcome(
        hits,
        measures={
            "rows looked at": rows.select(pl.len()).collect().item(),
            "rows to be removed": _rows(hits, "removes"),
            "rows with hits that are only reported": _rows(hits, "reported"),
            "rows with hits that are excused": _rows(hits, "excused"),
            "rows with the maximum number of hits": full,
        },
        charts={
            "hits": charts.table_if_any(counts.sort("verdict", "part", "rule", "side")),
            "share": charts.histogram(
                hits.filter(verdict="removes")["share"], "share of the item, of hits that remove", low=0, high=1
            ),
            "excused": charts.table_if_any(_examples(hits, "excused")),
            "reported": charts.table_if_any(_examples(hits, "reported")),
        },
    )


def _rows(hits: pl.DataFrame, verdict: str) -> int:
    return hits.filter(verdict=verdict)["row_id"].n_unique()


def _examples(hits: pl.DataFrame, verdict: str) -> pl.DataFrame:
    """Return the spans with a verdict and their number of rows, the most frequent first."""
    rows = hits.filter(verdict=verdict).unique(["row_id", "benchmark", "part", "span"])
    return count_by(rows, "benchmark", "part", "span")
