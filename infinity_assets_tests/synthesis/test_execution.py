"""Programs built from answers, and their verdicts in the real sandbox."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets import sandbox
from infinity_assets.settings.foundation import Limits
from infinity_assets.synthesis import execution
from infinity_assets.synthesis.execution import build_program, execute
from infinity_assets_tests.properties import examples

DOUBLE = "def double(x):\n    return 2 * x"
MAIN = "if __name__ == '__main__':\n    double(input())"
QUICK = Limits(seconds=1, memory_mb=256)


def block(code: str, tag: str = "python") -> str:
    return f"Here it is.\n\n```{tag}\n{code}\n```\n"


CASES = [
    # request, answer, tests, verdict (`None`: there is nothing to run)
    ("Double it.", block(DOUBLE), None, None),
    ("Double it: double(n) returns 4.", block(DOUBLE), None, None),
    ("Double it: triple(2) -> 6", block(DOUBLE), None, None),
    ("Double it: double(2) returns double of 2.", block(DOUBLE), None, None),
    ("Double it: double(2) returns 4 apples", block(DOUBLE), None, None),
    ("Double it: double(2) = 2 * 2", block(DOUBLE), None, None),
    ("Double it: double(2) -> 2 * 2", block(DOUBLE), None, None),
    ("Double it: double(2) -> 4", "def double(x) gives twice x.", None, None),
    ("Double it: double(2) -> 4", block(DOUBLE, "java"), None, None),
    ("Double it: double(2) -> 4", block(f"import pandas\n{DOUBLE}"), None, None),
    ("Double it: double(2) -> 4", block(f"{DOUBLE}\ndouble(input())"), None, None),
    ("Double it: double(2) -> 4", block(DOUBLE), None, "passed"),
    ("Double it: double(2) -> 4", DOUBLE, None, "passed"),
    ("Double it: double(2) -> 4", block(DOUBLE, ""), None, "passed"),
    ("Double it: double(2) -> 4", block(f"from __future__ import annotations\n{DOUBLE}"), None, "passed"),
    ("Double it: double(2) -> 4, and double(1.5) returns 3.", block(DOUBLE), None, "passed"),
    ("Double it: double(2) -> 4, and double(1) returns 3.", block(DOUBLE), None, "failed"),
    ("Double it: `double('a')` should return `'aa'`.", block(DOUBLE), None, "passed"),
    ("Double it: double([1, 2]) => [1, 2, 1, 2]", block(DOUBLE), None, "passed"),
    ("Double it: double(x=2) equals 5", block(DOUBLE), None, "failed"),
    ("翻倍：double(2) 应返回 4。", block(DOUBLE), None, "passed"),
    ("翻倍：double(2) 的结果是 5。", block(DOUBLE), None, "failed"),
    ("Double it.\nInput: 3\nOutput: 6", block(DOUBLE), None, "passed"),
    ("Double it.\n**Input:** x = 3\n**Output:** 7", block(DOUBLE), None, "failed"),
    ("Double it.\nInput: hello\nOutput: hellohello", block(DOUBLE), None, None),
    ("Double it.\nInput: 3\nOutput: 7", block(f"{DOUBLE}\n\ndef other(x):\n    return x"), None, None),
    ("Double it.\nInput: 3, 4\nOutput: 7", block(DOUBLE), None, None),
    ("Double it.\n>>> double(3)\n6", block(DOUBLE), None, "passed"),
    ("Double it.\n>>> n = 3\n>>> double(n)\n7", block(DOUBLE), None, "failed"),
    ("Double it.\n>>> double({'a'})\nTraceback (most recent call last):\n...\nTypeError: no", block(DOUBLE), None,
     "passed"),
    ("Double it.\n>>> double(2)\nTraceback (most recent call last):\n...\nTypeError: no", block(DOUBLE), None,
     "failed"),
    ("Double it.\n>>> print(double('a'))\naa", block(DOUBLE), None, "passed"),
    ("Double it.\nassert double(2) == 4", block(DOUBLE), None, "passed"),
    ("Double it.\nassert double(2) == 5", block(DOUBLE), None, "failed"),
    ("Double it.", block(f"{DOUBLE}\n\nassert double(2) == 5"), None, "failed"),
    ("Double it.", block(DOUBLE) + block("assert double(2) == 5"), None, "failed"),
    ("Double it.", block(f"{DOUBLE}\n\nprint(double(2))  # Output: 4"), None, "passed"),
    ("Double it.", block(f"{DOUBLE}\n\nprint(double(2))  # 5"), None, "failed"),
    ("Double it.", block(f"{DOUBLE}\n\ndef test_it():\n    assert double(2) == 5"), None, "failed"),
    ("Double it.", block(f"{DOUBLE}\n\n{MAIN}") + "double(2) -> 4", None, None),
    ("Double it.", block(f"{DOUBLE}\n\nif __name__ == '__main__':\n    raise OSError\n") + "double(2) -> 4", None,
     "passed"),
    ("Double it.", block(f"{DOUBLE}\n\nif __name__ == '__main__':\n    assert double(1) == 1\n"), None, "failed"),
    ("Double it.", block("def double(x):\n    return 2 *") + "double(2) -> 4", None, "failed"),
    ("Double it.", block(DOUBLE), "assert double(2) == 4", "passed"),
    ("Double it.", block(DOUBLE), "assert double(2) == 5", "failed"),
    ("Double it.", "Take it twice.", "assert double(2) == 4", "failed"),
    ("Double it.", block("def double(x):\n    while True: pass"), "assert double(2) == 4", "timeout"),
    ("Double it.", block(f"import socket\nsocket.socket()\n{DOUBLE}"), "assert double(2) == 4", "refused"),
]  # fmt: skip


@pytest.fixture(scope="module")
def verdicts() -> dict[int, tuple[str | None, str | None]]:
    """Return status and reason of each case that was run."""
    listed = [(str(n), request, answer, tests) for n, (request, answer, tests, _) in enumerate(CASES)]
    found = execute(pl.DataFrame(listed, schema=["row_id", "request", "text", "tests"], orient="row"), QUICK)
    return {
        int(row_id): (status, reason)
        for row_id, status, reason in found.select("row_id", "execution", "said").iter_rows()
    }


@pytest.mark.parametrize("number", range(len(CASES)))
def test_each_case_has_its_verdict(number: int, verdicts: dict) -> None:
    expected = CASES[number][-1]
    status, reason = verdicts.get(number, (None, None))
    assert status == expected, (CASES[number], reason)
    assert (reason is None) == (status in (None, "passed"))


@settings(max_examples=examples(100), deadline=None)
@given(request=st.text(max_size=200), answer=st.text(max_size=200), tests=st.none() | st.text(max_size=30))
def test_no_text_raises(request: str, answer: str, tests: str | None) -> None:
    build_program(request, answer, tests)


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab,.:#'\" ->)(", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=examples(100), deadline=None)
@given(
    value=LITERALS,
    says=st.sampled_from([" -> ", " returns ", " == ", "返回"]),
    end=st.sampled_from(["", ".", ", and so on", "。"]),
)
def test_an_example_with_any_literals_is_checked(value: object, says: str, end: str) -> None:
    program = build_program(
        f"Give it back: same({value!r}){says}{value!r}{end}", block("def same(x):\n    return x"), None
    )
    assert program is not None
    exec(compile(program, "program", "exec"), {"__name__": "program"})
    other = build_program(
        f"Give it back: same({value!r}){says}{[value]!r}{end}", block("def same(x):\n    return x"), None
    )
    assert other is not None
    with pytest.raises(AssertionError):
        exec(compile(other, "program", "exec"), {"__name__": "program"})


def test_a_program_that_cannot_be_confined_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = sandbox.Verdict("refused", f"{sandbox.NOT_RUN}no Landlock", 0.0)
    monkeypatch.setattr(execution.sandbox, "run", lambda programs, limits: [refusal for _ in programs])
    rows = pl.DataFrame(
        {
            "row_id": ["r"],
            "request": ["double(2) -> 5"],
            "text": [block(DOUBLE)],
            "tests": pl.Series([None], dtype=pl.String),
        }
    )
    assert execute(rows, QUICK).rows() == [("r", None, f"{sandbox.NOT_RUN}no Landlock", None)]
