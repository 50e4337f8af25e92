"""The report of the arena: a self-contained HTML page with inline SVG, JSON, and a table for the terminal."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from infinity_assets.report.numbers import money, number
from infinity_assets.report.terminal import frame_table
from infinity_assets.selection.arena import RECIPE, Arena
from infinity_assets.selection.selectors import SELECTORS

_COLORS = ("#4f43dd", "#e0873a", "#2a9d8f", "#c8375b", "#8a6fd1", "#6b8f3c", "#3b82c4", "#b5892b", "#7d7d7d")
_GRAY = "#ccc"
_LEFT = 96
"""Width of the labels to the left of a chart, in pixels."""
_PARTS = 8
"""Maximum number of named parts of a stacked bar. The others are added up."""
_MIXES = {"domain": "Domains", "source": "Sources", "language": "Languages", "length": "Length of the answer"}

RECIPE_ABOUT = "The recipe for F: per domain its selectors, a diversity filter and a quota."

_MEASURES = {
    "rows": ("rows", number),
    "label_coverage": ("label coverage", lambda v: f"{v:.1%}"),
    "labels_per_row": ("labels per row", lambda v: f"{v:.2f}"),
    "median_answer_chars": ("median answer, characters", number),
    "near_duplicates": ("near-duplicates inside", lambda v: f"{v:.1%}"),
    "proximity": ("proximity to benchmarks", lambda v: f"{v:.3f}"),
    "calls": ("model calls", number),
    "tokens": ("tokens", number),
    "cost": ("cost", money),
}


def page(arena: Arena, selectors: Sequence[str], columns: pl.DataFrame, notes: Sequence[str]) -> str:
    """Return the HTML page of a comparison.

    Args:
        selectors: Names of the selectors, in display order.
        columns: The columns that the selectors require, from `arena.scarcity`.
        notes: Sentences about the rows that the selectors chose from.
    """
    style = Path(__file__).with_name("arena.css").read_text(encoding="utf-8")
    titles, lines = _cells(arena.summary)
    parts = [
        f"<h1>Selector arena: {arena.size:,} of {arena.rows:,} rows</h1>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        "<h2>Side by side</h2>",
        _html(titles, lines, [True, *[False] * (len(titles) - 1)]),
        "<p>Label coverage: share of the labels of all rows shown that occur in the selection. Near-duplicates inside: "
        "share of the selection whose prompt is closer to another prompt than <code>foundation.max_similarity</code>. "
        "Proximity: mean cosine of a prompt and its nearest benchmark item. Calls, tokens and cost: model calls for "
        "the scores that a selector reads, for all rows shown, in whichever run they were made.</p>",
        "<h2>Overlap</h2><p>Jaccard similarity of two selections: rows in both, as a share of rows in either.</p>",
        _heatmap(arena.overlap, selectors),
        *(
            f"<h2>{title}</h2>"
            + _stacked(arena.mix.filter(column=column), ["pool", *selectors], by_size=column != "length")
            for column, title in _MIXES.items()
        ),
        "<h2>Reach of the benchmarks</h2><p>Reach: mean cosine of the benchmark items of a domain and their nearest "
        "row in the selection. High reach with few rows of the domain means that few rows cover it well.</p>",
        _grouped(arena.reach, selectors),
        "<h2>Rows not selected</h2>",
        _table(arena.reasons.with_columns(pl.col("reason").str.replace_all("_", " "))),
        *(["<h2>Columns that the selectors need</h2>", _table(columns)] if columns.height else []),
        "<h2>The selectors</h2>",
        _table(_described(selectors)),
    ]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Selector arena</title>"
        f"<style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def as_json(arena: Arena, columns: pl.DataFrame) -> str:
    """Return the tables of a comparison as JSON, without the selected rows."""
    tables = {name: getattr(arena, name).to_dicts() for name in ("summary", "overlap", "mix", "reach", "reasons")}
    return json.dumps(
        {"size": arena.size, "rows": arena.rows, "needed": columns.to_dicts(), **tables}, indent=1, ensure_ascii=False
    )


def terminal_table(arena: Arena) -> Table:
    """Return the summary of a comparison as a table for the terminal."""
    titles, lines = _cells(arena.summary)
    cells = pl.DataFrame(lines, schema=dict.fromkeys(titles, pl.String), orient="row")
    shown = frame_table(f"{arena.size:,} of {arena.rows:,} rows each", cells, right=titles[1:])
    shown.box = SIMPLE_HEAD
    return shown


def _cells(summary: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return column titles and lines of cells. Columns with only zeros (the cost without prices) are left out."""

    def is_shown(name: str) -> bool:
        return name in ("rows", "calls") or bool(summary[name].fill_null(0).cast(pl.Float64).ne(0).any())

    measures = {name: _MEASURES[name] for name in summary.columns if name in _MEASURES and is_shown(name)}
    measures |= {name: (name, "{:.1%}".format) for name in summary.columns if name.startswith("proxy ")}
    lines = [
        [row["selector"], *("" if row[name] is None else show(row[name]) for name, (_, show) in measures.items())]
        for row in summary.iter_rows(named=True)
    ]
    return ["selector", *(title for title, _ in measures.values())], lines


def _described(selectors: Sequence[str]) -> pl.DataFrame:
    lines = []
    for name in selectors:
        if known := SELECTORS.get(name):
            settings = ", ".join(f"foundation.{setting}" for setting in known.settings)
            lines.append((name, known.about, known.source, settings))
        elif name == RECIPE:
            lines.append((name, RECIPE_ABOUT, "Infinity Instruct, arXiv 2506.11116", "foundation.recipe"))
    return pl.DataFrame(lines, schema=["selector", "what it does", "source", "settings"], orient="row")


