"""`evolved`, one asset per round. Grain: an instruction written by the generator. Key: row_id."""

from collections.abc import Iterable, Mapping

import dagster as dg
import numpy as np
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import Gate
from infinity_assets.defs.chat.rounds import EVOLVED, LABELS, MEANING, ROUNDS, round_name
from infinity_assets.defs.curate.decontaminated import GATE, gate_of
from infinity_assets.defs.step import Step, dataset
from infinity_assets.inference import batch
from infinity_assets.inference.client import Inference
from infinity_assets.model_settings import EmbedderSpec, Sampling
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import shard_of
from infinity_assets.scoring import language
from infinity_assets.synthesis import elimination, quota
from infinity_assets.synthesis.descent import Generation, settle
from infinity_assets.synthesis.operators import FROM_TEXT, OPERATORS, assign

_YES_NO = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)


def _make(number: int) -> dg.AssetsDefinition:
    name, upstream = round_name("evolved", number), "seed_selected" if number == 1 else round_name("diagnosed", number - 1)

    @dataset(
        name=name,
        group="chat",
        reads=(upstream, *GATE),
        settings=lambda s: (
            s.shards, s.chat.evolution, s.decontamination.gate,
            s.models.generator.reach, s.models.judge.reach, s.models.embedder.identity,
            *prompts.hashes(s.prompts_dir, *OPERATORS, FROM_TEXT, "same_request"),
        ),
        columns=EVOLVED,
        meaning=MEANING,
        kinds=("polars", "parquet", "vllm"),
        version="3",
    )  # fmt: skip
    def evolved(step: Step) -> Outcome:
        """Instructions that the generator made from seeds, one operator per seed, drawn by row id.

        Grain: one instruction. Key: row_id. Thrown away, with a reason each: no gain over the seed, another language, leaked words of the
        prompt, an answer in place of a request, contamination. A seed whose rewrite failed returns to the pool.
        """
        recipe = step.settings.chat.evolution
        wordings = {name: prompts.both(name, step.settings.prompts_dir) for name in (*OPERATORS, FROM_TEXT)}
        gate, seeds = gate_of(step), step.sampled(_seeds(step, upstream))
        seeds = seeds.with_columns(assign(seeds, number))

        def make(seeds: pl.DataFrame) -> pl.DataFrame:
            return _rewrites(step, name, number, seeds, wordings)

        def decide(made: pl.DataFrame, failed: pl.DataFrame) -> Generation:
            failed = pl.concat([_copied(gate, made, wordings.values()), failed])
            return settle(made, EVOLVED, elimination.rules(recipe), failed, by=step.settings.models.generator.model)

        wanted = quota.share_of(recipe.accept, step.settings.shards, step.partition)
        result, untried = quota.until_accepted(seeds, wanted, name, make, decide)
        per_operator = (
            result.created.group_by("operation")
            .len("written")
            .join(result.kept.group_by("operation").len("kept"), on="operation", how="left")
        )
        return Outcome(
            result.kept,
            rows_in=seeds.height,
            rows_created=result.created.height,
            decisions=pl.concat([result.decisions, untried]),
            edges=result.edges,
            measures={"kept": result.kept.height},
            charts={
                "operators": charts.table(per_operator.with_columns(pl.col("kept").fill_null(0)).sort("operation")),
                "similarity": charts.histogram(result.created["similarity"], "cosine of rewrite and seed", low=0, high=1),
            },
        )

    return evolved


def _seeds(step: Step, upstream: str) -> pl.DataFrame:
    """The rows of this shard that are to be evolved: their place, what a child inherits, `seed` (instruction or passage), `seed_answer`."""
    rows = step.read(upstream)
    if upstream != "seed_selected":
        rows = rows.filter("weak")
    return (
        rows.filter(shard_of(step.settings.shards) == step.partition)
        .select(
            "row_id", "kind", "source", "file", "position", "licence", "domain", "language", *LABELS,
            seed=conversation.instruction(), seed_answer=conversation.answer(),
        )
        .collect()
    )  # fmt: skip


def _rewrites(step: Step, name: str, number: int, seeds: pl.DataFrame, wordings: Mapping[str, prompts.Bilingual]) -> pl.DataFrame:
    """What the generator makes of seeds, and what the rules want to know of it: one line per seed."""
    inference, models = step.inference(), step.settings.models
    requests = [
        request
        for operator, wording in wordings.items()
        for request in batch.from_prompt(
            wording,
            seeds.filter(pl.col("operator") == operator).rename({"seed": "text" if operator == FROM_TEXT else "request"}),
            step.settings.chat.evolution.sampling,
            name,
        )
    ]
    written = inference.generate(models.generator, requests, "evolve")
    made = seeds.join(written.frame.select("row_id", "text", "finish_reason", "error"), on="row_id").with_columns(
        pl.col("text").str.strip_chars().str.strip_chars('"')
    )
    made = _with_similarities(made, inference, models.embedder)
    pairs = made.filter(pl.col("text").fill_null("") != "").select("row_id", "language", one="seed", other="text")
    same_request = prompts.both("same_request", step.settings.prompts_dir)
    compared = batch.from_prompt(same_request, pairs, _YES_NO, "same_request", choices=("yes", "no"))
    same = inference.generate(models.judge, compared, "same request")
    made = made.join(same.frame.select("row_id", same=pl.col("choice_logprobs").list.first().exp()), on="row_id", how="left")
    return made.with_columns(
        pl.col("kind").alias("seed_kind"),
        pl.lit("instruction").alias("kind"),
        pl.concat_list(pl.struct(role=pl.lit("user"), content=pl.col("text").fill_null(""))).alias("messages"),
        language.detect(pl.col("text").fill_null("")).alias("language"),
        pl.col("operator").alias("operation"),
        pl.lit(number).alias("round"),
    )


def _copied(gate: Gate, made: pl.DataFrame, wordings: Iterable[prompts.Bilingual]) -> pl.DataFrame:
    """Rewrites that hold a benchmark item, or an example of their prompt: row_id, reason, detail."""
    found = [
        gate.hits(made).with_columns(reason=pl.lit("contaminated_")),
        elimination.copied_examples(made, wordings).with_columns(reason=pl.lit("prompt_example_")),
    ]
    return pl.concat(found).select(
        "row_id",
        pl.concat_str("reason", "rule"),
        pl.struct("benchmark", "item_id", "side", "span", "shared", "share").struct.json_encode().alias("detail"),
    )


def _with_similarities(made: pl.DataFrame, inference: Inference, embedder: EmbedderSpec) -> pl.DataFrame:
    """Cosines of every rewrite with its seed, and with the seed's own answer where it has one."""

    def vectors(column: str) -> np.ndarray:
        return inference.embed(embedder, made[column].fill_null("").to_list(), "similarity")

    text = vectors("text")
    with_answer = pl.Series((text * vectors("seed_answer")).sum(axis=1), dtype=pl.Float64)
    return made.with_columns(
        similarity=pl.Series((text * vectors("seed")).sum(axis=1), dtype=pl.Float64),
        seed_answer_similarity=pl.when(pl.col("seed_answer").is_not_null()).then(with_answer),
    )


rounds = [_make(number) for number in ROUNDS]
