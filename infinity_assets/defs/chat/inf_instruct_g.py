"""`inf_instruct_g`: the chat set. Grain: a conversation. Key: row_id."""

from collections.abc import Iterator

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup.fingerprints import PLACE
from infinity_assets.defs.chat.rounds import CONVERSED
from infinity_assets.defs.curate.matches import GATE, gate_of
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform, count_by
from infinity_assets.synthesis import final

_LAST = [in_round("conversed", number) for number in ROUNDS]

COLUMNS = pl.Schema({**CONVERSED, "terms": pl.String, "quantile": pl.Float64})


@dataset(
    group="chat",
    invariants=("conservation", "grammar", "unique", "clean", "lineage", "licence"),
    reads=(*_LAST, "inf_instruct_f", "seed_selected", *GATE),
    settings=lambda s: (s.chat.final, s.dedup.near, s.decontamination.gate, s.models.generator.terms),
    columns=COLUMNS,
    seconds=1,
    version="4",
)
def inf_instruct_g(step: Step) -> Outcome:
    """InfInstruct-G: the chat set, from all rounds.

    Grain: one conversation. Key: row_id. Rows are dropped in this order, each with its evidence: duplicates; rows that
    contain a benchmark item; harmful requests; denied licences and terms; rows without a score or with a low one; rows
    of InfInstruct-F; near-duplicates of a seed, of a row of InfInstruct-F or of a better row; the lowest rewards per
    domain and language. Every row has its parents, its operation and the most restrictive licence of its parents.
    """
    recipe, arrived = step.settings.chat.final, pl.concat([step.read(asset).collect() for asset in _LAST])
    result = final.filter_rows(
        arrived,
        step.settings.models.generator.terms,
        gate_of(step).hits(arrived.unique("row_id", maintain_order=True)),
        _batches(step, "seed_selected"),
        _batches(step, "inf_instruct_f"),
        recipe,
        step.settings.dedup.near,
        step.settings.ingest.workers,
    )
    kept = result.kept
    several = kept.filter(pl.col("turns") > 1).height
    return Outcome(
        conform(kept, COLUMNS),
        rows_in=arrived.height,
        decisions=result.decisions,
        measures={
            "rows of several turns": several,
            "share of several turns": several / kept.height if kept.height else None,
        },
        charts={
            "rules": charts.table(_funnel(arrived.height, result.decisions), rows=20),
            "user turns": charts.bars(_shares(kept, "turns"), "user turns per conversation"),
            "languages": charts.bars(_shares(kept, "language"), "languages"),
            "domains and languages": charts.table(count_by(kept, "domain", "language"), rows=40),
            "licences": charts.table(count_by(kept, "licence", "terms"), rows=30),
            "operations": charts.table(_count_operations(step, kept), rows=40),
            "answer score": charts.histogram(kept["answer_score"], "judge's score of the answer", low=1, high=5),
            "pairs nearest to the threshold": charts.table(result.pairs, rows=12),
            "answer lengths": charts.histogram(
                kept["messages"].list.last().struct.field("content").str.len_chars().log10(),
                "characters per last answer, log10",
            ),
        },
    )


def _batches(step: Step, asset: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of an asset in batches."""
    rows = step.read(asset).select("row_id", "messages", *PLACE)
    return rows.collect_batches(chunk_size=final.BATCH, maintain_order=True, engine="streaming")


def _funnel(arrived: int, decisions: pl.DataFrame) -> pl.DataFrame:
    """Count the rows that each rule dropped and the rows left after it, in the order of the rules."""
    taken = dict(decisions.filter(verdict="dropped").group_by("reason").len().iter_rows())
    rules = pl.DataFrame({"rule": final.REASONS, "rows dropped": [taken.get(reason, 0) for reason in final.REASONS]})
    return rules.with_columns((arrived - pl.col("rows dropped").cum_sum()).alias("rows left"))


def _shares(kept: pl.DataFrame, column: str) -> pl.DataFrame:
    counted = kept.group_by(pl.col(column).cast(pl.String)).len("rows").sort(column)
    return counted.select(column, pl.col("rows") / pl.col("rows").sum())


def _count_operations(step: Step, kept: pl.DataFrame) -> pl.DataFrame:
    """Count rows by round, by the operation that made their instruction, and by whether `conversed` continued them.

    A row that descends from several instructions counts for each of them.
    """
    line = kept.select("row_id", "round", at="row_id")
    for asset in ("conversed", "answered", "evolved"):
        tables = [
            step.lake.ledger_table("edges", name, partition).select(list(schema.EDGES))
            for name in (in_round(asset, number) for number in ROUNDS)
            for partition in step.lake.partitions(name)
        ]
        edges = pl.concat([pl.LazyFrame(schema=schema.EDGES), *tables]).unique().collect()
        line = line.join(edges.rename({"child_id": "at", "operation": asset}), on="at", how="left")
        line = line.with_columns(at=pl.coalesce("parent_id", "at")).drop("parent_id")
    continued = pl.col("conversed").is_not_null().alias("continued")
    return count_by(line, "round", pl.col("evolved").alias("instruction"), continued)
