"""GLAN (arXiv 2402.13064): from a taxonomy to a syllabus to an exercise.

The labels of the pool serve as the taxonomy: coarse abilities are the fields, fine labels the subjects.
"""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategy import (
    Strategy,
    add_metadata,
    ask_json,
    draw_place,
    list_schema,
    object_schema,
    text_schema,
    to_written,
)

SYLLABUS, EXERCISE = "syllabus", "request_from_syllabus"
SESSIONS = 4
"""Sessions of a syllabus. (GLAN lets the model choose the number.)"""

_LABELS = pl.col("ability").list.drop_nulls()
_SESSION = object_schema({"session": text_schema(80), "concepts": list_schema(text_schema(60), 2, 3)})


class Syllabus(Strategy):
    """An exercise on two concepts of a syllabus for one of the seed's labels."""

    operations = {"syllabus": "new"}
    takes = _LABELS.list.len() > 0  # only labels, domain and language of a seed are used

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of both prompts."""
        return SYLLABUS, EXERCISE

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Write a syllabus for a label of each seed, and an exercise on two of its concepts, drawn by row id."""
        subject = _LABELS.list.get(draw_place(seeds, f"subject:{number}", _LABELS.list.len()))
        rows = add_metadata(seeds).select("row_id", "language", field="use_case", subject=subject)
        shape = {"sessions": pl.List(pl.Struct({"session": pl.String, "concepts": pl.List(pl.String)}))}
        listed = {"sessions": list_schema(_SESSION, SESSIONS, SESSIONS)}
        answered = rows.join(ask_json(asking, SYLLABUS, rows, listed, shape), on="row_id", maintain_order="left")
        failed = pl.col("error").is_not_null()
        planned = _plan_exercises(answered.filter(~failed), number)
        sampling = asking.settings.chat.evolution.sampling
        made = asking.write(EXERCISE, planned.filter(~failed), sampling, progress_label="exercises")
        parts = (made, planned.filter(failed), answered.filter(failed))
        return pl.concat([to_written(part, self.name) for part in parts])


def _plan_exercises(syllabi: pl.DataFrame, number: int) -> pl.DataFrame:
    """Draw the sessions and concepts of each exercise, in words.

    Half of the exercises use two concepts of one session, half one concept of each of two sessions. The error is
    `one_concept` if both concepts are equal.
    """
    one = draw_place(syllabi, f"session:{number}", SESSIONS)
    # Step from the first session to the second: 0 for half of the rows.
    step = pl.when(draw(f"sessions:{number}", syllabi["row_id"]) < 0.5).then(0).otherwise(
        1 + draw_place(syllabi, f"second:{number}", SESSIONS - 1)
    )  # fmt: skip
    first, second = (pl.col("sessions").list.get(place % SESSIONS) for place in (one, one + step))
    title, further = (session.struct.field("session") for session in (first, second))
    known, others = (session.struct.field("concepts") for session in (first, second))
    place = draw_place(syllabi, f"concept:{number}", known.list.len())
    other = draw_place(syllabi, f"further:{number}", others.list.len())
    concept = known.list.get(place).str.strip_chars()
    again = others.list.get(pl.when(step == 0).then((place + 1) % known.list.len()).otherwise(other)).str.strip_chars()
    both = pl.when(step == 0).then(title).otherwise(pl.concat_str(title, further, separator="; "))
    # Small models tend to repeat a concept.
    different = (concept.str.to_lowercase() != again.str.to_lowercase()) & (concept != "") & (again != "")
    return syllabi.with_columns(
        sessions=both,
        concepts=pl.concat_str(concept, again, separator="; "),
        error=pl.when(~different).then(pl.lit("one_concept")),
    )
