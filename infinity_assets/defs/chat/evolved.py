"""`evolved`: instructions made from seeds, one asset per round. Grain: an instruction. Key: row_id."""

from collections.abc import Iterable, Sequence

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import Gate
from infinity_assets.dedup.fingerprints import PLACE
from infinity_assets.defs.chat.rounds import EVOLVED, FAILED, LABELS
from infinity_assets.defs.curate.matches import GATE, gate_of
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation, frames
from infinity_assets.rows.ids import add_row_ids, shard_of
from infinity_assets.rows.text import strip_quotes
from infinity_assets.scoring import language
from infinity_assets.selection.rules import Rule
from infinity_assets.synthesis import dispatch, quota
from infinity_assets.synthesis.elimination import copies, model_measures, rewrite_rules
from infinity_assets.synthesis.lineage import Generation, settle
from infinity_assets.synthesis.prompting import Asking


def _make(number: int) -> dg.AssetsDefinition:
    before = range(1, number)

    @dataset(
        round=number,
        group="chat", partitions="shard", invariants=("conservation", "grammar", "clean"),
        batched=True,
        # The seeds come first: a plan regards an asset's first input as the rows that go to its models.
        reads=("seed_selected", *GATE, *(in_round("abilities", earlier) for earlier in before[-1:])),
        reads_all=tuple(in_round(asset, earlier) for earlier in before for asset in ("evolved", "diagnosed")),
        settings=lambda s: (
            s.shards, s.chat.evolution, s.decontamination.gate, s.scoring.max_chars, s.calls.retries,
            s.models.generator.answer_id, s.models.judge.answer_id, s.models.embedder.weights_id,
            *prompts.hashes(s.prompts_dir, *dispatch.list_prompts(s.chat.evolution), *model_measures.PROMPTS),
            *dispatch.list_settings(s),
        ),
        columns=EVOLVED,
        kinds=("polars", "parquet", "vllm"),
        seconds=20,
        version="16",
    )  # fmt: skip
    def evolved(step: Step) -> Outcome:
        """Instructions that the generator made from seeds, each by a strategy and an operation drawn by row id.

        Grain: one instruction. Key: row_id. The row id of the seed decides the shard. The first round rewrites the rows
        of `seed_selected`. A later round rewrites seeds that have led to no row yet, and rows on which every student
        was weak, some of them to address that weakness. Every rejected rewrite has a reason: no gain over the seed,
        harm, another language, leaked words of the prompt, lost material, an answer instead of a request, a copy,
        contamination. The seed of a rejected rewrite returns to the pool. After the loop has stopped, no seed is tried.
        """
        return evolve(step, number)

    return evolved


def evolve(step: Step, number: int) -> Outcome:
    """Make one shard of `evolved` for round `number`."""
    recipe, asking = step.settings.chat.evolution, step.asking()
    seeds = step.sampled(_candidates(step, number))
    if number > 1 and step.read(in_round("abilities", number - 1)).select(pl.any("stop")).collect().item():
        return Outcome(
            EVOLVED.to_frame(),
            rows_in=seeds.height,
            rows_created=0,
            decisions=frames.decide(seeds, reason="loop_stopped", detail=pl.lit("{}")),
        )
    # The prompts whose words and examples a rewrite may have copied.
    wordings = [prompts.load_bilingual(name, step.settings.prompts_dir) for name in dispatch.list_prompts(recipe)]
    checks = rewrite_rules.rules(recipe.elimination, wordings)
    gate, tried, before = gate_of(step), [], _earlier_rewrites(step, number)

    def make(seeds: pl.DataFrame) -> pl.DataFrame:
        rewrites = _rewrite(asking, seeds, number, checks)
        tried.append(rewrites.select("row_id", "strategy", "operation", written=pl.col("text").fill_null("") != ""))
        return rewrites

    def decide(rewrites: pl.DataFrame, failed: pl.DataFrame) -> Generation:
        failed = pl.concat([rewrites.filter(pl.col("reason").is_not_null()).select(FAILED), failed])
        copied = _find_copies(gate, _remove_failed(rewrites, failed), wordings)
        failed = pl.concat([failed, copied, _find_repeats(rewrites, before)])
        failed = pl.concat([failed, copies.find_near_copies(_remove_failed(rewrites, failed), recipe.elimination)])
        return settle(rewrites.drop(FAILED[1:]), EVOLVED, [], failed, by=step.settings.models.generator.model)

    wanted = quota.shard_quota(recipe.accept, step.settings.shards, step.partition)
    result, untried = quota.try_until_accepted(seeds, wanted, step.asset, make, decide)
    return Outcome(
        result.kept,
        rows_in=seeds.height,
        rows_created=result.created.height,
        decisions=pl.concat([result.decisions, untried]),
        edges=result.edges,
        measures={"kept": result.kept.height},
        charts={
            "operations": charts.table(operations(pl.concat(tried), result.decisions), rows=30),
            "similarity": charts.histogram(result.created["similarity"], "cosine of rewrite and seed", low=0, high=1),
        },
    )


