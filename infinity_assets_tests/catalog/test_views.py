from pathlib import Path

import duckdb
import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.catalog.views import connect, refresh_database
from infinity_assets_tests.catalog import lakes

COLUMNS = {
    "materializations": "asset partition run_id finished_at seconds rows_in rows_created rows_out rows_dropped bytes "
    "code_version settings_hash data_version latest",
    "decisions": "row_id source file position asset partition verdict reason detail",
    "edges": "child_id parent_id operation asset",
    "origins": "row_id source file position licence",
    "generations": "request_key row_id asset model prompt prompt_tokens completion_tokens seconds cached error",
}
"""Columns that users may rely on, by view."""


def test_the_views_exist_before_anything_is_materialized(tmp_path: Path) -> None:
    with connect(tmp_path / "it's here") as views:
        for view, columns in COLUMNS.items():
            assert views.sql(f"select {columns.replace(' ', ', ')} from {view}").fetchall() == []


def test_past_materializations_stay_on_record_and_only_the_last_is_latest(tmp_path: Path) -> None:
    lake = lakes.make(tmp_path)
    lake.commit(lakes.key("deduped"), Outcome(lake.scan("deduped").collect(), rows_in=3), "run-2", 0.0)
    with connect(tmp_path) as views:
        runs = views.sql(
            "select run_id, rows_in, rows_dropped, latest from materializations where asset = 'deduped' order by run_id"
        ).fetchall()
        assert runs == [("run-1", 4, 1, False), ("run-2", 3, 0, True)]
        assert views.sql("select count(*) from decisions where asset = 'deduped'").fetchall() == [(0,)]


def test_rows_and_ledger_tables_can_be_joined(tmp_path: Path) -> None:
    lakes.make(tmp_path)
    with connect(tmp_path) as views:
        originals = views.sql(
            "select detail->>'duplicate_of' from decisions join raw_pool using (row_id, source, file, position)"
        ).fetchall()
        assert (lakes.row_id(lakes.TEA),) in originals
        assert views.sql("select count(*) from generations where not cached").fetchall() == [(2,)]


def test_the_database_file_can_be_rewritten_while_it_is_read(tmp_path: Path) -> None:
    lakes.make(tmp_path)
    with duckdb.connect(str(refresh_database(tmp_path)), read_only=True) as reader:
        lake = Lake(tmp_path)
        lake.commit(lakes.key("later"), Outcome(lake.scan("deduped").collect()), "run-2", 0.0)
        path = refresh_database(tmp_path)
        assert reader.sql("select count(*) from deduped").fetchall() == [(3,)]
    with duckdb.connect(str(path), read_only=True) as reader:
        assert reader.sql("select count(*) from later").fetchall() == [(3,)]
    assert not list(tmp_path.glob(".*tmp*"))


def test_the_database_is_rewritten_only_if_a_view_changed(tmp_path: Path) -> None:
    lake = lakes.make(tmp_path)

    def columns() -> list[str]:
        with duckdb.connect(str(refresh_database(tmp_path)), read_only=True) as reader:
            return [name for name, *_ in reader.sql("describe deduped").fetchall()]

    before = columns()
    first = (tmp_path / "metadata.duckdb").stat().st_ino
    lake.commit(lakes.key("deduped"), Outcome(lake.scan("deduped").collect().head(1)), "run-2", 0.0)
    assert columns() == before
    assert (tmp_path / "metadata.duckdb").stat().st_ino == first, "other rows, the same views"
    lake.commit(
        lakes.key("deduped"), Outcome(lake.scan("deduped").with_columns(more=pl.lit(1)).collect()), "run-3", 0.0
    )
    assert columns() == [*before, "more"]
    (tmp_path / "metadata.duckdb").unlink()
    assert columns() == [*before, "more"]
    (tmp_path / "metadata.duckdb").write_bytes(b"cut off")
    assert columns() == [*before, "more"], "another file in its place is not trusted"


def test_only_the_requested_assets_get_a_view(tmp_path: Path) -> None:
    lakes.make(tmp_path)
    with connect(tmp_path, assets=["deduped", "never_made"]) as views:
        existing = {name for (name,) in views.sql("select view_name from duckdb_views() where not internal").fetchall()}
    assert existing >= {"materializations", "decisions", "deduped"}
    assert "raw_pool" not in existing
