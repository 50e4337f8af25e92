"""`conversed`: conversations with further turns, one asset per round. Grain: a conversation. Key: row_id."""

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.rounds import CONVERSED
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.frames import conform, count_by
from infinity_assets.synthesis import conversations


def _make(number: int) -> dg.AssetsDefinition:
    upstream = in_round("diagnosed", number)

    @dataset(
        round=number,
        group="chat", partitions="shard", invariants=("conservation", "grammar", "unique"),
        batched=True,
        reads=(upstream,),
        settings=lambda s: (
            s.chat.conversations, s.chat.answering.sampling, s.scoring, s.calls.retries,
            s.models.generator.answer_id, s.models.judge.answer_id,
            *prompts.hashes(s.prompts_dir, *conversations.PROMPTS),
        ),
        columns=CONVERSED,
        kinds=("polars", "parquet", "vllm"),
        seconds=17,
        version="8",
    )  # fmt: skip
    def conversed(step: Step) -> Outcome:
        """Conversations of `diagnosed`. The generator continues a share of them, and plays both user and assistant.

        Grain: one conversation. Key: row_id. A conversation of several turns supersedes the row that it continues. A
        turn that fails a rule is dropped and ends the conversation. A row without a second turn stays unchanged.
        """
        recipe = step.settings.chat.conversations
        rows = step.sampled(step.read(upstream).collect())
        drawn = rows.join(conversations.draw_turns(rows, recipe), on="row_id", maintain_order="left")
        talked, tried = conversations.talk(drawn, recipe, step.asking())
        result = conversations.settle(rows, talked)
        return Outcome(
            conform(result.kept, CONVERSED),
            rows_in=rows.height,
            rows_created=result.created,
            decisions=result.decisions,
            edges=result.edges,
            measures={
                "rows to be continued": drawn.height,
                "conversations of several turns": result.kept.filter(pl.col("turns") > 1).height,
                "turns tried": tried.height,
                "turns added": tried["reason"].null_count(),
            },
            charts={
                "user turns": charts.table(result.kept.group_by("turns").len("rows").sort("turns")),
                "turns tried": charts.table(
                    count_by(tried, "turn", pl.col("reason").fill_null("added"), name="turns", within=1), rows=40
                ),
                "coherence": charts.histogram(
                    result.kept["coherence"], "judge's lowest probability that a turn continues", low=0, high=1
                ),
            },
        )

    return conversed


rounds = [_make(number) for number in ROUNDS]
