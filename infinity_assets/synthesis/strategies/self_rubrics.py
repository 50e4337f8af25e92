"""Self-rubrics (CodecLM, arXiv 2404.05875): rubrics of what makes requests of a kind hard, an action by one of them at a time, and the gap between
two models' answers as the end.
"""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.metadata import about
from infinity_assets.synthesis.strategies.steps import advance, begin, finish
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, ask_json, words

RUBRICS, APPLY, JUDGE = "rubrics", "evolve_by_action", "judge_answer"
COUNT = 4
"""Rubrics for each seed. (CodecLM.)"""

_RUBRIC = {
    "type": "object",
    "properties": {"rubric": words(120), "action": words(120)},
    "required": ["rubric", "action"],
    "additionalProperties": False,
}


class SelfRubrics(Strategy):
    """One action a step, until the generator answers so much better than the first student."""

    name = "self_rubrics"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """The rubrics, the step, and the judge's where there is a second step to be decided about."""
        return (RUBRICS, APPLY, JUDGE)[: 3 if settings.steps > 1 else 2]

    def takes(self) -> pl.Expr:
        """Requests."""
        return ~IS_TEXT

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """At most `steps` actions on each seed. The gap after the last one would decide nothing, and is not asked for."""
        settings = asking.settings.chat.evolution
        shape = pl.Schema({"rubrics": pl.List(pl.Struct({"rubric": pl.String, "action": pl.String}))})
        properties = {"rubrics": {"type": "array", "items": _RUBRIC, "minItems": COUNT, "maxItems": COUNT}}
        found = ask_json(asking, RUBRICS, about(seeds), properties, shape)
        actions = found.select(
            "row_id", "error", actions=pl.col("rubrics").list.eval(pl.element().struct.field("action"))
        )
        state = begin(seeds.rename({"seed": "request"})).drop("error").join(actions, on="row_id", maintain_order="left")
        ended = pl.Series("row_id", [], pl.String)
        for step in range(1, settings.steps + 1):
            going = state.filter(pl.col("actions").is_not_null(), ~pl.col("row_id").is_in(ended.implode()))
            place = (draw(f"rubrics:{number}:{step}", going["row_id"]) * COUNT).floor().cast(pl.Int64)
            asked = going.with_columns(request="current", action=pl.col("actions").list.get(pl.lit(place)))
            state = advance(state, asking.write(APPLY, asked, settings.sampling, told="evolve"), APPLY)
            if step < settings.steps:
                ended = pl.concat([ended, _apart(state.filter("wrote"), asking)])
        return finish(state)


def _apart(written: pl.DataFrame, asking: Asking) -> pl.Series:
    """The ids of those whose two answers are so far apart that no further step is wanted; not those of which an answer or a grade is missing."""
    settings, student = asking.settings, asking.settings.models.students[0]
    rows = written.select(
        "row_id", "language", request="current",
        messages=pl.concat_list(pl.struct(role=pl.lit("user"), content="current")),
    )  # fmt: skip
    answers = [
        asking.chat("answer", rows, settings.chat.answering.sampling),
        asking.chat(
            f"student:{student.name}", rows, student.sampling, by=student.model, told=f"student {student.name}"
        ),
    ]
    strong, weak = (
        asking.grade(
            JUDGE,
            rows.join(said.select("row_id", answer="text"), on="row_id").filter(pl.col("answer").fill_null("") != ""),
        )
        for said in answers
    )
    both = strong.join(weak, on="row_id", suffix="_of_student")
    return both.filter(pl.col("score") - pl.col("score_of_student") >= settings.chat.evolution.gap)["row_id"]
