"""GLAN (arXiv 2402.13064): from a taxonomy to a syllabus to an exercise. The taxonomy is that of the pool: its coarse abilities are the fields, its
fine labels the subjects.
"""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.metadata import about
from infinity_assets.synthesis.strategies.strategy import Strategy, as_written, ask_json, words

SYLLABUS, EXERCISE = "syllabus", "request_from_syllabus"
SESSIONS = 4
"""Sessions of a syllabus. (GLAN lets the model say how many.)"""

_LABELS = pl.col("ability").list.drop_nulls()
_SESSION = {
    "type": "object",
    "properties": {
        "session": words(80),
        "concepts": {"type": "array", "items": words(60), "minItems": 2, "maxItems": 3},
    },
    "required": ["session", "concepts"],
    "additionalProperties": False,
}


class Syllabus(Strategy):
    """An exercise on two concepts of a syllabus for one of the seed's labels."""

    name = "syllabus"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Both."""
        return SYLLABUS, EXERCISE

    def takes(self) -> pl.Expr:
        """Seeds with a fine label: of a seed only labels, domain and language are used."""
        return (_LABELS.list.len() > 0).fill_null(False)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """A syllabus for one label of each seed, and an exercise on two of its concepts: of one session, or of two. All of it is drawn by row id."""
        subject = _LABELS.list.get(_drawn(seeds, f"subject:{number}", _LABELS.list.len()))
        rows = about(seeds).select("row_id", "language", field="use_case", subject=subject)
        shape = pl.Schema({"sessions": pl.List(pl.Struct({"session": pl.String, "concepts": pl.List(pl.String)}))})
        listed = {"sessions": {"type": "array", "items": _SESSION, "minItems": SESSIONS, "maxItems": SESSIONS}}
        told = rows.join(ask_json(asking, SYLLABUS, rows, listed, shape), on="row_id", maintain_order="left")
        failed = pl.col("error").is_not_null()
        planned = _exercises(told.filter(~failed), number)
        made = asking.write(
            EXERCISE, planned.filter(~failed), asking.settings.chat.evolution.sampling, told="exercises"
        )
        return pl.concat([as_written(some, self.name) for some in (made, planned.filter(failed), told.filter(failed))])


def _exercises(told: pl.DataFrame, number: int) -> pl.DataFrame:
    """With `sessions` and `concepts` in words: half of them of one session with two of its concepts, half of two with one each. The error is
    `one_concept` where both are the same.
    """
    one = _drawn(told, f"session:{number}", pl.lit(SESSIONS))
    # A step from the first session: none for half of the rows.
    step = pl.when(draw(f"sessions:{number}", told["row_id"]) < 0.5).then(0).otherwise(
        1 + _drawn(told, f"second:{number}", pl.lit(SESSIONS - 1))
    )  # fmt: skip
    first, second = (pl.col("sessions").list.get(place % SESSIONS) for place in (one, one + step))
    title, further = (session.struct.field("session") for session in (first, second))
    known, others = (session.struct.field("concepts") for session in (first, second))
    place, other = (
        _drawn(told, f"concept:{number}", known.list.len()),
        _drawn(told, f"further:{number}", others.list.len()),
    )
    concept = known.list.get(place).str.strip_chars()
    again = others.list.get(pl.when(step == 0).then((place + 1) % known.list.len()).otherwise(other)).str.strip_chars()
    both = pl.when(step == 0).then(title).otherwise(pl.concat_str(title, further, separator="; "))
    # Small models like to name one concept again and again.
    two = (concept.str.to_lowercase() != again.str.to_lowercase()) & (concept != "") & (again != "")
    return told.with_columns(
        sessions=both,
        concepts=pl.concat_str(concept, again, separator="; "),
        error=pl.when(~two).then(pl.lit("one_concept")),
    )


def _drawn(rows: pl.DataFrame, name: str, count: pl.Expr) -> pl.Expr:
    """A place below `count`, by row id."""
    return (draw(name, rows["row_id"]) * count).floor().cast(pl.Int64)
