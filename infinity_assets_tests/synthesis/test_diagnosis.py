import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.synthesis.diagnosis import by_ability, weak

SCORES = st.dictionaries(st.sampled_from("abcd"), st.lists(st.none() | st.floats(1, 5), min_size=1, max_size=3), max_size=4)
SCHEMA = {"row_id": pl.String, "student": pl.String, "answer": pl.String, "score": pl.Float64, "error": pl.String}


@settings(max_examples=60, deadline=None)
@given(scores=SCORES, below=st.floats(1, 5), data=st.data())
def test_a_row_is_weak_if_every_student_failed_it_and_unknown_if_one_was_not_scored(
    scores: dict, below: float, data: st.DataObject
) -> None:
    lines = [
        (row, f"student {n}", "said", score, None if score else "no_logprobs")
        for row, given in scores.items()
        for n, score in enumerate(given)
    ]
    found = weak(pl.DataFrame(data.draw(st.permutations(lines)), schema=SCHEMA, orient="row"), below)
    assert found["row_id"].to_list() == sorted(scores)
    for row, students, is_weak in found.iter_rows():
        assert [student["score"] for student in students] == scores[row]
        assert all((student["score"] is None) == (student["error"] is not None) for student in students)
        assert is_weak is (None if None in scores[row] else all(score < below for score in scores[row]))


def test_means_per_ability() -> None:
    diagnosed = pl.DataFrame(
        {
            "cate_ability": [["law", "other"], ["law"], None],
            "answer_score": [4.0, None, 1.0],
            "student_scores": [[{"score": 1.0}, {"score": 3.0}], [{"score": 4.0}, {"score": None}], [{"score": None}, {"score": None}]],
            "weak": [True, False, None],
        }
    )
    assert by_ability(diagnosed).rows() == [
        ("law", 2, 4.0, pytest.approx(3.0), 0.5),
        ("other", 1, 4.0, 2.0, 1.0),
        ("unlabelled", 1, 1.0, None, None),
    ]
