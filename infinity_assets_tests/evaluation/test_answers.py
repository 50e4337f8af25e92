"""Right answers of benchmarks, and answers of models."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.evaluation.answers import (
    Expected,
    extract_boxed,
    extract_final,
    is_right,
    normalize_latex,
    parse_expected,
    parse_number,
)


@pytest.mark.parametrize(
    ("answer", "form", "value"),
    [
        ("She sells 9 eggs.\n#### 18", "number", "18"),
        ("#### 1,450", "number", "1,450"),
        (r"So $x=\boxed{\frac{1}{2}}$.", "math", r"\frac{1}{2}"),
        (r"First \boxed{3}, then \boxed{4}.", "math", "4"),
        ("120", "number", "120"),
        ("30 square metres", "number", "30 square metres"),
        ("3.5%", "number", "3.5%"),
        ("False", "text", "False"),
        ("the Pacific Ocean", "text", "the Pacific Ocean"),
        ("巴黎", "text", "巴黎"),
    ],
)
def test_the_right_answer_is_parsed(answer: str, form: str, value: str) -> None:
    assert parse_expected(answer) == (form, value)


@pytest.mark.parametrize(
    "answer", ["", "They take in carbon dioxide and give off oxygen.", "one\ntwo", "a b c d e f g"]
)
def test_a_longer_text_cannot_be_checked(answer: str) -> None:
    assert parse_expected(answer) is None


@pytest.mark.parametrize(
    ("text", "right", "verdict"),
    [
        ("9 * 2 = 18.\nAnswer: 18", Expected("number", "18"), True),
        ("**Answer:** $18.00", Expected("number", "18"), True),
        ("The answer is 18 dollars a day for 2 weeks.", Expected("number", "18"), True),
        ("Answer: 6 * 3 = 18", Expected("number", "18"), True),
        ("Answer: 19", Expected("number", "18"), False),
        ("It comes to 1,450 in all.", Expected("number", "1450"), True),
        ("答案：120", Expected("number", "120"), True),
        ("I do not know.", Expected("number", "18"), False),
        (r"Hence $\boxed{\dfrac{1}{2}}$.", Expected("math", r"\frac12"), True),
        (r"Hence \boxed{0.5}.", Expected("math", r"\frac{1}{2}"), True),
        (r"\boxed{\left( 3, \frac{\pi}{2} \right)}", Expected("math", r"\left(3,\frac{\pi}{2}\right)"), True),
        (r"\boxed{\frac{2}{3}}", Expected("math", r"\frac{1}{2}"), False),
        (r"\boxed{90^\circ}", Expected("math", "90"), True),
        ("Answer: $x = 5$", Expected("math", "5"), True),
        ("Let us see.\nAnswer: False.", Expected("text", "false"), True),
        ("Let us see.\nThe Nile", Expected("text", "nile"), True),
        ("True", Expected("text", "False"), False),
        ("", Expected("text", "False"), False),
    ],
)
def test_an_answer_is_compared_with_the_right_one(text: str, right: Expected, verdict: bool) -> None:
    assert is_right(text, right) is verdict


@given(value=st.integers(-(10**12), 10**12))
def test_all_spellings_of_a_whole_number_are_equal(value: int) -> None:
    for written in (str(value), f"{value:,}", f"{value}.0", f"{value} apples", f"${value}$", rf"\text{{{value}}}"):
        assert parse_number(written) == value
        assert is_right(f"So it is {written}.\nAnswer: {written}", Expected("number", str(value)))
        assert not is_right(f"Answer: {value + 1}", Expected("number", str(value)))


@given(top=st.integers(-999, 999), bottom=st.integers(1, 999))
def test_all_spellings_of_a_fraction_are_equal(top: int, bottom: int) -> None:
    sign = "-" if top < 0 else ""
    latex = rf"{sign}\dfrac{{{abs(top)}}}{{{bottom}}}"
    assert parse_number(latex) == parse_number(f"{top}/{bottom}") == Fraction(top, bottom)


@given(inside=st.text(alphabet="ab{}1 ", max_size=12).filter(lambda text: _balanced(text)))
def test_boxed_content_may_contain_braces(inside: str) -> None:
    assert extract_boxed(rf"so \boxed{{{inside}}} it is") == inside.strip()


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


@given(text=st.text(max_size=80), form=st.sampled_from(["number", "math", "text"]))
def test_no_text_raises(text: str, form) -> None:
    extract_final(text, form)
    normalize_latex(text)
    parse_number(text)
    if (right := parse_expected(text)) is not None and right.form == "text":
        assert is_right(right.value, right)
