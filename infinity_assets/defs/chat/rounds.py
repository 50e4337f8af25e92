"""Rounds of the chat loop, unrolled in the graph: their names, and the columns of their rows.

The first round starts from `seed_selected`, each later one from the rows on which every student of a round before was weak, and from the seeds of
which nothing came. A row in these assets is new: what it was made from is in `parents` and in `edges`, and its parent's own path ends here with a
decision.
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
    "tests": "assertions in Python that an answer has to pass",
    "answer_score": "the judge's score of the answer, 1 to 5",
    "answer_score_error": "why answer_score is null",
    "reward": "the reward model's number for the answer; null without one",
    "execution": "what became of the answer's program in the sandbox: passed, failed, timeout, refused; null where there was none to run",
    "rejected": "the worst of the usable answers that were drawn, its score, and what gave it (`reward` or `judge`); null where no other is usable",
    "student_scores": "every student's answer, the judge's score of it and of the reference beside it, or why there is none",
    "weak": "whether every student scored below the setting",
    "deficiency": "what the students' answers lack, in words; null where no one asked",
    "turns": "user turns",
    "coherence": "the judge's least probability that a turn carries the conversation on; null for one turn",
}
