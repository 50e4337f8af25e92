"""`release` on a lake made by hand: the dataset card and the files."""

import json
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat import conversed
from infinity_assets.defs.chat import inf_instruct_g as final
from infinity_assets.defs.release import release as assets
from infinity_assets.rows import schema
from infinity_assets.settings import Settings
from infinity_assets.settings.models import EMBEDDED_MODEL, Models, list_specs
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.defs.steps import commit, outcome_of
from infinity_assets_tests.frames import conversations

LABELS = {name: pl.lit(None, pl.List(pl.String)) for name in ("cate_ability", "ability")}


def test_the_card_names_the_models_of_g_and_their_terms(tmp_path: Path) -> None:
    assert conversed
    assert final
    lake = lakes.make(tmp_path)
    rows = (
        lake.scan("inf_instruct_g").collect().with_columns(**LABELS, reward=pl.lit(-5.66), terms=pl.lit("Apache-2.0"))
    )
    lost = lakes.decided(rows.with_columns(row_id=pl.lit("gone")), "dropped", "low_reward")
    chosen = lakes.decided(rows, "chosen", "passed_final_filter")
    commit(lake, "inf_instruct_g", Outcome(rows, rows_in=2, decisions=pl.concat([chosen, lost])))
    commit(lake, "inf_instruct_f", lake.scan("inf_instruct_f").collect().with_columns(**LABELS))
    commit(lake, "tag_vocabulary", pl.DataFrame(schema={"label": pl.String, "label_zh": pl.String}))
    pair = {
        "row_id": "p",
        "prompt": "q",
        "chosen": rows["messages"][:1],
        "rejected": rows["messages"][:1],
        "licence": "MIT",
    }
    commit(lake, "preferences", pl.DataFrame(pair))
    outcome = outcome_of("release", lake)
    card = (tmp_path / "release" / "README.md").read_text().splitlines()
    for part in ("generator, of answers", "generator, as the user of conversations", "judge"):
        (line,) = (line for line in card if line.startswith(f"| {part} |"))
        assert f"{EMBEDDED_MODEL}@main | Apache-2.0 |" in line
    told = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[-1].removesuffix(" |")
        for line in card
        if line.startswith("| ")
    }
    assert (told["play_user.en"], told["carries_on.zh"], told["tag.en"]) == ("yes", "yes", "")
    assert "| low_reward | 1 |" in card
    assert "| 1 | 1 | 100.0 % |" in card
    (line,) = (tmp_path / "release" / "InfInstruct-G.jsonl").read_text().splitlines()
    assert json.loads(line)["reward"] == -5.66
    assert len(outcome.artefacts) == 8


def test_the_card_names_every_model_of_the_settings() -> None:
    one, two = {"model": "one"}, {"model": "two"}
    roles = {role: {"model": role} for role in Models.model_fields if role != "students"}
    students = [{"name": spec["model"], "model": spec} for spec in (one, two)]
    settings = Settings(models={**roles, "students": students})
    named = {spec.weights_id for spec in list_specs(settings.models)}
    assert len(named) == len(Models.model_fields) + 1
    assert named <= set(assets._models(settings)["model"])


def test_pairs_with_a_denied_licence_are_left_out(tmp_path: Path) -> None:
    messages = conversations(*([("user", "q"), ("assistant", answer)] for answer in "abc"))
    pairs = pl.DataFrame(
        {"row_id": ["2", "1", "3"], "licence": ["MIT", "MIT", "CC-BY-NC-4.0"], "prompt": "q", "chosen": messages}
    )
    assert assets.write_pairs(pairs.with_columns(rejected="chosen"), tmp_path, ("CC-BY-NC-4.0",)) == 2
    lines = [json.loads(line) for line in (tmp_path / "InfInstruct-preferences.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["1", "2"]
    assert list(lines[0]) == ["id", "prompt", "chosen", "rejected"]
    assert pl.DataFrame(lines).schema["chosen"] == schema.MESSAGES
