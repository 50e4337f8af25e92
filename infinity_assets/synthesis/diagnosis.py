"""Diagnosis: where the students are weak (recipe 3.4). A row on which every student scores low is a seed of the next round."""

import polars as pl


def weak(scores: pl.DataFrame, below: float) -> pl.DataFrame:
    """Which rows every student failed.

    Args:
        scores: One line per row and student: row_id, student, answer, score (1 to 5, or null where the judge gave none), error (why).
        below: A score under this is a failure.

    Returns:
        One line per row: row_id, student_scores (list of {student, answer, score, reference_score, error}), weak (null if a score is missing).
    """
    ordered = scores.sort("row_id", "student")
    return ordered.group_by("row_id", maintain_order=True).agg(
        pl.struct("student", "answer", "score", pl.lit(None, pl.Float64).alias("reference_score"), "error").alias("student_scores"),
        pl.when(pl.col("score").is_not_null().all()).then((pl.col("score") < below).all()).alias("weak"),
    )


def by_ability(diagnosed: pl.DataFrame) -> pl.DataFrame:
    """Mean scores per ability, a row counting in each of its own: cate_ability, rows, answer_score (of the kept answer), student_score (over
    students), weak_share.
    """
    student = pl.col("student_scores").list.eval(pl.element().struct.field("score")).list.mean()
    return (
        diagnosed.explode("cate_ability")
        .group_by(pl.col("cate_ability").fill_null("unlabelled"))
        .agg(
            pl.len().cast(pl.Int64).alias("rows"),
            pl.col("answer_score").mean(),
            student.mean().alias("student_score"),
            pl.col("weak").mean().alias("weak_share"),
        )
        .sort(pl.col("rows") * -1, "cate_ability")
    )
