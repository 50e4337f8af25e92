"""Rounds of the chat loop, unrolled in the graph: their names, and the columns of their rows.

The first round starts from `seed_selected`, each later one from the rows on which every student of the round before was weak. A row in these
assets is new: what it was made from is in `parents` and in `edges`, and its parent's own path ends here with a decision.
"""

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.settings import Settings

LABELS = {"cate_ability": pl.List(pl.String), "ability": pl.List(pl.String)}
EVOLVED = pl.Schema({**schema.SYNTHETIC_ROW, **LABELS})
ANSWERED = pl.Schema({**EVOLVED, "answer_score": pl.Float64, "answer_score_error": pl.String})
STUDENT_SCORE = pl.Struct({"student": pl.String, "score": pl.Float64, "error": pl.String})
DIAGNOSED = pl.Schema({**ANSWERED, "student_scores": pl.List(STUDENT_SCORE), "weak": pl.Boolean})
MEANING = {
    "cate_ability": "coarse abilities of the seed",
    "ability": "fine labels of the seed",
    "answer_score": "the judge's score of the answer, 1 to 5",
    "answer_score_error": "why answer_score is null",
    "student_scores": "the judge's score of every student's answer, or why there is none",
    "weak": "whether every student scored below the setting",
}

ROUNDS = range(1, Settings().chat.rounds + 1)
"""The rounds in the graph."""


def round_name(asset: str, number: int) -> str:
    """`evolved` in round 1, `evolved_2` in round 2."""
    return asset if number == 1 else f"{asset}_{number}"
