"""`inf_instruct_g`. Grain: a conversation. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup.fingerprints import content_hashes
from infinity_assets.defs.chat.rounds import DIAGNOSED, MEANING, ROUNDS, round_name
from infinity_assets.defs.curate.decontaminated import GATE, gate_of
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.selection.rules import Rule, first_failure

_LAST = [round_name("diagnosed", number) for number in ROUNDS]


@dataset(
    group="chat",
    reads=(*_LAST, "inf_instruct_f", *GATE),
    settings=lambda s: (s.chat.final.min_answer_score, s.decontamination.gate),
    columns=DIAGNOSED,
    meaning=MEANING,
)
def inf_instruct_g(step: Step) -> Outcome:
    """InfInstruct-G: the chat set, from all rounds.

    Grain: one conversation. Key: row_id. Kept if the judge's score is high enough, no benchmark item is in it, and nothing in F or before it in
    G has the same content. Every row carries its parents, its operation and the most restrictive licence of its parents.
    """
    arrived = pl.concat([step.read(asset).collect() for asset in _LAST]).sort("round", "row_id")
    first = pl.int_range(pl.len()).over("row_id") == 0
    rows, repeated = arrived.filter(first), arrived.filter(~first)
    least = step.settings.chat.final.min_answer_score
    in_f = content_hashes(step.read("inf_instruct_f").select("messages").collect())
    hits = gate_of(step).hits(rows).select("row_id", "item_id", "rule", "span", "share")
    described = rows.with_columns(content_hashes(rows)).join(hits, on="row_id", how="left")
    again = pl.int_range(pl.len()).over("content_hash") > 0
    evidence = pl.format("{} by {}, {} of it: {}", "item_id", "rule", pl.col("share").round(2), "span")
    rules = [
        Rule("contaminated", pl.col("item_id").is_not_null(), evidence),
        Rule("in_foundation", pl.col("content_hash").is_in(in_f.implode()), pl.col("content_hash")),
        Rule("repeats_another", again, pl.col("content_hash")),
        Rule("not_scored", pl.col("answer_score").is_null(), pl.col("answer_score")),
        Rule("low_answer_score", pl.col("answer_score") < least, pl.col("answer_score"), least),
    ]
    failed = first_failure(described, rules)
    kept = rows.join(failed, on="row_id", how="anti").sort("row_id")
    same_row = repeated.with_columns(pl.lit("repeats_another").alias("reason"), pl.lit("{}").alias("detail"))
    dropped = pl.concat([rows.join(failed, on="row_id"), same_row]).with_columns(pl.lit("dropped").alias("verdict"))
    chosen = kept.with_columns(
        pl.lit("chosen").alias("verdict"),
        pl.lit("passed_final_filter").alias("reason"),
        pl.struct("answer_score", "round").struct.json_encode().alias("detail"),
    )
    decisions = pl.concat([frame.select(list(schema.DECISIONS)) for frame in (dropped, chosen)])
    return Outcome(
        kept,
        rows_in=arrived.height,
        decisions=decisions,
        charts={
            "operations": charts.table(
                kept.group_by("round", "domain", "language").len("rows").sort(pl.col("rows") * -1, "round", "domain", "language")
            ),
            "answer score": charts.histogram(kept["answer_score"], "judge's score of the answer", low=1, high=5),
            "turn lengths": charts.histogram(
                kept["messages"].list.last().struct.field("content").str.len_chars().log10(), "characters per answer, log10"
            ),
        },
    )
