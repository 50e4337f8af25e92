"""Self-rubrics (CodecLM, arXiv 2404.05875): rubrics of hard requests, each with an action that is applied to the seed.

The steps end when the gap between the answers of two models is large enough.
"""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.metadata import add_metadata
from infinity_assets.synthesis.strategies.steps import advance, begin, finish
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, ask_json, text_schema

RUBRICS, APPLY, JUDGE = "rubrics", "evolve_by_action", "judge_answer"
COUNT = 4
"""Rubrics per seed. (CodecLM.)"""

_RUBRIC = {
    "type": "object",
    "properties": {"rubric": text_schema(120), "action": text_schema(120)},
    "required": ["rubric", "action"],
    "additionalProperties": False,
}


class SelfRubrics(Strategy):
    """One action per step, until the generator's answer beats the first student's by the gap of the settings."""

    name = "self_rubrics"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the prompts for rubrics and steps, and the judge's prompt if there may be a second step."""
        return (RUBRICS, APPLY, JUDGE)[: 3 if settings.steps > 1 else 2]

    def takes(self) -> pl.Expr:
        """Select requests."""
        return ~IS_TEXT

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Apply at most `steps` actions to each seed. The gap after the last step is not measured."""
        settings = asking.settings.chat.evolution
        shape = pl.Schema({"rubrics": pl.List(pl.Struct({"rubric": pl.String, "action": pl.String}))})
        properties = {"rubrics": {"type": "array", "items": _RUBRIC, "minItems": COUNT, "maxItems": COUNT}}
        rubrics = ask_json(asking, RUBRICS, add_metadata(seeds), properties, shape)
        actions = rubrics.select(
            "row_id", "error", actions=pl.col("rubrics").list.eval(pl.element().struct.field("action"))
        )
        state = begin(seeds.rename({"seed": "request"})).drop("error").join(actions, on="row_id", maintain_order="left")
        ended = pl.Series("row_id", [], pl.String)
        for step in range(1, settings.steps + 1):
            going = state.filter(pl.col("actions").is_not_null(), ~pl.col("row_id").is_in(ended.implode()))
            place = (draw(f"rubrics:{number}:{step}", going["row_id"]) * COUNT).floor().cast(pl.Int64)
            asked = going.with_columns(request="current", action=pl.col("actions").list.get(pl.lit(place)))
            state = advance(state, asking.write(APPLY, asked, settings.sampling, progress_label="evolve"), APPLY)
            if step < settings.steps:
                ended = pl.concat([ended, _find_gaps(state.filter("wrote"), asking)])
        return finish(state)


def _find_gaps(written: pl.DataFrame, asking: Asking) -> pl.Series:
    """Return the ids of the lines with both answers and grades whose gap is large enough to stop."""
    settings, student = asking.settings, asking.settings.models.students[0]
    rows = written.select(
        "row_id", "language", request="current",
        messages=pl.concat_list(pl.struct(role=pl.lit("user"), content="current")),
    )  # fmt: skip
    answers = [
        asking.chat("answer", rows, settings.chat.answering.sampling),
        asking.chat(
            f"student:{student.name}",
            rows,
            student.sampling,
            by=student.model,
            progress_label=f"student {student.name}",
        ),
    ]
    strong, weak = (
        asking.grade(
            JUDGE,
            rows.join(given.select("row_id", answer="text"), on="row_id").filter(pl.col("answer").fill_null("") != ""),
        )
        for given in answers
    )
    both = strong.join(weak, on="row_id", suffix="_of_student")
    return both.filter(pl.col("score") - pl.col("score_of_student") >= settings.chat.evolution.gap)["row_id"]
