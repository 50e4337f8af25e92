"""The rules that need no model, on their labelled sets: their figures are on the page and reach the floor."""

import operator
from pathlib import Path

import pytest

from infinity_assets.settings.chat import Elimination
from infinity_assets.synthesis.elimination.rewrite_rules import rules
from infinity_assets_tests.synthesis.elimination import labelled

PAGE = Path(__file__).parents[3] / "docs" / "elimination.md"
FLOOR = 0.9
BY_OTHERS = {"no_text", "truncated"}
"""Reasons that follow from the call and need no labelled set."""


@pytest.fixture(scope="module")
def figures() -> dict[str, labelled.Figures]:
    return labelled.text_figures()


def test_the_page_has_the_figures(figures: dict[str, labelled.Figures]) -> None:
    assert labelled.text_table(figures) in PAGE.read_text("utf-8")


@pytest.mark.parametrize("reason", labelled.TEXT_RULES)
def test_precision_and_recall_reach_the_floor(reason: str, figures: dict[str, labelled.Figures]) -> None:
    every, unseen, alarms, good = figures[reason]
    # Unseen cases, written after the rule, measure it on unforeseen texts: they are a figure, not a target.
    known = labelled.Tally(*map(operator.sub, every, unseen)) if unseen else every
    assert known.cases >= 30
    assert min(known.precision, known.recall) >= FLOOR
    assert (alarms or 0) <= 0.02 * good


@pytest.mark.parametrize(("name", "wanted", "unwanted"), labelled.MODEL_RULES.values(), ids=labelled.MODEL_RULES)
def test_sets_for_models_are_large_enough(name: str, wanted: list[str], unwanted: list[str]) -> None:
    parts = labelled.cases(name)["part"].to_list()
    assert min(sum(map(parts.count, names)) for names in (wanted, unwanted)) >= 15
    assert len(parts) >= 30


def test_every_rule_has_a_set_and_a_line_on_the_page() -> None:
    reasons = {rule.reason for rule in rules(Elimination())}
    assert reasons - BY_OTHERS <= {*labelled.TEXT_RULES, *labelled.MODEL_RULES}
    page = PAGE.read_text("utf-8")
    assert all(f"| `{reason}` |" in page for reason in reasons | set(labelled.TEXT_RULES))
