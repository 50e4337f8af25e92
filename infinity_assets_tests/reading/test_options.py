"""Tests that a question's options give the same row in whatever form they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading.layouts.options import find_options, find_right

TEXTS = ["pear", "plum", "quince"]
FORMS = {
    "a list": {"options": TEXTS},
    "a list with letters": {"options": ["A. pear", "B. plum", "C. quince"]},
    "lines": {"options": "A. pear\nB. plum\nC. quince"},
    "one line": {"choices": "(A) pear (B) plum (C) quince"},
    "an object": {"options": {"A": "pear", "B": "plum", "C": "quince", "D": None}},
    "two lists": {"choices": {"text": TEXTS, "label": ["A", "B", "C"]}},
    "objects": {"choices": [{"label": letter, "text": text} for letter, text in zip("ABC", TEXTS, strict=True)]},
    "pairs": {"options": [["A", "pear"], ["B", "plum"], ["C", "quince"]]},
    "columns by letter": {"a": "pear", "b": "plum", "c": "quince"},
    "named columns": {"option_a": "pear", "option_b": "plum", "option_c": "quince"},
    "JSON": {"options": '["pear", "plum", "quince"]'},
}


@pytest.mark.parametrize("gold", ["B", "b", "(B)", "B.", "B. plum", "plum", "option B", ["B"]])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_and_each_name_gives_the_same_option(form: dict, gold: object) -> None:
    record = {**form, "answer": gold}
    options = find_options(record)
    assert options is not None
    assert options.texts == TEXTS
    assert find_right(record, options) == [1]


@pytest.mark.parametrize("flags", [{"labels": [0, 1, 0]}, {"labels": [False, True, False]}])
def test_options_tell_which_is_right(flags: dict) -> None:
    in_lists = find_options({"choices": {"text": TEXTS, **flags}})
    in_objects = find_options(
        {"choices": [{"text": text, "correct": bool(flag)} for text, flag in zip(TEXTS, flags["labels"], strict=True)]}
    )
    assert in_lists == in_objects
    assert in_lists is not None
    assert find_right({"answer": "A"}, in_lists) == [1]


def test_several_options_can_be_right() -> None:
    options = find_options({"options": TEXTS})
    assert options is not None
    for gold in ("AC", "A, C", ["A", "C"], [0, 2], ["pear", "quince"]):
        assert find_right({"answer": gold}, options) == [0, 2]
    assert find_right({"answer": "CA"}, options) is None


def test_a_sign_for_no_answer_names_no_option() -> None:
    options = find_options({"options": TEXTS})
    assert options is not None
    for gold in (-1, "-1", "", None, [], True):
        assert find_right({"answer": gold}, options) == []


@pytest.mark.parametrize(
    "record",
    [
        {"options": {"temperature": 0.7, "top_p": 1}},
        {"choices": [{"text": "x", "finish_reason": "stop"}, {"text": "y", "finish_reason": "stop"}]},
        {"options": "x or y"},
        {"options": ["x"]},
        {"answer_a": "x", "answer_b": "y"},
        {"answer_0": "x", "answer_1": "y", "answer_2": "z", "score_0": 1},
    ],
)
def test_other_values_are_no_options(record: dict) -> None:
    assert find_options(record) is None


@given(wrong=st.lists(st.sampled_from("bcdefgh"), min_size=1, unique=True), order=st.randoms())
def test_the_order_among_wrong_options_depends_on_the_texts_alone(wrong: list[str], order) -> None:
    first = find_options({"correct_answer": "a", "incorrect_answers": wrong})
    order.shuffle(wrong)
    again = find_options({"correct_answer": "a", **{f"distractor{index}": text for index, text in enumerate(wrong, 1)}})
    assert first == again
    assert first is not None
    assert [first.texts[index] for index in first.right or ()] == ["a"]


def test_the_right_option_has_no_favourite_place() -> None:
    places = [
        options.right
        for index in range(60)
        if (options := find_options({"correct_answer": f"{index}", "incorrect_answers": ["x", "y"]}))
    ]
    assert all(places.count([place]) > 10 for place in range(3))
