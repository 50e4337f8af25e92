import ast
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.synthesis.strategies.self_code_align import SelfCodeAlign, extract_assertions
from infinity_assets.synthesis.strategy import WRITTEN
from infinity_assets_tests.synthesis.strategies.scripted import Models, Script, seeds, to_json

TASK = "Write a Python function `twice(n)` that returns n, doubled."
SCRIPT: Script = {
    "code_concepts": to_json(concepts=["loops", "numbers"]),
    "task_from_concepts": TASK,
    "tests_for_task": "```python\nassert twice(2) == 4\nassert twice(0) == 0\n```",
}
CODE = {"domain": "code", "seed": "How do I loop?", "seed_answer": "With `for`."}


def test_concepts_become_a_task_with_tests(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT)
    (line,) = SelfCodeAlign().write(seeds(CODE), models.asking, 1).to_dicts()
    assert (line["text"], line["operation"], line["error"]) == (TASK, "self_code_align", None)
    assert line["tests"] == "assert twice(2) == 4\nassert twice(0) == 0"
    assert models.last_turns("code_concepts") == ["How do I loop?\n\nWith `for`."]
    assert models.last_turns("task_from_concepts") == ["Concepts: loops, numbers"]
    assert models.last_turns("tests_for_task") == [TASK]


@pytest.mark.parametrize(
    ("changed", "text", "error"),
    [
        ({"code_concepts": "loops"}, None, "invalid_json"),
        ({"task_from_concepts": ""}, None, "empty"),
        ({"tests_for_task": "twice(2) is 4"}, TASK, None),
        ({"tests_for_task": ""}, TASK, None),
    ],
)
def test_a_failed_step_leaves_its_error_or_no_tests(
    tmp_path: Path, changed: Script, text: str | None, error: str | None
) -> None:
    (line,) = SelfCodeAlign().write(seeds(CODE), Models(tmp_path, {**SCRIPT, **changed}).asking, 1).to_dicts()
    assert (line["text"] or None, line["error"], line["tests"]) == (text, error, None)


@pytest.mark.parametrize(
    "line",
    [
        "twice(2) == 4", "assert", "assert twice(2) ==", "assert 2 == 2", "assert len('ab') == 2", "assert other(2) == 4", "assert n.twice(2)",
        "assert twice(2) == 4; import os", "import os", "# assert twice(2) == 4", "\0",
        "assert " + "(" * 300 + "twice(1)" + ")" * 300, "",
    ],
)  # fmt: skip
def test_a_line_that_does_not_test_the_task_is_dropped(line: str) -> None:
    assert extract_assertions(line, TASK) is None


@settings(deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(["assert twice(1) == 2", "  assert twice(3) == 6", "Here:", "x = 1", "assert True"])
        | st.text(max_size=12)
    )
)
def test_only_distinct_assertions_are_kept(lines: list[str]) -> None:
    kept = (extract_assertions("\n".join(lines), TASK) or "").splitlines()
    assert len(kept) == len(set(kept))
    assert all(isinstance(node, ast.Assert) for node in ast.parse("\n".join(kept)).body)
    assert {
        line for line in ("assert twice(1) == 2", "assert twice(3) == 6") if line in {text.strip() for text in lines}
    } == set(kept)


def test_no_seeds_give_no_lines(tmp_path: Path) -> None:
    assert SelfCodeAlign().write(seeds(), Models(tmp_path, {}).asking, 1).equals(pl.DataFrame(schema=WRITTEN))
