"""Every invariant holds on a correct lake, and every fault in it is detected."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from infinity_assets import invariants
from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.checks import check_lake
from infinity_assets.defs.registry import needed_by
from infinity_assets.invariants import INVARIANTS
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.catalog.lakes import BAKERY, BAKERY2, BAKERY3, CLIPS, TEA, row_id
from infinity_assets_tests.frames import conversations, pool

APPLIES = {registered.asset: registered.invariants for registered in needed_by(None)}


@pytest.fixture(scope="module")
def correct(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lakes.make(tmp_path_factory.mktemp("correct"))


@pytest.fixture
def lake(correct: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A copy of the correct lake, to be broken."""
    (tmp_path / "none.yaml").touch()
    monkeypatch.setenv("INFINITY_SETTINGS", str(tmp_path / "none.yaml"))
    return Lake(shutil.copytree(correct.data, tmp_path / "data"))


def test_all_invariants_hold_on_a_correct_lake(lake: Lake) -> None:
    checked = [(asset, name, broken.height) for asset, name, broken in check_lake(lake)]
    assert {height for _, _, height in checked} == {0}
    assets = {folder.name for folder in lake.rows.iterdir()} & set(APPLIES)
    assert sorted((asset, name) for asset, name, _ in checked) == sorted(
        (asset, name) for asset in assets for name in APPLIES[asset]
    )
    assert {name for _, name, _ in checked} == set(INVARIANTS)


