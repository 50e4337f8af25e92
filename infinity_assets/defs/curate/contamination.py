"""`contamination`: the share of each benchmark that each source contains. Grain: a source and a benchmark."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination import report
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts


@dataset(
    group="curate",
    reads=("matches", "duplicates", "benchmarks"),
    settings=lambda s: (s.decontamination.flag_above,),
    columns=report.CONTAMINATION,
    version="2",
)
def contamination(step: Step) -> Outcome:
    """The share of each benchmark that each source contains. By default, a source with more than 2 % is flagged.

    Grain: one source and one benchmark that have a span in common. Key: source, benchmark. Records that were dropped as
    duplicates of similarity 1 still count for their source. If the setting `decontamination.remove_flagged` is true,
    all rows of a flagged source are removed.
    """
    # If the matched row was dropped itself, the record equals that row and not the survivor.
    losers = step.read("duplicates").filter(pl.col("similarity") >= 1, pl.col("matched") == pl.col("duplicate_of"))
    copies = losers.select(pl.col("duplicate_of").alias("row_id"), "source").unique()
    limit = step.settings.decontamination.flag_above
    shares = report.measure_contamination(step.read("matches"), copies, step.read("benchmarks"), limit)
    flagged = shares.filter("flagged")
    pairs = pl.concat_str("source", "benchmark", separator=" / ")
    return Outcome(
        shares,
        measures={"sources flagged": ", ".join(sorted(set(flagged["source"]))) or "none"},
        charts={
            "share of a benchmark's items": charts.bars(
                shares.filter(pl.col("items") > 0).select(pairs, "share"),
                f"share of the benchmark's items; flagged above {limit:g}",
                limit,
            ),
            "by source and benchmark": charts.table_if_any(shares, rows=60),
        },
    )
