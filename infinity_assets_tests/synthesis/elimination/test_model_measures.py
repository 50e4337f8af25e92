"""The models' measures of rewrites, and the rewrites that they are asked about."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.inference.client import Inference
from infinity_assets.selection.rules import first_failure
from infinity_assets.settings.chat import Elimination
from infinity_assets.synthesis.elimination.model_measures import measure_rewrites
from infinity_assets.synthesis.elimination.rewrite_rules import rules
from infinity_assets_tests.runs.test_planner import ChanceEmbedder
from infinity_assets_tests.synthesis.strategies.scripted import Models

SEED = "Suggest a name for a bakery."
MADE = pl.DataFrame(
    [
        ("fails by its text", "Suggest names for bakeries.", "evolve_constraints"),
        ("far from its seed", "Suggest a name for a bakery that bakes without wheat.", "evolve_constraints"),
        ("passes", "Which shops in Bern sell rye bread on Sundays?", "magpie"),
        ("was not written", None, "evolve_breadth"),
    ],
    schema=["row_id", "text", "operation"],
    orient="row",
).with_columns(
    language=pl.lit("en"),
    seed=pl.lit(SEED),
    seed_answer=pl.lit("Crumb."),
    finish_reason=pl.lit("stop"),
    error=pl.lit(None, pl.String),
)
RULES = rules(Elimination(min_similarity=0.9))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    monkeypatch.setattr(Inference, "embed", lambda self, spec, texts, stage: ChanceEmbedder().encode(texts))
    return Models(tmp_path, {}, lambda text: 2)


def test_models_are_only_asked_about_rewrites_that_pass_so_far(models: Models) -> None:
    found = {row["row_id"]: row for row in measure_rewrites(MADE, models.asking, RULES).iter_rows(named=True)}
    assert [row_id for row_id, row in found.items() if row["similarity"] is not None] == ["far from its seed", "passes"]
    assert [row_id for row_id, row in found.items() if row["same"] is not None] == ["passes"]
    assert models.asked() == {"same_request": 1, "asks_for_harm": 1}


def test_the_rules_reject_the_same_rewrites_if_all_are_measured(models: Models) -> None:
    few, all_of_them = measure_rewrites(MADE, models.asking, RULES), measure_rewrites(MADE, models.asking)
    assert models.asked()["gains_over"] == 2, "both in-depth rewrites, without rules"
    assert few.columns == all_of_them.columns
    assert first_failure(few, RULES)["row_id"].to_list() == first_failure(all_of_them, RULES)["row_id"].to_list() != []
