from pathlib import Path

import pytest

from infinity_assets.synthesis.strategies.self_rubrics import COUNT, SelfRubrics
from infinity_assets_tests.synthesis.strategies.scripted import Models, Script, seeds, to_json

RUBRICS = to_json(rubrics=[{"rubric": f"Is it {n}?", "action": f"Do action {n}."} for n in range(COUNT)])


def more(text: str) -> str:
    """Return the request with another word."""
    return text.split("\n")[1] + " more"


SCRIPT: Script = {"rubrics": RUBRICS, "evolve_by_action": more, "answer": "strong", "student:greedy": "weak"}


def grades(strong: int, weak: int):
    return lambda text: strong if "Answer: strong" in text else weak


@pytest.mark.parametrize(("strong", "weak", "taken"), [(4, 3, 1), (5, 1, 1), (4, 4, 3), (1, 4, 3)])
def test_it_stops_when_the_student_lags_behind(tmp_path: Path, strong: int, weak: int, taken: int) -> None:
    models = Models(tmp_path, SCRIPT, grades(strong, weak), steps=3, gap=1.0)
    (line,) = SelfRubrics().write(seeds({"seed": "Why?"}), models.asking, 1).to_dicts()
    assert (line["text"], line["operation"], line["error"]) == ("Why?" + taken * " more", "evolve_by_action", None)
    decided = min(taken, 2)  # no decision follows the third step
    assert models.asked() == {
        "rubrics": 1, "evolve_by_action": taken, "answer": decided, "student:greedy": decided,
        "judge_answer": 2 * decided,
    }  # fmt: skip


def test_one_step_asks_no_student(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT, steps=1)
    SelfRubrics().write(seeds({}), models.asking, 1)
    assert models.asked() == {"rubrics": 1, "evolve_by_action": 1}
    assert SelfRubrics().prompts(models.asking.settings.chat.evolution) == ("rubrics", "evolve_by_action")


def test_actions_are_drawn_by_row_and_round(tmp_path: Path) -> None:
    some = seeds(*({} for _ in range(60)))
    models = Models(tmp_path, SCRIPT, steps=1)
    SelfRubrics().write(some, models.asking, 1)
    drawn = sorted(models.last_turns("evolve_by_action"))
    assert {text.partition("action ")[2][0] for text in drawn} == set("0123")
    again = Models(tmp_path / "again", SCRIPT, steps=1)
    SelfRubrics().write(some.reverse(), again.asking, 1)
    assert sorted(again.last_turns("evolve_by_action")) == drawn
    other = Models(tmp_path / "other", SCRIPT, steps=1)
    SelfRubrics().write(some, other.asking, 2)
    assert sorted(other.last_turns("evolve_by_action")) != drawn


def test_rubrics_name_the_labels_of_the_seed(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT, steps=1)
    rows = (
        {"cate_ability": ["mathematics", "law"], "ability": ["fractions"]},
        {"cate_ability": None, "ability": None, "domain": "code"},
        {"cate_ability": ["mathematics"], "ability": [], "language": "zh"},
    )
    SelfRubrics().write(seeds(*rows), models.asking, 1)
    assert set(models.last_turns("rubrics")) == {
        "Use case: mathematics, law\nSkills: fractions",
        "Use case: programming\nSkills: programming",
        "用途：数学能力\n技能：数学能力",
    }


def test_a_missing_grade_does_not_stop_and_missing_rubrics_are_an_error(tmp_path: Path) -> None:
    silent = Models(tmp_path, {**SCRIPT, "student:greedy": ""}, grades(5, 1), steps=2, gap=0.0)
    (line,) = SelfRubrics().write(seeds({"seed": "Why?"}), silent.asking, 1).to_dicts()
    assert line["text"] == "Why? more more"
    without = Models(tmp_path / "w", {**SCRIPT, "rubrics": to_json(rubrics=[])}, steps=2)
    (line,) = SelfRubrics().write(seeds({}), without.asking, 1).to_dicts()
    assert (line["text"], line["error"]) == (None, "invalid_json")
