"""Self-rubrics (CodecLM, arXiv 2404.05875): the model lists rubrics, each with an action that makes the seed harder.

One action is applied per step, until the gap between the scores of two models' answers is large enough.
"""

import polars as pl

from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Evolution
from infinity_assets.settings.models import Sampling
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import (
    IS_TEXT,
    Strategy,
    add_metadata,
    add_step,
    ask_json,
    begin_steps,
    draw_place,
    end_steps,
    list_schema,
    object_schema,
    text_schema,
)

RUBRICS, APPLY, JUDGE = "rubrics", "evolve_by_action", "judge_answer"
COUNT = 4
"""Number of rubrics per seed, as in CodecLM."""

_RUBRIC = object_schema({"rubric": text_schema(120), "action": text_schema(120)})


class SelfRubrics(Strategy):
    """A seed rewritten by one action per step, until the generator's answer beats the first student's by `gap`."""

    operations = {APPLY: "in_depth"}
    takes = ~IS_TEXT

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of the prompts for rubrics and actions, and the judge's prompt if `steps` is above 1."""
        return (RUBRICS, APPLY, JUDGE)[: 3 if settings.steps > 1 else 2]

    def further_settings(self, settings: Settings) -> tuple[str | Sampling, ...]:
        """Return the settings of the two answers whose scores are compared."""
        students = (part for student in settings.models.students[:1] for part in student.parts)
        return settings.chat.answering.sampling, *students

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Apply at most `steps` actions to each seed. The gap after the last step is not measured."""
        settings = asking.settings.chat.evolution
        shape = {"rubrics": pl.List(pl.Struct({"rubric": pl.String, "action": pl.String}))}
        properties = {"rubrics": list_schema(_RUBRIC, COUNT, COUNT)}
        rubrics = ask_json(asking, RUBRICS, add_metadata(seeds), properties, shape)
        actions = pl.col("rubrics").list.eval(pl.element().struct.field("action"))
        state = begin_steps(seeds.rename({"seed": "request"})).drop("error")
        state = state.join(rubrics.select("row_id", "error", actions=actions), on="row_id", maintain_order="left")
        ended = pl.Series("row_id", [], pl.String)
        for step in range(1, settings.steps + 1):
            going = state.filter(pl.col("actions").is_not_null(), ~pl.col("row_id").is_in(ended.implode()))
            place = draw_place(going, f"rubrics:{number}:{step}", COUNT)
            asked = going.with_columns(request="current", action=pl.col("actions").list.get(place))
            state = add_step(state, asking.write(APPLY, asked, settings.sampling, progress_label="evolve"), APPLY)
            if step < settings.steps:
                ended = pl.concat([ended, _find_gaps(state.filter("wrote"), asking)])
        return end_steps(state)


def _find_gaps(written: pl.DataFrame, asking: Asking) -> pl.Series:
    """Return the row ids for which both answers have a grade, and the gap is large enough to stop."""
    settings, student = asking.settings, asking.settings.models.students[0]
    rows = written.select(
        "row_id", "language", request="current",
        messages=pl.concat_list(pl.struct(role=pl.lit("user"), content="current")),
    )  # fmt: skip
    strong = asking.chat("answer", rows, settings.chat.answering.sampling)
    weak = asking.ask_student(student, rows)

    def grade(answers: pl.DataFrame) -> pl.DataFrame:
        answered = answers.select("row_id", answer="text").filter(pl.col("answer").fill_null("") != "")
        return asking.grade(JUDGE, rows.join(answered, on="row_id"))

    both = grade(strong).join(grade(weak), on="row_id", suffix="_of_student")
    return both.filter(pl.col("score") - pl.col("score_of_student") >= settings.chat.evolution.gap)["row_id"]
