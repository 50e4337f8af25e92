"""GLAN (arXiv 2402.13064): a syllabus for a subject of a taxonomy, then an exercise from the syllabus.

The labels of the seeds serve as the taxonomy: coarse labels are the fields, and fine labels are the subjects.
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
"""Number of sessions in a syllabus. (In GLAN, the model chooses it.)"""

_LABELS = pl.col("ability").list.drop_nulls()
_SESSION = object_schema({"session": text_schema(80), "concepts": list_schema(text_schema(60), 2, 3)})


class Syllabus(Strategy):
    """An exercise on two concepts from a syllabus for one of the seed's labels."""

    operations = {"syllabus": "new"}
    takes = _LABELS.list.len() > 0  # the strategy reads only labels, domain and language of a seed

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the names of the prompts for syllabus and exercise."""
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
    """Draw the two concepts of each exercise, as `concepts`, and the titles of their `sessions`.

    Half of the exercises use two concepts of one session. The others use one concept from each of two sessions. If the
    two concepts are equal or one is empty, the error is `one_concept`.
    """
    one = draw_place(syllabi, f"session:{number}", SESSIONS)
    # Distance from the first session to the second, which is 0 for half of the rows.
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
    # Small models tend to list a concept twice.
    different = (concept.str.to_lowercase() != again.str.to_lowercase()) & (concept != "") & (again != "")
    return syllabi.with_columns(
        sessions=both,
        concepts=pl.concat_str(concept, again, separator="; "),
        error=pl.when(~different).then(pl.lit("one_concept")),
    )
