"""Columns of the assets of the chat loop, whose rounds are unrolled in the graph.

The first round starts from `seed_selected`. Each later round starts from the rows on which every student was weak in an
earlier round, and from the seeds that have led to no row yet. Every row of these assets is new: its parents are in
`parents` and `edges`, and a decision ends each parent's own path.
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
MEANING = {
    "cate_ability": "coarse abilities of the seed",
    "ability": "fine labels of the seed",
    "tests": "Python assertions that an answer must pass",
    "answer_score": "the judge's score of the answer, 1 to 5",
    "answer_score_error": "why answer_score is null",
    "reward": "the reward model's score of the answer; null without a reward model",
    "execution": "result of the answer's program in the sandbox: passed, failed, timeout or refused; null if there was "
    "no program to run",
    "rejected": "the worst of the usable answers, its score, and the scorer (`reward` or `judge`); null if only one "
    "answer is usable",
    "student_scores": "every student's answer, with the judge's scores of it and of the reference answer, or the "
    "reason why a score is missing",
    "weak": "whether every student scored below the threshold",
    "deficiency": "weakness of the students' answers in words; null if the judge was not asked for it",
    "turns": "number of user turns",
    "coherence": "the judge's lowest probability that a turn continues the conversation; null for one turn",
}
