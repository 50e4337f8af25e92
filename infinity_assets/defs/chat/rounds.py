"""Columns of the assets of the chat loop, which has one asset per round and step in the graph.

The first round starts from `seed_selected`. Each later round starts from the rows on which every student was weak in an
earlier round, and from the seeds that have led to no row yet. Every row of these assets is synthesized: its parents are
in the column `parents` and the ledger table `edges`, and `decisions` records them as `superseded`.
"""

import polars as pl

from infinity_assets.rows import schema

LABELS = {"cate_ability": pl.List(pl.String), "ability": pl.List(pl.String)}
EVOLVED = pl.Schema({**schema.SYNTHETIC_ROW, **LABELS, "tests": pl.String})
WORSE = pl.Struct({"answer": pl.String, "score": pl.Float64, "by": pl.String})
ANSWERED = pl.Schema(
    {
        **EVOLVED,
        "answer_score": pl.Float64,
        "answer_score_error": pl.String,
        "reward": pl.Float64,
        "execution": pl.String,
        "rejected": WORSE,
    }
)
STUDENT_SCORE = pl.Struct(
    {"student": pl.String, "answer": pl.String, "score": pl.Float64, "reference_score": pl.Float64, "error": pl.String}
)
DIAGNOSED = pl.Schema(
    {**ANSWERED, "student_scores": pl.List(STUDENT_SCORE), "weak": pl.Boolean, "deficiency": pl.String}
)
CONVERSED = pl.Schema({**DIAGNOSED, "turns": pl.Int64, "coherence": pl.Float64})

FAILED = ["row_id", "reason", "detail"]
"""Columns of a table of failed answers or rewrites."""