def replace(lake: Lake, asset: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the rows of a partition without updating its ledger tables."""
    change(lake.scan(asset).collect()).write_parquet(lake.rows_file(asset))


def commit(lake: Lake, asset: str, outcome: Outcome) -> None:
    lake.commit(lakes.key(asset), outcome, "run-2", 0.0)


def a_row_vanishes(lake: Lake) -> None:
    commit(
        lake,
        "deduped",
        Outcome(
            lake.scan("deduped").collect().head(2),
            rows_in=4,
            decisions=lakes.decided(pool(("a", "b", 0, TEA)), "dropped", "x"),
        ),
    )


def a_decision_is_lost(lake: Lake) -> None:
    (lake.catalog / "decisions" / "deduped" / "all.parquet").unlink()


def nothing_was_counted(lake: Lake) -> None:
    commit(lake, "deduped", Outcome(lake.scan("deduped").collect()))


def a_row_of_the_pool_is_lost(lake: Lake) -> None:
    replace(lake, "raw_pool", lambda rows: rows.head(3))


def a_row_of_the_pool_is_of_another_file(lake: Lake) -> None:
    """The total is right, but the counts of two files are not."""
    replace(lake, "raw_pool", lambda rows: rows.with_columns(file=pl.col("file").replace("b.json", "c.json")))


def a_file_is_miscounted(lake: Lake) -> None:
    file = lake.ledger_file("files", "raw_pool")
    pl.read_parquet(file).with_columns(records=pl.col("records") + (pl.col("file") == "a.json")).write_parquet(file)


def a_file_is_not_counted(lake: Lake) -> None:
    file = lake.ledger_file("files", "raw_pool")
    pl.read_parquet(file).filter(pl.col("file") != "b.json").write_parquet(file)


def a_decision_of_the_pool_is_lost(lake: Lake) -> None:
    lake.ledger_file("decisions", "raw_pool").unlink()


def bytes_are_lost(lake: Lake) -> None:
    lake.ledger_file("quarantine", "raw_pool").unlink()


def bytes_are_of_another_record(lake: Lake) -> None:
    file = lake.ledger_file("quarantine", "raw_pool")
    pl.read_parquet(file).with_columns(position=pl.col("position") + 1).write_parquet(file)


def a_turn_is_empty(lake: Lake) -> None:
    replace(lake, "inf_instruct_f", lambda rows: rows.with_columns(conversations([("user", "q"), ("assistant", " ")])))


def an_id_repeats(lake: Lake) -> None:
    replace(lake, "inf_instruct_f", lambda rows: pl.concat([rows, rows]))


def an_item_is_in_it(lake: Lake) -> None:
    replace(lake, "inf_instruct_f", lambda rows: pl.concat([rows, pool(("alpha", "a.json", 2, CLIPS))]))


def an_edge_is_lost(lake: Lake) -> None:
    (lake.catalog / "edges" / "evolved" / "all.parquet").unlink()


def a_row_comes_from_nowhere(lake: Lake) -> None:
    replace(lake, "inf_instruct_f", lambda rows: rows.with_columns(row_id=pl.lit("f" * 32)))


def a_licence_is_missing(lake: Lake) -> None:
    replace(lake, "inf_instruct_f", lambda rows: rows.with_columns(licence=pl.lit(None, pl.String)))


def a_licence_is_too_lax(lake: Lake) -> None:
    replace(lake, "inf_instruct_g", lambda rows: rows.with_columns(licence=pl.lit("MIT")))


BROKEN = [
    (a_row_vanishes, "deduped", "conservation"),
    (a_decision_is_lost, "deduped", "conservation"),
    (nothing_was_counted, "deduped", "conservation"),
    (a_row_of_the_pool_is_lost, "raw_pool", "accounted"),
    (a_file_is_miscounted, "raw_pool", "accounted"),
    (a_file_is_not_counted, "raw_pool", "accounted"),
    (a_decision_of_the_pool_is_lost, "raw_pool", "accounted"),
    (bytes_are_lost, "raw_pool", "accounted"),
    (bytes_are_of_another_record, "raw_pool", "accounted"),
    (a_turn_is_empty, "inf_instruct_f", "grammar"),
    (an_id_repeats, "inf_instruct_f", "unique"),
    (an_item_is_in_it, "inf_instruct_f", "clean"),
    (an_edge_is_lost, "inf_instruct_g", "lineage"),
    (a_row_comes_from_nowhere, "inf_instruct_f", "lineage"),
    (a_licence_is_missing, "inf_instruct_f", "licence"),
    (a_licence_is_too_lax, "inf_instruct_g", "licence"),
]


@pytest.mark.parametrize(("breaks", "asset", "name"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_every_fault_is_detected(lake: Lake, breaks: Callable[[Lake], None], asset: str, name: str) -> None:
    breaks(lake)
    assert INVARIANTS[name](lake, asset).height == 1
    # `any` stops at the fault: another test covers the other checks.
    assert any(
        (checked, invariant) == (asset, name) and broken.height for checked, invariant, broken in check_lake(lake)
    )


def test_files_with_opposite_miscounts_are_both_named(lake: Lake) -> None:
    a_row_of_the_pool_is_of_another_file(lake)
    assert INVARIANTS["accounted"](lake, "raw_pool")["file"].to_list() == ["b.json", "c.json"]


def test_a_fault_in_any_batch_is_detected(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are checked in batches, which bounds the memory."""
    monkeypatch.setattr(invariants, "ROW_GROUP", 2)
    sound = [("alpha", "a.json", place, BAKERY) for place in range(9)]
    broken = ("alpha", "a.json", 9, [("user", "q"), ("assistant", " ")])
    replace(lake, "raw_pool", lambda rows: pool(*sound, broken))
    assert INVARIANTS["grammar"](lake, "raw_pool")["fault"].to_list() == ["empty_turn"]


def test_every_invariant_has_a_fault_above() -> None:
    assert {name for _, _, name in BROKEN} == set(INVARIANTS)


def test_a_row_of_two_lines_needs_the_most_restrictive_licence_of_both(lake: Lake) -> None:
    """Licenses are inherited from the pool through any number of steps."""
    replace(
        lake,
        "deduped",
        lambda rows: rows.with_columns(
            licence=pl.when(pl.col("row_id") == row_id(TEA)).then(pl.lit("unknown")).otherwise("licence")
        ),
    )
    assert INVARIANTS["licence"](lake, "inf_instruct_g").is_empty()
    # A second parent in the edges alone belongs to a rejected copy: it does not change the license of the row.
    merged = pl.concat([lakes.edge(BAKERY2, BAKERY, "merge"), lakes.edge(BAKERY2, TEA, "merge")])
    commit(lake, "evolved", Outcome(lake.scan("evolved").collect(), edges=merged))
    assert INVARIANTS["licence"](lake, "inf_instruct_g").is_empty()
    both = pl.when(pl.col("row_id") == row_id(BAKERY2)).then(pl.lit([row_id(BAKERY), row_id(TEA)])).otherwise("parents")
    commit(lake, "evolved", Outcome(lake.scan("evolved").collect().with_columns(parents=both), edges=merged))
    assert INVARIANTS["licence"](lake, "inf_instruct_g").rows() == [
        (row_id(BAKERY3), "CC-BY-SA-4.0 instead of unknown")
    ]


def test_a_cycle_of_ancestors_ends(lake: Lake) -> None:
    commit(
        lake, "evolved_2", Outcome(lakes.child(BAKERY, BAKERY3, "evolve"), edges=lakes.edge(BAKERY, BAKERY3, "evolve"))
    )
    assert INVARIANTS["lineage"](lake, "inf_instruct_g").is_empty()
    assert INVARIANTS["licence"](lake, "inf_instruct_g").is_empty()
