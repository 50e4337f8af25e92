"""`domain_budget`: the quota of each domain in InfInstruct-F. Grain: a domain. Key: domain."""

import polars as pl

from infinity_assets.catalog.lake import ALL, Lake, Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.evaluation.loop import STATE, advance, compute_standings
from infinity_assets.report import charts
from infinity_assets.rows.frames import conform
from infinity_assets.selection.domain_budget import BUDGET, budget

_LOOP = {name: dtype for name, dtype in STATE.items() if name not in ("domain", "why")}


def last_state(lake: Lake) -> pl.DataFrame | None:
    """Return the state of the loop at the last budget, or None if there is no budget yet.

    The state is read from the rows, not from the manifest: a run that was killed between writing the two has still
    taken a turn of the loop.
    """
    file = lake.rows_file("domain_budget", ALL)
    if not file.exists():
        return None
    rows = pl.read_parquet(file, glob=False)
    if not set(_LOOP) <= set(rows.columns):
        return None
    why = pl.col("turns").list.last().struct.field("why").fill_null("").alias("why")
    return conform(rows.select("domain", *_LOOP, why), STATE)


@dataset(
    group="foundation",
    reads=("decontaminated", "domain_scores"),
    settings=lambda s: (s.foundation.budgeting,),
    columns={**BUDGET, **_LOOP},
    version="2",
)
def domain_budget(step: Step) -> Outcome:
    """Quota of rows and rule thresholds of each domain for InfInstruct-F: from the settings, then adjusted by the loop.

    Grain: one domain. Key: domain. The loop favors domains in which the model under test lags behind. It takes a turn
    whenever `domain_scores` differs from the scores of the last budget (docs/loop.md).
    """
    recipe, scores = step.settings.foundation, step.read("domain_scores").collect()
    state = advance(last_state(step.lake), scores, recipe.keep_share, recipe.loop)
    conversations = step.read("decontaminated").filter(pl.col("kind") == "conversation")
    counts = conversations.group_by("domain").len("rows").collect(engine="streaming")
    # A domain without rows in the pool is kept, because the loop has a state for it.
    available = state.select("domain").join(counts, on="domain", how="left").with_columns(pl.col("rows").fill_null(0))
    factors = {domain: (factor, why) for domain, factor, why in state.select("domain", "factor", "why").iter_rows()}
    quotas = budget(available, recipe, factors).join(state.drop("why"), on="domain", maintain_order="left")
    standings = sorted(compute_standings(scores).items())
    return Outcome(
        quotas,
        measures={
            "quota, all domains": int(quotas["quota"].sum()),
            "turn": state["turn"].max(),  # pyrefly: ignore[bad-assignment]
            **{f"gap of {domain}": round(standing.gap, 4) for domain, standing in standings},
        },
        charts={"budget": charts.table(quotas.select(list(BUDGET)))},
    )