def operations(tried: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Count seeds, kept rewrites and reasons of rejection by strategy and operation.

    Args:
        tried: One line per seed: row_id, strategy, operation, written (whether there is a text).
        decisions: The decisions of `lineage.settle`.

    Returns:
        strategy, operation, seeds, written, kept, rejected (the three most frequent reasons with their counts), sorted
        by strategy and operation.
    """
    fate = decisions.filter(pl.col("reason").is_in(["superseded", "returned_to_pool"])).select(
        "row_id", "reason", why=pl.col("detail").str.json_path_match("$.why")
    )
    key = ["strategy", "operation"]
    results = tried.join(fate, on="row_id", how="left")
    counted = results.group_by(key).agg(
        pl.len().cast(pl.Int64).alias("seeds"),
        pl.col("written").sum().cast(pl.Int64),
        (pl.col("reason") == "superseded").sum().cast(pl.Int64).alias("kept"),
    )
    reasons = (
        results.drop_nulls("why")
        .group_by(*key, "why")
        .len("count")
        .sort(*key, pl.col("count") * -1, "why")
        .group_by(key, maintain_order=True)
        .agg(pl.format("{} {}", "why", "count").head(3).alias("rejected"))
        .with_columns(pl.col("rejected").list.join(", "))
    )
    return counted.join(reasons, on=key, how="left").sort(key)


def _candidates(step: Step, number: int) -> pl.DataFrame:
    """Return the seeds of this shard: source, file, position, columns that a rewrite inherits, and `strategy.SEEDS`.

    A seed is left out if its rewrite was answered in an earlier round. If `retry` is false, each seed is tried once.
    """
    before, retry = range(1, number), step.settings.chat.evolution.retry
    parts = [
        step.read(in_round("diagnosed", earlier)).filter("weak") for earlier in before if retry or earlier == number - 1
    ]
    if retry or number == 1:
        parts.insert(0, step.read("seed_selected").with_columns(deficiency=pl.lit(None, pl.String)))
    wanted = ("kind", *PLACE, "licence", "domain", "language", *LABELS, "deficiency", "messages")
    rows = pl.concat([part.select("row_id", *wanted) for part in parts])
    rows = rows.filter(shard_of(step.settings.shards) == step.partition)
    for earlier in before:
        answered = step.read(in_round("diagnosed", earlier)).select(row_id="parents").explode("row_id")
        children = step.read(in_round("evolved", earlier)).join(answered, on="row_id", how="semi")
        rows = rows.join(children.select(row_id="parents").explode("row_id"), on="row_id", how="anti")
    return (
        rows.with_columns(seed=conversation.instruction(), seed_answer=conversation.turns_of("assistant").list.first())
        .drop("messages")
        .unique("row_id", keep="first", maintain_order=True)
        .sort("row_id")
        .collect()
    )


def _earlier_rewrites(step: Step, number: int) -> pl.Series:
    """Return the row ids of the rewrites that earlier rounds kept."""
    kept = [step.read(in_round("evolved", earlier)).select("row_id") for earlier in range(1, number)]
    return pl.concat([pl.LazyFrame(schema={"row_id": pl.String}), *kept]).collect()["row_id"]


def _find_repeats(rewrites: pl.DataFrame, before: pl.Series) -> pl.DataFrame:
    """Return the rewrites that an earlier round kept for another seed: row_id, reason, detail."""
    child = add_row_ids(rewrites.select("messages"))["row_id"]
    again = rewrites.select("row_id", duplicate_of=child, reason=pl.lit("copy_of_another"))
    again = again.filter(pl.col("duplicate_of").is_in(before.implode()))
    return again.select("row_id", "reason", frames.json_detail("duplicate_of"))


def _rewrite(asking: Asking, seeds: pl.DataFrame, number: int, checks: Sequence[Rule]) -> pl.DataFrame:
    """Rewrite seeds, and measure the rewrites for the rules. Return one line per seed."""
    rewrites = seeds.join(dispatch.write(seeds, asking, number), on="row_id").with_columns(strip_quotes(pl.col("text")))
    return model_measures.measure_rewrites(rewrites, asking, checks).with_columns(
        pl.col("kind").alias("seed_kind"),
        pl.lit("instruction").alias("kind"),
        pl.concat_list(pl.struct(role=pl.lit("user"), content=pl.col("text").fill_null(""))).alias("messages"),
        language.detect(pl.col("text").fill_null("")).alias("language"),
        pl.lit(number).alias("round"),
    )


def _remove_failed(rewrites: pl.DataFrame, failed: pl.DataFrame) -> pl.DataFrame:
    return rewrites.join(failed, on="row_id", how="anti", maintain_order="left")


def _find_copies(gate: Gate, rewrites: pl.DataFrame, wordings: Iterable[prompts.Bilingual]) -> pl.DataFrame:
    """Return the rewrites that contain a benchmark item or an example of their prompt: row_id, reason, detail."""
    hits = [
        gate.hits(rewrites).with_columns(reason=pl.lit("contaminated_")),
        rewrite_rules.find_copied_examples(rewrites, wordings).with_columns(reason=pl.lit("prompt_example_")),
    ]
    return pl.concat(hits).select(
        "row_id",
        pl.concat_str("reason", "rule"),
        frames.json_detail("benchmark", "item_id", "side", "span", "shared", "share"),
    )


rounds = [_make(number) for number in ROUNDS]
