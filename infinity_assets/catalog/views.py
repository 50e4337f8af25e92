"""DuckDB over the books: read-only views on the sidecar files, and on the rows of every asset under the asset's name.

`metadata.duckdb` holds nothing but these views. It is written whole and renamed into place, so readers are never shut out, and it can be
deleted at any time. Our own commands do not need it: they make the same views in memory.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import duckdb
import polars as pl

from infinity_assets.atomic import replacing, write_parquet, write_text
from infinity_assets.catalog.lake import BOOKS, Lake

DATABASE = "metadata.duckdb"


def connect(data: Path, assets: Iterable[str] | None = None) -> duckdb.DuckDBPyConnection:
    """Return a connection with the views, in memory: for reading.

    Args:
        data: The data folder.
        assets: The assets whose rows get a view, of those that have rows; `None` for all. Every view takes DuckDB some milliseconds to make.
    """
    connection = duckdb.connect()
    lake = Lake(data)
    _create_views(connection, lake, lake.assets() if assets is None else lake.assets() & set(assets))
    return connection


def refresh_database(data: Path) -> Path:
    """Write `metadata.duckdb` unless it is the file that was written last, and the views in it are those of today.

    A view reads whatever files there are when it is asked, so the database changes only with the assets that have rows and with their columns.
    """
    path, lake = data / DATABASE, Lake(data)
    wanted = _signature(lake)
    signed = lake.catalog / "views.signature"
    if not signed.exists() or signed.read_text(encoding="utf-8") != f"{wanted} {_stamp(path)}":
        with replacing(path) as temporary, duckdb.connect(str(temporary)) as connection:
            _create_views(connection, lake, lake.assets())
        write_text(f"{wanted} {_stamp(path)}", signed)
    return path


def _stamp(file: Path) -> str:
    """Return size and time of a file, by which another file in its place is known; `none` if there is no file."""
    if not file.exists():
        return "none"
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _signature(lake: Lake) -> str:
    """Return a hash of everything that the views depend on: the folder, the statements, and the columns of every asset's rows."""
    firsts = {asset: min((lake.rows / asset).glob("*.parquet")) for asset in sorted(lake.assets())}
    columns = {asset: _listed(pl.scan_parquet(file, glob=False).collect_schema()) for asset, file in firsts.items()}
    books = {book: _listed(schema) for book, schema in BOOKS.items()}
    return hashlib.sha256(
        json.dumps([duckdb.__version__, str(lake.data), _statements(), columns, books]).encode()
    ).hexdigest()


def _listed(schema: pl.Schema) -> list[tuple[str, str]]:
    return [(name, str(kind)) for name, kind in schema.items()]


def _statements() -> str:
    return files("infinity_assets.catalog").joinpath("views.sql").read_text(encoding="utf-8")


def _create_views(connection: duckdb.DuckDBPyConnection, lake: Lake, assets: Iterable[str]) -> None:
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
    connection.execute("set timezone = 'UTC'")
    connection.execute(_statements().format(root=_quoted(root)))
    for asset in sorted(assets):
        connection.execute(
            f"create or replace view \"{asset}\" as select * from read_parquet('{_quoted(lake.rows / asset)}/*.parquet')"
        )


def _quoted(path: Path) -> str:
    """The path inside a quoted glob."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path)).replace("'", "''")
