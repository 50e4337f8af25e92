"""The history of a row: its origins, the decisions on it, its model calls, and the rows made from it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.errors import InfinityError
from infinity_assets.rows.grammar import Message

_DATASETS = ("inf_instruct_f", "inf_instruct_g")
_ALIKE = 20
"""Maximum number of origins, and of decisions of one reason, to list: a row may be read thousands of times."""


def explain(data: Path, row: str) -> str:
    """Describe the history of the row whose id begins with `row`, and of the rows that it was made from, as plain text.

    Raises:
        InfinityError: No row id or several begin with these digits.
    """
    with connect(data) as views:
        row_id = find_row(views, row)
        return "\n".join(_story(views, row_id, Lake(data).order(), depth=0, seen=set()))


def find_row(views: duckdb.DuckDBPyConnection, row: str) -> str:
    """Return the only row id that begins with the digits `row`.

    Raises:
        InfinityError: No row id or several begin with these digits.
    """
    known = (
        "select row_id from origins union select child_id from edges "
        "union select row_id from decisions where row_id is not null"
    )
    found = _rows(views, f"select row_id from ({known}) where starts_with(row_id, ?) order by 1 limit 5", row)
    matches = [row_id for (row_id,) in found]
    if not matches:
        raise InfinityError(f"No row id begins with {row}.")
    if len(matches) > 1:
        raise InfinityError(f"{len(matches)} or more row ids begin with {row}: {', '.join(matches)}.")
    return matches[0]


def _rows(views: duckdb.DuckDBPyConnection, query: str, *parameters: str) -> list[tuple]:
    return views.execute(query, parameters).fetchall()


def _story(views: duckdb.DuckDBPyConnection, row_id: str, order: list[str], depth: int, seen: set[str]) -> list[str]:
    seen.add(row_id)
    lines = [f"row {row_id}", *content_lines(views, row_id), *_origins(views, row_id)]
    parents = _rows(views, "select parent_id, operation, asset from edges where child_id = ? order by 1", row_id)
    lines += [f"  made      by {operation} in {asset}, from {parent}" for parent, operation, asset in parents]
    lines += [*_path(views, row_id, order), *_duplicates(views, row_id)]
    children = _rows(views, "select child_id, operation, asset from edges where parent_id = ? order by 1", row_id)
    lines += [f"  became    {child} by {operation} in {asset}" for child, operation, asset in children]
    stands = [a for a in _DATASETS if _in(views, a, row_id)]
    lines.append(
        f"  stands in {' and '.join(stands)}" if stands else "  stands in neither InfInstruct-F nor InfInstruct-G"
    )
    for parent, _, _ in parents:
        if parent not in seen:
            lines += ["", *_story(views, parent, order, depth + 1, seen)]
    return ["    " + line for line in lines] if depth == 1 else lines


def _duplicates(views: duckdb.DuckDBPyConnection, row_id: str) -> list[str]:
    """Return a line that counts the dropped duplicates of a row by method; an empty list if it has no duplicates."""
    if not _in(views, "duplicates", row_id, "duplicate_of"):
        return []
    query = "select method, count(*) from duplicates where duplicate_of = ? group by 1 order by 1"
    counted = ", ".join(f"{records} {method}" for method, records in _rows(views, query, row_id))
    return [f"  kept      in place of {counted} duplicates: `infinity duplicates {row_id[:12]}`"]


def _in(views: duckdb.DuckDBPyConnection, asset: str, row_id: str, column: str = "row_id") -> bool:
    try:
        return bool(_rows(views, f"select 1 from {asset} where {column} = ? limit 1", row_id))
    except duckdb.CatalogException:  # the asset is not materialized yet
        return False


class Content(NamedTuple):
    """The messages of a row and the columns that describe them."""

    messages: list[Message]
    licence: str
    domain: str
    language: str


def read_content(views: duckdb.DuckDBPyConnection, row_id: str) -> Content | None:
    """Return the content of a row, from the first asset that holds it; `None` if no asset does."""
    have = [asset for (asset,) in _rows(views, "select table_name from information_schema.tables order by 1")]
    chat = [asset for asset in have if asset.startswith(("conversed", "diagnosed", "answered", "evolved"))]
    for asset in ("deduped", "raw_pool", "synthesized_from_text", *chat):
        if asset in have:
            query = f"select messages, licence, domain, language from {asset} where row_id = ? limit 1"
            for row in _rows(views, query, row_id):
                return Content(*row)
    return None


def content_lines(views: duckdb.DuckDBPyConnection, row_id: str) -> list[str]:
    """Return a shortened line per turn of a row, and a line with its domain, language and license."""
    row = read_content(views, row_id)
    if row is None:
        return []
    turns = [f"  {turn['role']:<9} {_short(turn['content'], 160)}" for turn in row.messages]
    return [*turns, f"  is        {row.domain}, {row.language}, licence {row.licence}"]


def _origins(views: duckdb.DuckDBPyConnection, row_id: str) -> list[str]:
    query = "select source, file, position, licence from origins where row_id = ? order by all"
    lines = [
        f"  read      from source {source}, {file}, record {position} ({licence})"
        for source, file, position, licence in _rows(views, query, row_id)
    ]
    return _first(lines, f"  read      from {len(lines) - _ALIKE:,} more records")


def _path(views: duckdb.DuckDBPyConnection, row_id: str, order: list[str]) -> list[str]:
    """Return lines about the decisions on a row and its model calls, in the order of the graph.

    The call that wrote a row is listed with its parent.
    """
    decisions = _rows(
        views,
        "select asset, verdict, reason, detail::varchar, source, file, position from decisions where row_id = ? "
        "order by all",
        row_id,
    )
    calls = _rows(
        views,
        """
        with call as (
            select asset, prompt, model, kind, request_key, any_value(prompt_tokens) as asked,
                any_value(completion_tokens) as written, any_value(error) as error
            from generations where row_id = ? group by asset, prompt, model, kind, request_key
        )
        select asset, prompt, model, kind, sum(asked), sum(written), error, list(request_key order by request_key)
        from call group by asset, prompt, model, kind, error order by asset, prompt, model, kind, error
        """,
        row_id,
    )
    places = {asset: place for place, asset in enumerate(order)}
    events, alike = [], dict[tuple[str, str, str], list[str]]()
    for asset, verdict, reason, detail, source, file, position in decisions:
        where = f" ({source}, {file}, record {position})" if file is not None else ""
        alike.setdefault((asset, verdict, reason), []).append(
            f"  {verdict:<9} in {asset}: {reason}{where}{_detail(detail)}"
        )
    for (asset, verdict, reason), lines in alike.items():
        shown = _first(lines, f"  {verdict:<9} in {asset}: {reason} ({len(lines) - _ALIKE:,} more records)")
        events.append((asset, 1, shown))
    for asset, prompt, model, kind, asked, written, error, keys in calls:
        outcome = f"failed: {error}" if error else f"{asked} tokens read, {written} written"
        listed = ", ".join(key[:12] for key in keys)
        which = f"key {listed}" if len(keys) == 1 else f"{len(keys)} calls, keys {listed}"
        events.append((asset, 0, [f"  {kind:<9} in {asset}: prompt {prompt}, {model}, {outcome}, {which}"]))
    events.sort(key=lambda event: (places.get(event[0], len(order)), *event[1:]))
    return [line for _, _, lines in events for line in lines]


def _first(lines: list[str], more: str) -> list[str]:
    """Return the lines; if there are more than `_ALIKE`, only the first ones and then `more`."""
    return lines if len(lines) <= _ALIKE else [*lines[:_ALIKE], more]


def _detail(detail: str | None) -> str:
    values: dict[str, Any] = {k: v for k, v in json.loads(detail or "{}").items() if v is not None}
    return ": " + ", ".join(f"{k} {_short(v, 120)}" for k, v in values.items()) if values else ""


def _short(value: Any, most: int) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"
