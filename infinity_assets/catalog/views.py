"""DuckDB over the books: read-only views on the sidecar files, and on the rows of every asset under the asset's name.

`metadata.duckdb` holds nothing but these views. It is written whole and renamed into place, so readers are never shut out, and it can be
deleted at any time. Our own commands do not need it: they make the same views in memory.
"""

import re
from importlib.resources import files
from pathlib import Path

import duckdb
import polars as pl

from infinity_assets.atomic import replacing, write_parquet, write_text
from infinity_assets.catalog.lake import BOOKS, Lake

DATABASE = "metadata.duckdb"


def connect(data: Path) -> duckdb.DuckDBPyConnection:
    """A connection with the views, in memory: for reading."""
    connection = duckdb.connect()
    _create_views(connection, data)
    return connection


def write_database(data: Path) -> Path:
    """Make `metadata.duckdb` anew."""
    path = data / DATABASE
    with replacing(path) as temporary, duckdb.connect(str(temporary)) as connection:
        _create_views(connection, data)
    return path


def _create_views(connection: duckdb.DuckDBPyConnection, data: Path) -> None:
    lake = Lake(data)
    root = lake.catalog
    # A view over a glob that matches nothing is an error: an empty file keeps each glob non-empty.
    for book, columns in BOOKS.items():
        seed = root / book / "_" / "empty.parquet"
        # It has every column of today, so that a view may name one that older files lack.
        if not seed.exists() or pl.scan_parquet(seed, glob=False).collect_schema() != columns:
            write_parquet(pl.DataFrame(schema=columns), seed)
    for folder in ("manifests/_", "history/_/_"):
        if not (seed := root / folder / "empty.json").exists():
            write_text("", seed)
    sql = files("infinity_assets.catalog").joinpath("views.sql").read_text(encoding="utf-8")
    connection.execute("set timezone = 'UTC'")
    connection.execute(sql.format(root=_quoted(root)))
    for folder in sorted(lake.rows.glob("*")):
        if any(folder.glob("*.parquet")):
            connection.execute(f"create or replace view \"{folder.name}\" as select * from read_parquet('{_quoted(folder)}/*.parquet')")


def _quoted(path: Path) -> str:
    """The path inside a quoted glob."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path)).replace("'", "''")
