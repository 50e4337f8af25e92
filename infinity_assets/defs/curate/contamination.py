"""`contamination`: the share of each benchmark that each source contains."""

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
    meaning=report.MEANING,
    version="2",
)
def contamination(step: Step) -> Outcome:
    """Which source holds how much of which benchmark. One that holds more than 2 % of a benchmark's items is flagged.

    Grain: one source and one benchmark that share something. Key: source, benchmark. Records that were dropped as duplicates of similarity 1
    count for their own source, too. With the setting `decontamination.remove_flagged` all rows of a flagged source are removed.
    """
    # The copy of a row that lost is equal to that row, and not to the row that is kept.
    losers = step.read("duplicates").filter(pl.col("similarity") >= 1, pl.col("matched") == pl.col("duplicate_of"))
    copies = losers.select(pl.col("duplicate_of").alias("row_id"), "source").unique()
    limit = step.settings.decontamination.flag_above
    found = report.by_source(step.read("matches"), copies, step.read("benchmarks"), limit)
    flagged = found.filter("flagged")
    pairs = pl.concat_str("source", "benchmark", separator=" / ")
    return Outcome(
        found,
        measures={"sources flagged": ", ".join(sorted(set(flagged["source"]))) or "none"},
        charts={
            "share of a benchmark's items": charts.bars(
                found.filter(pl.col("items") > 0).select(pairs, "share"),
                f"share of the benchmark's items; flagged above {limit:g}",
                limit,
            ),
            "by source and benchmark": charts.table(found, rows=60),
        },
    )
