"""`inf_instruct_g` on a lake made by hand: it reads rounds, seeds, F and benchmarks, and its ledger adds up."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.decontamination.allowed import ALLOWED
from infinity_assets.defs.chat import inf_instruct_g as final
from infinity_assets.defs.chat.rounds import CONVERSED
from infinity_assets.defs.registry import find
from infinity_assets.invariants import INVARIANTS
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings import Settings
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests.defs.steps import commit, decisions_of, outcome_of
from infinity_assets_tests.frames import Turns, conversations, pool
from infinity_assets_tests.synthesis.test_final import prose

ITEM = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


def rows(*turns: Turns, parent: str) -> pl.DataFrame:
    """Rows of `conversed`."""
    made = add_row_ids(pl.DataFrame({"messages": conversations(*turns)})).with_columns(
        source=pl.lit("synthetic:m"), licence=pl.lit("MIT"), domain=pl.lit("chat"), language=pl.lit("en"), kind=pl.lit("conversation"),
        operation=pl.lit("answer"), round=pl.lit(1), parents=pl.lit([parent]), answer_score=pl.lit(4.0),
        turns=pl.col("messages").list.len() // 2,
    )  # fmt: skip
    return conform(made, CONVERSED, fill=True)


def test_g_keeps_good_rows_and_has_a_decision_for_each_dropped_row(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    seed: Turns = [("user", "Tell me of seeds."), ("assistant", prose(1))]
    of_f: Turns = [("user", "Tell me of moss."), ("assistant", prose(2))]
    two_turns: Turns = [
        ("user", "Tell me of oaks."),
        ("assistant", prose(3)),
        ("user", "And of elms?"),
        ("assistant", prose(4)),
    ]
    late_item: Turns = [("user", "Tell me of clips."), ("assistant", prose(5)), ("user", ITEM), ("assistant", prose(6))]
    pooled = pool(("alpha", "a.json", 0, seed), ("alpha", "a.json", 1, of_f))
    parent = pooled["row_id"][0]
    made = rows(seed, of_f, two_turns, late_item, parent=parent)
    names = dict(
        zip(
            add_row_ids(pl.DataFrame({"messages": conversations(seed, of_f, two_turns, late_item)}))["row_id"],
            "sfti",
            strict=True,
        )
    )
    edges = made.select(child_id="row_id", parent_id=pl.lit(parent), operation=pl.lit("evolve_deepen"))
    commit(lake, "raw_pool", pooled, "alpha")
    commit(lake, "deduped", pooled, "shard-00")
    commit(lake, "seed_selected", pooled[:1])
    commit(lake, "inf_instruct_f", pooled[1:])
    commit(
        lake,
        "benchmarks",
        pl.DataFrame({"item_id": ["gsm#0"], "benchmark": ["gsm"], "prompt": [ITEM], "domain": ["math"]}),
    )
    commit(lake, "allowed", pl.DataFrame(schema=ALLOWED))
    commit(lake, "evolved", Outcome(made.select(list(schema.SYNTHETIC_ROW)), edges=edges), "shard-00")
    for number, part in enumerate((made[:2], made[2:])):
        commit(lake, "conversed", part, f"shard-0{number}")
    assert final
    outcome = outcome_of("inf_instruct_g", lake)
    commit(lake, "inf_instruct_g", outcome)
    told = {names[row]: reason for row, reason in decisions_of(outcome).select("row_id", "reason").iter_rows()}
    assert told == {
        "s": "near_duplicate_of_seed",
        "f": "in_foundation",
        "t": "passed_final_filter",
        "i": "contaminated",
    }
    g = lake.scan("inf_instruct_g").collect()
    assert g.schema == final.COLUMNS
    assert g.select("turns", "terms", "quantile").rows() == [(2, "Apache-2.0", 1.0)]
    for name in find("inf_instruct_g").invariants:
        assert INVARIANTS[name](lake, "inf_instruct_g").is_empty(), name
    assert "evolve_deepen" in outcome.charts["operations"]
    assert "| in_foundation | 1 | 2 |" in outcome.charts["rules"]


def test_only_the_embedded_model_has_default_terms() -> None:
    assert ModelSpec().terms == "Apache-2.0"
    assert ModelSpec(model="org/model").terms == "unknown"
    assert ModelSpec(model="org/model", terms="MIT").terms == "MIT"
    assert ModelSpec(terms="MIT").weights_id == ModelSpec().weights_id


def test_g_depends_on_the_terms_of_the_generator(monkeypatch) -> None:
    def parts() -> list:
        return [str(part) for part in find("inf_instruct_g").settings(Settings())]

    before = parts()
    monkeypatch.setenv("INFINITY_MODELS__GENERATOR__TERMS", "Llama-3.1")
    assert parts() != before
