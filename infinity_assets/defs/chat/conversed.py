"""`conversed`, one asset per round. Grain: a conversation of one turn or several. Key: row_id."""

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.rounds import CONVERSED, MEANING
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.synthesis import conversations


def _make(number: int) -> dg.AssetsDefinition:
    upstream = in_round("diagnosed", number)

    @dataset(
        round=number,
        group="chat", partitions="shard", invariants=("conservation", "grammar", "unique"),
        batched=True,
        reads=(upstream,),
        settings=lambda s: (
            s.chat.conversations, s.chat.answering.sampling, s.scoring, s.calls.retries, s.models.generator.reach, s.models.judge.reach,
            *prompts.hashes(s.prompts_dir, *conversations.PROMPTS),
        ),
        columns=CONVERSED,
        meaning=MEANING,
        kinds=("polars", "parquet", "vllm"),
        seconds=17,
        version="7",
    )  # fmt: skip
    def conversed(step: Step) -> Outcome:
        """The same conversations, a share of them talked on about by role play: the generator plays the user and answers as the assistant.

        Grain: one conversation. Key: row_id. A row that became a conversation of several turns is superseded by it; a turn that fails a rule is
        thrown away and ends the conversation, and a row of which no second turn came goes on as it was.
        """
        recipe = step.settings.chat.conversations
        rows = step.sampled(step.read(upstream).collect())
        drawn = rows.join(conversations.wanted(rows, recipe), on="row_id", maintain_order="left")
        talked, tried = conversations.talk(drawn, recipe, step.asking())
        result = conversations.settle(rows, talked)
        return Outcome(
            result.kept.select(pl.col(name).cast(dtype) for name, dtype in CONVERSED.items()),
            rows_in=rows.height,
            rows_created=result.created,
            decisions=result.decisions,
            edges=result.edges,
            measures={
                "rows talked on about": drawn.height,
                "conversations of several turns": result.kept.filter(pl.col("turns") > 1).height,
                "turns tried": tried.height,
                "turns added": tried["reason"].null_count(),
            },
            charts={
                "user turns": charts.table(result.kept.group_by("turns").len("rows").sort("turns")),
                "turns tried": charts.table(
                    tried.group_by("turn", pl.col("reason").fill_null("added"))
                    .len("turns")
                    .sort("turn", pl.col("turns") * -1, "reason"),
                    rows=40,
                ),
                "coherence": charts.histogram(
                    result.kept["coherence"], "judge's least probability that a turn carries on", low=0, high=1
                ),
            },
        )

    return conversed


rounds = [_make(number) for number in ROUNDS]
