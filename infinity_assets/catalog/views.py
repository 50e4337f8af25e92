"""DuckDB views of the ledger tables, the manifests and the rows of every asset.

The file `metadata.duckdb` contains only these views and can be deleted at any time. A new version is renamed into
place, so it never locks out readers. The `infinity` commands create the same views in memory.
"""

import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import duckdb
import polars as pl

from infinity_assets.atomic import replace_file, write_parquet, write_text
from infinity_assets.catalog.lake import LEDGER, Lake
from infinity_assets.rows.ids import digest

DATABASE = "metadata.duckdb"


def connect(data: Path, assets: Iterable[str] | None = None) -> duckdb.DuckDBPyConnection:
    """Return a connection to a new in-memory database with the views of the ledger tables and of the rows of `assets`.

    Creating a view takes some milliseconds. An asset without rows has none. `None` stands for all assets.
    """
    connection, lake = duckdb.connect(), Lake(data)
    _create_views(connection, lake, lake.assets() if assets is None else lake.assets() & set(assets))
    return connection


def refresh_database(data: Path) -> Path:
    """Write `metadata.duckdb` unless it is up to date, and return its path.

    A view reads the files that exist at the time of the query, so only a new asset or new columns make the database
    outdated. It is also written again if its file was replaced or truncated.
    """
    path, lake = data / DATABASE, Lake(data)
    firsts = {asset: min((lake.rows / asset).glob("*.parquet")) for asset in sorted(lake.assets())}
    columns = {asset: pl.scan_parquet(file, glob=False).collect_schema() for asset, file in firsts.items()}
    wanted = digest(repr((duckdb.__version__, lake.data, _statements(), columns, LEDGER)))
    signed = lake.catalog / "views.signature"
    if not signed.exists() or signed.read_text(encoding="utf-8") != f"{wanted} {_stamp(path)}":
        with replace_file(path) as temporary, duckdb.connect(str(temporary)) as connection:
            _create_views(connection, lake, lake.assets())
        write_text(f"{wanted} {_stamp(path)}", signed)
    return path


def _stamp(file: Path) -> str:
    """Return the size and modification time of a file as a text, to detect changes; `none` if there is no file."""
    return f"{file.stat().st_size} {file.stat().st_mtime_ns}" if file.exists() else "none"


def _statements() -> str:
    return files("infinity_assets.catalog").joinpath("views.sql").read_text(encoding="utf-8")


def _create_views(connection: duckdb.DuckDBPyConnection, lake: Lake, assets: Iterable[str]) -> None:
    root = lake.catalog
    # DuckDB rejects a view over a glob without files, so each glob gets a file without rows. This file has all present
    # columns, so that a view can use a column that older files lack.
    for table, columns in LEDGER.items():
        seed = root / table / "_" / "empty.parquet"
        if not seed.exists() or pl.scan_parquet(seed, glob=False).collect_schema() != columns:
            write_parquet(pl.DataFrame(schema=columns), seed)
    for folder in ("manifests/_", "history/_/_"):
        if not (seed := root / folder / "empty.json").exists():
            write_text("", seed)
    connection.execute("set timezone = 'UTC'")
    connection.execute(_statements().format(root=_quoted(root)))
    for asset in sorted(assets):
        rows = f"read_parquet('{_quoted(lake.rows / asset)}/*.parquet')"
        connection.execute(f'create or replace view "{asset}" as select * from {rows}')


def _quoted(path: Path) -> str:
    """Escape a path for a glob in a quoted SQL string."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path)).replace("'", "''")
