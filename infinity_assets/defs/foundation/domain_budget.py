"""`domain_budget`: how many rows of each domain F may hold. Grain: a domain. Key: domain."""

import polars as pl

from infinity_assets.catalog.lake import ALL, Lake, Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.evaluation.loop import STATE, advance, standings
from infinity_assets.report import charts
from infinity_assets.selection.domain_budget import BUDGET, budget

_LOOP = {name: dtype for name, dtype in STATE.items() if name not in ("domain", "why")}


def last_state(lake: Lake) -> pl.DataFrame | None:
    """Where the loop stood when the budget was last made; null if it never was.

    It is read from the rows, whatever became of their manifest: a run that was killed between the two has made its turn.
    """
    file = lake.rows_file("domain_budget", ALL)
    if not file.exists():
        return None
    rows = pl.read_parquet(file, glob=False)
    if not set(_LOOP) <= set(rows.columns):
        return None
    why = pl.col("turns").list.last().struct.field("why").fill_null("").alias("why")
    return rows.select("domain", *_LOOP, why).select(pl.col(name).cast(dtype) for name, dtype in STATE.items())


@dataset(
    group="foundation",
    reads=("decontaminated", "domain_scores"),
    settings=lambda s: (s.foundation.budgeting,),
    columns={**BUDGET, **_LOOP},
    meaning={
        "available": "conversations in the pool after decontamination",
        "keep_share": "share of them that F may hold",
        "quota": "rows that F may hold",
        "reason": "where the quota comes from",
        "eased": "thresholds of rules that the loop has eased, as JSON",
        "factor": "what the loop has multiplied the share by, over all turns",
        "turn": "turns of the loop, 0 before the first",
        "scores": "hash of the scores that it was made from",
        "turns": "what every turn found and did",
    },
    version="2",
)
def domain_budget(step: Step) -> Outcome:
    """How many rows of each domain F may hold, and under which thresholds: shares of the settings, relaxed where a model lags behind.

    Grain: a domain. Key: domain. A turn of the loop is taken when the scores are others than those of the last budget, which this one goes on from:
    docs/loop.md.
    """
    recipe, scores = step.settings.foundation, step.read("domain_scores").collect()
    state = advance(last_state(step.lake), scores, recipe.keep_share, recipe.loop)
    conversations = step.read("decontaminated").filter(pl.col("kind") == "conversation")
    counts = conversations.group_by("domain").len("rows").collect(engine="streaming")
    # A domain of which the pool has nothing stays for its turns.
    available = state.select("domain").join(counts, on="domain", how="left").with_columns(pl.col("rows").fill_null(0))
    factors = {domain: (factor, why) for domain, factor, why in state.select("domain", "factor", "why").iter_rows()}
    made = budget(available, recipe, factors).join(state.drop("why"), on="domain", maintain_order="left")
    gaps = {f"gap of {domain}": round(standing.gap, 4) for domain, standing in sorted(standings(scores).items())}
    return Outcome(
        made,
        measures={"quota, all domains": int(made["quota"].sum()), "turn": state["turn"].max(), **gaps},  # pyright: ignore[reportArgumentType]
        charts={"budget": charts.table(made.select(list(BUDGET)))},
    )
