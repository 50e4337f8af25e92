"""The metadata that Dagster shows for an asset and for each of its materializations."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import yaml

from infinity_assets.catalog.lake import Lake, Manifest
from infinity_assets.defs.registry import Registered
from infinity_assets.report import charts
from infinity_assets.rows.frames import count_by
from infinity_assets.rows.schema import MEANING

_ROWS = 10
"""Maximum number of rows shown for a materialization."""
_NARROW = 8
"""Maximum number of columns shown if the rows are not conversations."""


@cache
def _meanings() -> dict[str, dict[str, str]]:
    return yaml.safe_load(files("infinity_assets.defs").joinpath("columns.yaml").read_text(encoding="utf-8"))


def column_schema(registered: Registered) -> dict[str, Any]:
    """Return the metadata that describes the columns of an asset: name, type and meaning."""
    meanings = MEANING | _meanings()["shared"] | _meanings().get(registered.stem, {})
    columns = [dg.TableColumn(name, str(kind), meanings.get(name)) for name, kind in registered.columns.items()]
    return {"dagster/column_schema": dg.TableSchema(columns)} if columns else {}


def materialization_metadata(lake: Lake, manifest: Manifest, reused: bool) -> dict[str, Any]:
    """Return the metadata of a materialized partition: counts, reasons, measures, charts, and the first rows."""
    shown: dict[str, Any] = {"dagster/row_count": manifest.rows_out}
    if manifest.rows_dropped is not None:
        shown |= {f"rows {name}": getattr(manifest, f"rows_{name}") for name in ("in", "created", "dropped")}
    decisions = lake.ledger_file("decisions", manifest.asset, manifest.partition)
    if decisions.exists():
        reasons = count_by(pl.scan_parquet(decisions, glob=False), "verdict", "reason", within=1)
        shown["decisions"] = dg.MetadataValue.md(charts.table(reasons.collect(), rows=20))
    shown |= {name: value for name, value in manifest.measures.items() if value is not None}
    shown |= {name: dg.MetadataValue.md(markdown) for name, markdown in manifest.charts.items() if markdown}
    file = lake.rows_file(manifest.asset, manifest.partition)
    if manifest.rows_out:
        shown["rows"] = dg.MetadataValue.md(_first_rows(file, manifest))
    return shown | {
        "rows file": dg.MetadataValue.path(str(file)),
        "seconds": manifest.seconds,
        "data version": manifest.data_version,
        "reused": reused,
    }


def _first_rows(file: Path, manifest: Manifest) -> str:
    """Return the first rows as a Markdown table, with the command that shows more rows."""
    head = pl.scan_parquet(file, glob=False).head(_ROWS).collect()
    more = f'`infinity sql "select * from {manifest.asset} limit 100"`'
    if "messages" in head.columns:
        text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join(" / ").alias("conversation")
        wanted = [name for name in ("source", "domain", "language", "operation") if name in head.columns]
        shown = head.select(pl.col("row_id").str.slice(0, 8), *wanted, text)
        more += f"; the story of a row: `infinity explain {head['row_id'][0]}`"
    else:
        shown = head.select(head.columns[:_NARROW])
    return f"{charts.table(shown, rows=_ROWS)}\n\n{manifest.rows_out:,} rows in this partition. More: {more}"
