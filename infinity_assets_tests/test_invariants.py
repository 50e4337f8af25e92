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


Change = Callable[[pl.DataFrame], pl.DataFrame]

IN_ROWS: dict[str, tuple[str, str, Change]] = {
    "a row of the pool is lost": ("raw_pool", "accounted", lambda rows: rows.head(3)),
    "a turn is empty": (
        "inf_instruct_f", "grammar", lambda rows: rows.with_columns(conversations([("user", "q"), ("assistant", " ")])),
    ),
    "an id repeats": ("inf_instruct_f", "unique", lambda rows: pl.concat([rows, rows])),
    "an item is in it": ("inf_instruct_f", "clean", lambda rows: pl.concat([rows, pool(("alpha", "a.json", 2, CLIPS))])),
    "a row comes from nowhere": ("inf_instruct_f", "lineage", lambda rows: rows.with_columns(row_id=pl.lit("f" * 32))),
    "a licence is missing": ("inf_instruct_f", "licence", lambda rows: rows.with_columns(licence=pl.lit(None, pl.String))),
    "a licence is too lax": ("inf_instruct_g", "licence", lambda rows: rows.with_columns(licence=pl.lit("MIT"))),
}  # fmt: skip
"""Asset, broken invariant and change of the rows of faults that leave the ledger tables as they are."""

IN_LEDGER: dict[str, tuple[str, str, str, str, Change]] = {
    "a decision is lost": ("decisions", "deduped", "deduped", "conservation", pl.DataFrame.clear),
    "a decision of the pool is lost": ("decisions", "raw_pool", "raw_pool", "accounted", pl.DataFrame.clear),
    "a file is miscounted": (
        "files", "raw_pool", "raw_pool", "accounted",
        lambda lines: lines.with_columns(records=pl.col("records") + (pl.col("file") == "a.json")),
    ),
    "a file is not counted": (
        "files", "raw_pool", "raw_pool", "accounted", lambda lines: lines.filter(pl.col("file") != "b.json"),
    ),
    "bytes are lost": ("quarantine", "raw_pool", "raw_pool", "accounted", pl.DataFrame.clear),
    "bytes are of another record": (
        "quarantine", "raw_pool", "raw_pool", "accounted", lambda lines: lines.with_columns(pl.col("position") + 1),
    ),
    "an edge is lost": ("edges", "evolved", "inf_instruct_g", "lineage", pl.DataFrame.clear),
}  # fmt: skip
"""Ledger table, its asset, the asset with the broken invariant, the invariant, and the change of the table."""


def assert_detected(lake: Lake, asset: str, name: str) -> None:
    assert INVARIANTS[name](lake, asset).height == 1
    # `any` stops at the fault: another test covers the other checks.
    assert any(
        (checked, invariant) == (asset, name) and broken.height for checked, invariant, broken in check_lake(lake)
    )


@pytest.mark.parametrize("fault", IN_ROWS)
def test_every_fault_in_rows_is_detected(lake: Lake, fault: str) -> None:
    asset, name, change = IN_ROWS[fault]
    replace(lake, asset, change)
    assert_detected(lake, asset, name)


@pytest.mark.parametrize("fault", IN_LEDGER)
def test_every_fault_in_a_ledger_table_is_detected(lake: Lake, fault: str) -> None:
    table, of, asset, name, change = IN_LEDGER[fault]
    file = lake.ledger_file(table, of)
    change(pl.read_parquet(file)).write_parquet(file)
    assert_detected(lake, asset, name)


@pytest.mark.parametrize(
    "counted", [{}, {"rows_in": 4, "decisions": lakes.decided(pool(("a", "b", 0, TEA)), "dropped", "x")}]
)
def test_rows_that_do_not_add_up_are_detected(lake: Lake, counted: dict) -> None:
    rows = lake.scan("deduped").collect()
    commit(lake, "deduped", Outcome(rows.head(2) if counted else rows, **counted))
    assert_detected(lake, "deduped", "conservation")


def test_files_with_opposite_miscounts_are_both_named(lake: Lake) -> None:
    """The total is right, but the counts of two files are not."""
    replace(lake, "raw_pool", lambda rows: rows.with_columns(file=pl.col("file").replace("b.json", "c.json")))
    assert INVARIANTS["accounted"](lake, "raw_pool")["file"].to_list() == ["b.json", "c.json"]


def test_a_fault_in_any_batch_is_detected(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are checked in batches, which bounds the memory."""
    monkeypatch.setattr(invariants, "ROW_GROUP", 2)
    sound = [("alpha", "a.json", place, BAKERY) for place in range(9)]
    broken = ("alpha", "a.json", 9, [("user", "q"), ("assistant", " ")])
    replace(lake, "raw_pool", lambda rows: pool(*sound, broken))
    assert INVARIANTS["grammar"](lake, "raw_pool")["fault"].to_list() == ["empty_turn"]


def test_every_invariant_has_a_fault_above() -> None:
    named = {name for _, name, _ in IN_ROWS.values()} | {name for *_, name, _ in IN_LEDGER.values()}
    assert named == set(INVARIANTS)


def test_a_row_of_two_lines_needs_the_most_restrictive_licence_of_both(lake: Lake) -> None:
    """Licenses are inherited from the pool through any number of steps."""
    unknown = pl.when(pl.col("row_id") == row_id(TEA)).then(pl.lit("unknown")).otherwise("licence")
    replace(lake, "deduped", lambda rows: rows.with_columns(licence=unknown))
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
