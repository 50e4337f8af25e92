"""Foundation: what each domain may bring, and InfInstruct-F.

| asset | grain | key |
|---|---|---|
| domain_budget | domain | domain |
| inf_instruct_f | row | row_id |
"""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import conversation, schema
from infinity_assets.selection import foundation
from infinity_assets.selection.diversity import near_duplicates
from infinity_assets.selection.rules import first_failure, registry


@dataset(
    group="foundation",
    reads=("decontaminated",),
    settings=lambda s: (s.foundation,),
    columns={"domain": pl.String, "available": pl.Int64, "keep_share": pl.Float64, "quota": pl.Int64, "reason": pl.String},
    meaning={
        "available": "conversations in the pool after decontamination",
        "keep_share": "share of them that F may hold",
        "quota": "rows that F may hold",
        "reason": "where the quota comes from",
    },
)
def domain_budget(step: Step) -> Outcome:
    """How many rows of each domain F may hold. Grain: one domain."""
    conversations = step.read("decontaminated").filter(pl.col("kind") == "conversation")
    available = conversations.group_by("domain").len("rows").collect()
    budget = foundation.budget(available, step.settings.foundation)
    return Outcome(budget, measures={"quota, all domains": int(budget["quota"].sum())}, charts={"budget": charts.table(budget)})


_F = {
    **schema.ROW,
    "cate_ability": pl.List(pl.String),
    "ability": pl.List(pl.String),
    "quality": pl.Float64,
    "ifd": pl.Float64,
    "dsir_log_weight": pl.Float64,
    "selector": pl.String,
}


@dataset(
    group="foundation",
    reads=("decontaminated", "measured", "labelled", "scored", "importance", "domain_budget", "seed_selected"),
    settings=lambda s: (s.foundation, s.models.embedder.identity),
    columns=_F,
    meaning={
        "cate_ability": "coarse abilities",
        "ability": "fine labels",
        "quality": "the judge's score, 1 to 5",
        "ifd": "instruction-following difficulty",
        "dsir_log_weight": "log importance weight towards the domain's target",
        "selector": "what chose the row: seed_replay, dsir or quality",
    },
    kinds=("polars", "parquet", "hnswlib"),
    version="4",
)
def inf_instruct_f(step: Step) -> Outcome:
    """InfInstruct-F: the foundation set.

    Grain: one row. Key: row_id. Rules of form and scores, a ranking per domain (DSIR towards the domain's target, or judge score and IFD,
    chat seeds first), a diversity step over embeddings, a quota per domain. Every row of `decontaminated` is either here, with the reason it
    was chosen in `decisions`, or in `decisions` as dropped.
    """
    recipe = step.settings.foundation
    pool = step.read("decontaminated").collect()
    seeds = step.read("seed_selected").select("row_id").collect()["row_id"]
    scored = step.read("scored").select(registry.SCORES).collect()
    facts = registry.facts(pool.select(registry.PLACE), step.read("measured").collect(), scored, recipe.rules)
    failed = first_failure(facts, registry.rules(recipe.rules))
    candidates = (
        pool.join(failed, on="row_id", how="anti")
        .join(scored, on="row_id", how="left")
        .join(step.read("labelled").select("row_id", "cate_ability", "ability").collect(), on="row_id", how="left")
        .join(step.read("importance").select("row_id", "log_weight", "stratum", "share").collect(), on="row_id", how="left")
        .with_columns(
            pl.col("row_id").is_in(seeds.implode()).alias("is_seed"),
            prompt=conversation.content_of("user"),
            answer=conversation.answer().fill_null(""),
        )
    )
    budget = step.read("domain_budget").select("domain", "quota").collect()
    ranked = foundation.rank(candidates, recipe).join(budget, on="domain")
    reach = ranked.filter(pl.col("place") < (pl.col("quota") * recipe.candidates_per_place).ceil())
    # Domains compete as equals: a row's rank is its place relative to its domain's quota.
    reach = reach.sort(pl.col("place") / pl.col("quota"), "row_id")
    texts = reach.select(pl.concat_str(["prompt", "answer"], separator="\n")).to_series()
    vectors = step.inference().embed(step.settings.models.embedder, texts.to_list(), "diversity")
    losers = near_duplicates(vectors, recipe.max_similarity)
    near = losers.select(
        reach["row_id"].gather(losers["index"]).alias("row_id"),
        pl.lit("near_duplicate").alias("reason"),
        pl.struct(reach["row_id"].gather(losers["of"]).alias("duplicate_of"), pl.col("similarity").round(4))
        .struct.json_encode()
        .alias("detail"),
    )
    distinct = reach.join(near, on="row_id", how="anti").sort("domain", "place")
    taken = distinct.filter(pl.int_range(pl.len()).over("domain") < pl.col("quota"))
    beyond = ranked.join(near, on="row_id", how="anti").join(taken, on="row_id", how="anti")
    over = beyond.select(
        "row_id",
        pl.lit("over_quota").alias("reason"),
        pl.struct("domain", "place", "quota", "selector", "dsir_log_weight", "quality", "ifd").struct.json_encode().alias("detail"),
    )
    left_out = pl.concat([failed, near, over])
    chosen = taken.select(
        "row_id",
        pl.col("selector").alias("reason"),
        pl.struct("domain", "place", "quota", "dsir_log_weight", "quality", "ifd").struct.json_encode().alias("detail"),
    )
    verdicts = pl.concat(
        [left_out.with_columns(pl.lit("dropped").alias("verdict")), chosen.with_columns(pl.lit("chosen").alias("verdict"))]
    )
    per_domain = taken.group_by("domain").agg(pl.len().alias("rows"), (pl.col("selector") == "seed_replay").sum().alias("seeds"))
    shares = budget.join(per_domain, on="domain", how="left").with_columns(
        pl.col("rows", "seeds").fill_null(0), (pl.col("quota") - pl.col("rows").fill_null(0)).alias("shortfall")
    )
    return Outcome(
        taken.select(list(_F)).sort("row_id"),
        rows_in=pool.height,
        decisions=verdicts.join(pool.select("row_id", "source", "file", "position"), on="row_id").select(list(schema.DECISIONS)),
        measures={"rows embedded": reach.height, "near-duplicates": near.height},
        charts={
            "domains": charts.table(shares.sort("domain")),
            "sources": charts.table(taken.group_by("source").len("rows").sort(pl.col("rows") * -1, "source")),
            "languages": charts.table(taken.group_by("language").len("rows").sort(pl.col("rows") * -1, "language")),
            "length": charts.histogram(taken["answer"].str.len_chars().log10(), "characters per answer, log10"),
        },
    )
