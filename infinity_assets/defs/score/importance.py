"""`importance`: the DSIR importance weight of each prompt. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.report import charts
from infinity_assets.rows.domains import Domain
from infinity_assets.rows.schema import texts
from infinity_assets.selection.dsir.passes import IMPORTANCE, weigh_rows
from infinity_assets.selection.dsir.weights import Counts, Fitted, Part, count, fit, from_frame
from infinity_assets.settings.foundation import Dsir


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated", "benchmarks"),
    reads_all=("ngrams",),
    settings=lambda s: (s.foundation.dsir.weighing,),
    columns=IMPORTANCE,
    kinds=("polars", "parquet", "numba"),
)
def importance(step: Step) -> Outcome:
    """DSIR weights of prompts, which tell how much a prompt resembles its domain's target, and strata by prompt length.

    Grain: one row of `decontaminated`. Key: row_id. The weight is null and has a reason if the row is no conversation,
    its domain has no target, or its prompt has no token. Of a target, only counts of hashed n-grams are used.
    """
    dsir = step.settings.foundation.dsir
    counts = from_frame(step.read("ngrams").collect(), dsir)
    targets = _targets(step.read("benchmarks").select("benchmark", "domain", "prompt").collect(), counts, dsir)
    fitted: dict[str, Fitted] = {
        domain: fit(counts["pool", domain], target, dsir)
        for domain, target in targets.items()
        if ("pool", domain) in counts
    }
    table = weigh_rows(step.read("decontaminated"), fitted, dsir, step.settings.ingest.workers)
    target_table = pl.DataFrame(
        [
            (domain, ", ".join(dsir.targets[domain]) or "its benchmarks", part.lengths.sum(), part.ngrams.sum())
            for domain, part in sorted(targets.items())
        ],
        schema={**texts("domain", "target"), "prompts": pl.Int64, "n-grams": pl.Int64},
        orient="row",
    )
    weighed = table.drop_nulls("log_weight").with_columns(per_token=pl.col("log_weight") / pl.col("prompt_tokens"))
    return Outcome(
        table,
        measures={"rows with a weight": table["log_weight"].count()},
        charts={
            "targets": charts.table(target_table),
            **{
                f"weights, {domain}": charts.histogram(own["per_token"], f"log weight per token, {domain}")
                for (domain,), own in weighed.sort("domain").group_by("domain", maintain_order=True)
            },
        },
    )


def _targets(benchmarks: pl.DataFrame, counts: dict[Part, Counts], dsir: Dsir) -> dict[Domain, Counts]:
    """Return the n-gram counts of each domain's target, without domains that have no target.

    Raises:
        InfinityError: A target is neither a benchmark nor a source with a conversation.
    """
    by_domain: dict[Domain, Counts] = {}
    known = set(benchmarks["benchmark"])
    for domain, names in dsir.targets.items():
        own = pl.col("benchmark").is_in(names) if names else pl.col("domain") == domain
        target = count(benchmarks.filter(own)["prompt"], dsir)
        for name in dict.fromkeys(name for name in names if name not in known):
            if ("target", name) not in counts:
                raise InfinityError(
                    f"`foundation.dsir.targets` names `{name}` for {domain}: there is no such benchmark, and no source "
                    "of that name has a conversation left after decontamination."
                )
            target = target.add(counts["target", name])
        if target.ngrams.any():
            by_domain[domain] = target
    return by_domain