def _table(frame: pl.DataFrame) -> str:
    lines = [
        ["" if v is None else f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in frame.iter_rows()
    ]
    return _html(frame.columns, lines, [not dtype.is_numeric() for dtype in frame.dtypes])


def _html(titles: Sequence[str], lines: Sequence[Sequence[str]], as_text: Sequence[bool]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        marked = (
            f"<{tag}{' class=text' if text else ''}>{escape(cell)}</{tag}>"
            for cell, text in zip(cells, as_text, strict=True)
        )
        return f"<tr>{''.join(marked)}</tr>"

    return f"<div class=scroll><table>{line(titles, 'th')}{''.join(line(cells, 'td') for cells in lines)}</table></div>"


def _text(x: float, y: float, text: str, anchor: str = "end", style: str = "") -> str:
    styled = f" style='{style}'" if style else ""
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'{styled}>{escape(text)}</text>"


def _rectangle(x: float, y: float, width: float, height: float, color: str, opacity: float = 1.0) -> str:
    return (
        f"<rect x='{x:.1f}' y='{y}' width='{max(width, 0):.1f}' height='{height}' fill='{color}' "
        f"fill-opacity='{opacity:.3f}'/>"
    )


def _heatmap(overlap: pl.DataFrame, selectors: Sequence[str]) -> str:
    cell, height, top = 64, 34, 22
    jaccard = {(one, other): value for one, other, _, value in overlap.iter_rows()}
    drawn = ""
    for place, name in enumerate(selectors):
        drawn += _text(_LEFT + place * cell + cell / 2, top - 7, name, "middle")
        drawn += _text(_LEFT - 8, top + place * height + 22, name)
    for row, one in enumerate(selectors):
        for column, other in enumerate(selectors):
            value = jaccard[one, other]
            x, y, shade = _LEFT + column * cell, top + row * height, value or 0.0
            ink = "#fff" if shade > 0.55 else "#222"
            label = "" if value is None else f"{value:.2f}"
            drawn += _rectangle(x, y, cell - 2, 32, "#4f43dd", 0.05 + 0.95 * shade)
            drawn += _text(x + cell / 2 - 1, y + 21, label, "middle", f"fill:{ink}")
    return _svg(_LEFT + cell * len(selectors), top + height * len(selectors), drawn, "overlap of the selections")


def _stacked(mix: pl.DataFrame, names: Sequence[str], *, by_size: bool) -> str:
    """Draw a stacked bar per selection, with a part per value: sorted by mean share, or by the number in the value."""
    weight = mix.group_by("value").agg(pl.col("share").mean()).drop_nulls("value")
    values = weight.sort(pl.col("share") * -1, "value")["value"].to_list()
    if not by_size:
        values.sort(key=lambda value: int(value.split(" ")[0].replace(",", "")))
    shown = dict(zip(values, _COLORS[:_PARTS], strict=False))
    share = {(name, value): part for name, value, part in mix.select("selector", "value", "share").iter_rows()}
    width, height = 820, 24
    drawn = ""
    for row, name in enumerate(names):
        drawn += _text(_LEFT - 8, row * height + 15, name)
        parts = {value: share.get((name, value), 0.0) for value in shown}
        parts["others"] = sum(part for (whose, _), part in share.items() if whose == name) - sum(parts.values())
        at = float(_LEFT)
        for value, part in parts.items():
            if value == "others" and part <= 1e-9:
                continue
            drawn += f"<g><title>{escape(f'{name}: {value} {part:.1%}')}</title>"
            drawn += _rectangle(at, row * height + 1, part * width, 20, shown.get(value, _GRAY))
            if part * width > 44:
                middle = at + part * width / 2
                drawn += _text(middle, row * height + 15, f"{part:.1%}", "middle", "fill:#fff;font-size:11px")
            drawn += "</g>"
            at += part * width
    colors = {**shown, **({"others": _GRAY} if len(values) > _PARTS else {})}
    marks = (f"<i style='background:{color}'></i>{escape(str(value))}" for value, color in colors.items())
    key = "".join(f"<span>{mark}</span>" for mark in marks)
    return _svg(_LEFT + width, height * len(names), drawn, "shares") + f"<div class=key>{key}</div>"


def _grouped(reach: pl.DataFrame, selectors: Sequence[str]) -> str:
    """Draw one bar of the reach per selector, grouped by the domain of the benchmarks."""
    values = {(name, domain): value for name, domain, value in reach.select("selector", "domain", "reach").iter_rows()}
    width, height, gap = 560, 17, 16
    drawn, y = "", 0
    for domain in sorted({domain for _, domain in values}):
        drawn += _text(_LEFT - 8, y + height * len(selectors) / 2 + 4, domain, style="font-weight:600")
        for place, name in enumerate(selectors):
            value = values.get((name, domain)) or 0.0
            length = max(value, 0) * width
            drawn += _rectangle(_LEFT, y + 1, length, height - 3, _COLORS[place % len(_COLORS)])
            drawn += _text(_LEFT + length + 6, y + 12, f"{name} {value:.3f}", "start")
            y += height
        y += gap
    return _svg(_LEFT + width + 160, y, drawn, "reach by domain")


def _svg(width: float, height: float, inside: str, title: str) -> str:
    return (
        f"<div class=scroll><svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' role='img' aria-label='{title}'>{inside}</svg></div>"
    )
