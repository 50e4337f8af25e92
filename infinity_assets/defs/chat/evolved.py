"""`evolved`, one asset per round. Grain: an instruction written by the generator. Key: row_id."""

from collections.abc import Iterable

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import Gate
from infinity_assets.defs.chat.rounds import EVOLVED, LABELS, MEANING, ROUNDS, round_name
from infinity_assets.defs.curate.decontaminated import GATE, gate_of
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import shard_of
from infinity_assets.scoring import language
from infinity_assets.selection.rules import first_failure
from infinity_assets.settings import Settings
from infinity_assets.synthesis import quota
from infinity_assets.synthesis.asking import Asking
from infinity_assets.synthesis.descent import Generation, settle
from infinity_assets.synthesis.elimination import copies, measures, rules
from infinity_assets.synthesis.strategies import registry


def _prompts(settings: Settings) -> tuple[str, ...]:
    """The prompts whose words and examples a rewrite may have copied."""
    return registry.prompts_of(settings.chat.evolution)


def _make(number: int) -> dg.AssetsDefinition:
    name, upstream = round_name("evolved", number), "seed_selected" if number == 1 else round_name("diagnosed", number - 1)

    @dataset(
        name=name,
        group="chat",
        reads=(upstream, *GATE),
        settings=lambda s: (
            s.shards, s.chat.evolution, s.decontamination.gate,
            s.models.generator.reach, s.models.judge.reach, s.models.embedder.identity,
            *prompts.hashes(s.prompts_dir, *_prompts(s), *measures.PROMPTS),
        ),
        columns=EVOLVED,
        meaning=MEANING,
        kinds=("polars", "parquet", "vllm"),
        version="5",
    )  # fmt: skip
    def evolved(step: Step) -> Outcome:
        """Instructions that the generator made from seeds, one operator per seed, drawn by row id.

        Grain: one instruction. Key: row_id. Thrown away, with a reason each: no gain over the seed, harm, another language, leaked words
        of the prompt, lost material, an answer in place of a request, a copy, contamination. A seed whose rewrite failed returns to the pool.
        """
        recipe, asking = step.settings.chat.evolution, step.asking()
        wordings = [prompts.both(name, step.settings.prompts_dir) for name in _prompts(step.settings)]
        gate, seeds = gate_of(step), step.sampled(_seeds(step, upstream))

        def make(seeds: pl.DataFrame) -> pl.DataFrame:
            return _rewrites(asking, seeds, number)

        def decide(made: pl.DataFrame, failed: pl.DataFrame) -> Generation:
            checks = rules.rules(recipe.elimination, wordings)
            failed = pl.concat([first_failure(made, checks), _copied(gate, made, wordings), failed])
            failed = pl.concat([failed, copies.near_copies(made.join(failed, on="row_id", how="anti"), recipe.elimination)])
            return settle(made, EVOLVED, [], failed, by=step.settings.models.generator.model)

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
    """The rows of this shard that are to be evolved: their place, what a child inherits, and `strategy.SEEDS`."""
    rows = step.read(upstream)
    rows = rows.with_columns(deficiency=pl.lit(None, pl.String)) if upstream == "seed_selected" else rows.filter("weak")
    return (
        rows.filter(shard_of(step.settings.shards) == step.partition)
        .select(
            "row_id", "kind", "source", "file", "position", "licence", "domain", "language", *LABELS, "deficiency",
            seed=conversation.instruction(), seed_answer=conversation.answer(),
        )
        .collect()
    )  # fmt: skip


def _rewrites(asking: Asking, seeds: pl.DataFrame, number: int) -> pl.DataFrame:
    """What is made of seeds, and what the rules want to know of it: one line per seed."""
    made = seeds.join(registry.write(seeds, asking, number), on="row_id").with_columns(pl.col("text").str.strip_chars('"'))
    return measures.measured(made, asking).with_columns(
        pl.col("kind").alias("seed_kind"),
        pl.lit("instruction").alias("kind"),
        pl.concat_list(pl.struct(role=pl.lit("user"), content=pl.col("text").fill_null(""))).alias("messages"),
        language.detect(pl.col("text").fill_null("")).alias("language"),
        pl.lit(number).alias("round"),
    )


def _copied(gate: Gate, made: pl.DataFrame, wordings: Iterable[prompts.Bilingual]) -> pl.DataFrame:
    """Rewrites that hold a benchmark item, or an example of their prompt: row_id, reason, detail."""
    found = [
        gate.hits(made).with_columns(reason=pl.lit("contaminated_")),
        rules.copied_examples(made, wordings).with_columns(reason=pl.lit("prompt_example_")),
    ]
    return pl.concat(found).select(
        "row_id",
        pl.concat_str("reason", "rule"),
        pl.struct("benchmark", "item_id", "side", "span", "shared", "share").struct.json_encode().alias("detail"),
    )


rounds = [_make(number) for number in ROUNDS]
