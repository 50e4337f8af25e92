"""The report of the arena: one HTML file with inline SVG and no external resources, JSON, and a terminal table."""

import json
from collections.abc import Mapping, Sequence
from html import escape

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from infinity_assets.report.numbers import money, number
from infinity_assets.selection.arena import RECIPE, Arena
from infinity_assets.selection.selectors import SELECTORS

_COLORS = ("#4f43dd", "#e0873a", "#2a9d8f", "#c8375b", "#8a6fd1", "#6b8f3c", "#3b82c4", "#b5892b", "#7d7d7d")
_PARTS = 8
"""Values that a stacked bar shows by name; the others are summed up."""

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

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}p{max-width:46rem}
table{border-collapse:collapse;font-size:13px}th,td{padding:3px 9px;text-align:right;border-bottom:1px solid #e5e5e5}
th:first-child,td:first-child,td.text,th.text{text-align:left}th{font-weight:600;vertical-align:bottom}
svg{display:block;max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#222}.scroll{overflow-x:auto}
.key{font-size:12px;margin:.3rem 0 .8rem}
.key i{display:inline-block;width:11px;height:11px;margin:0 4px 0 12px;border-radius:2px}
"""


def page(arena: Arena, selectors: Sequence[str], columns: pl.DataFrame, notes: Sequence[str]) -> str:
    """Return the HTML page.

    Args:
        arena: The result.
        selectors: The contestants, in display order.
        columns: The columns that they need, from `arena.scarcity`.
        notes: Sentences about the choice of the rows shown to the selectors.
    """
    parts = [
        f"<h1>Selector arena: {arena.size:,} of {arena.rows:,} rows</h1>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        "<h2>Side by side</h2>",
        _summary(arena.summary),
        "<p>Label coverage: share of the labels of all rows shown that occur in the selection. Near-duplicates inside: "
        "share of the selection whose prompt is closer to another prompt than <code>foundation.max_similarity</code>. "
        "Proximity: mean cosine of a prompt and its nearest benchmark item. Calls, tokens and cost: model calls for "
        "the scores that a selector reads, for all rows shown, in whichever run they were made.</p>",
        "<h2>Overlap</h2><p>Jaccard similarity of two selections: rows in both, as a share of rows in either.</p>",
        _heatmap(arena.overlap, selectors),
        *(
            f"<h2>{title}</h2>"
            + _stacked(arena.mix.filter(column=column), ["pool", *selectors], by_size=column != "length")
            for column, title in (
                ("domain", "Domains"),
                ("source", "Sources"),
                ("language", "Languages"),
                ("length", "Length of the answer"),
            )
        ),
        "<h2>Reach of the benchmarks</h2><p>Reach: mean cosine of the benchmark items of a domain and their nearest "
        "row in the selection. High reach with few rows of the domain means that few rows cover it well.</p>",
        _grouped(arena.reach, selectors),
        "<h2>Rows not selected</h2>",
        _table(arena.reasons.with_columns(pl.col("reason").str.replace_all("_", " ")), text=2),
        *(["<h2>Columns that the selectors need</h2>", _table(columns, text=1)] if columns.height else []),
        "<h2>The selectors</h2>",
        _table(_described(selectors), text=4),
    ]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Selector arena</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def as_json(arena: Arena, columns: pl.DataFrame) -> str:
    """Return all tables except the selected rows, as JSON."""
    tables = {name: getattr(arena, name).to_dicts() for name in ("summary", "overlap", "mix", "reach", "reasons")}
    return json.dumps(
        {"size": arena.size, "rows": arena.rows, "needed": columns.to_dicts(), **tables}, indent=1, ensure_ascii=False
    )


def terminal_table(arena: Arena) -> Table:
    """Return the summary as a table for the terminal."""
    shown = Table(
        title=f"{arena.size:,} of {arena.rows:,} rows each",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    titles, lines = _cells(arena.summary)
    for place, title in enumerate(titles):
        shown.add_column(title, justify="right" if place else "left", no_wrap=not place)
    for line in lines:
        shown.add_row(*line)
    return shown


def _cells(summary: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    # Columns of zeros are left out, such as the cost if no price is set.
    measures = [
        c
        for c in summary.columns
        if c in _MEASURES and (c in ("rows", "calls") or summary[c].fill_null(0).cast(pl.Float64).ne(0).any())
    ]
    scores = [c for c in summary.columns if c.startswith("proxy ")]
    lines = [
        [
            row["selector"],
            *("" if row[c] is None else _MEASURES[c][1](row[c]) for c in measures),
            *("" if row[c] is None else f"{row[c]:.1%}" for c in scores),
        ]
        for row in summary.iter_rows(named=True)
    ]
    return ["selector", *(_MEASURES[c][0] for c in measures), *scores], lines


def _summary(summary: pl.DataFrame) -> str:
    titles, lines = _cells(summary)
    return _html(titles, lines, text=1)


def _described(selectors: Sequence[str]) -> pl.DataFrame:
    lines = [
        (name, known.about, known.source, ", ".join(f"foundation.{setting}" for setting in known.settings))
        if (known := SELECTORS.get(name))
        else (
            name,
            "The recipe for F: per domain its selectors, a diversity filter and a quota.",
            "Infinity Instruct, arXiv 2506.11116",
            "foundation.recipe",
        )
        for name in selectors
        if name in SELECTORS or name == RECIPE
    ]
    return pl.DataFrame(lines, schema=["selector", "what it does", "source", "settings"], orient="row")


def _table(frame: pl.DataFrame, text: int) -> str:
    lines = [
        ["" if v is None else f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in frame.iter_rows()
    ]
    kinds = [not frame.schema[c].is_numeric() for c in frame.columns]
    return _html(list(frame.columns), lines, text, kinds)


def _html(titles: list[str], lines: list[list[str]], text: int, kinds: Sequence[bool] | None = None) -> str:
    as_text = kinds or [place < text for place in range(len(titles))]

    def line(cells: Sequence[str], tag: str) -> str:
        marked = (
            f"<{tag}{' class=text' if as_text[place] else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )
        return f"<tr>{''.join(marked)}</tr>"

    return f"<div class=scroll><table>{line(titles, 'th')}{''.join(line(cells, 'td') for cells in lines)}</table></div>"


def _heatmap(overlap: pl.DataFrame, selectors: Sequence[str]) -> str:
    cell = 64
    left = 96
    top = 22
    jaccard = {(one, other): value for one, other, _, value in overlap.iter_rows()}
    drawn = []
    for column, name in enumerate(selectors):
        drawn.append(
            f"<text x='{left + column * cell + cell / 2}' y='{top - 7}' text-anchor='middle'>{escape(name)}</text>"
        )
        drawn.append(f"<text x='{left - 8}' y='{top + column * 34 + 22}' text-anchor='end'>{escape(name)}</text>")
    for row, one in enumerate(selectors):
        for column, other in enumerate(selectors):
            value = jaccard[one, other]
            shade = 0.0 if value is None else value
            label = "" if value is None else f"{value:.2f}"
            ink = "#fff" if shade > 0.55 else "#222"
            drawn.append(
                f"<rect x='{left + column * cell}' y='{top + row * 34}' width='{cell - 2}' height='32' fill='#4f43dd' "
                f"fill-opacity='{0.05 + 0.95 * shade:.3f}'/>"
                f"<text x='{left + column * cell + cell / 2 - 1}' y='{top + row * 34 + 21}' text-anchor='middle' "
                f"style='fill:{ink}'>{label}</text>"
            )
    return _svg(left + cell * len(selectors), top + 34 * len(selectors), "".join(drawn), "overlap of the selections")


def _stacked(mix: pl.DataFrame, names: Sequence[str], *, by_size: bool) -> str:
    """Draw a bar per selection, divided by value: the largest values first, or in the order of their numbers."""
    weight = mix.group_by("value").agg(pl.col("share").mean()).drop_nulls("value")
    values = (
        weight.sort(pl.col("share") * -1, "value")["value"].to_list()
        if by_size
        else _in_order(weight["value"].to_list())
    )
    shown = values[:_PARTS]
    share = {(name, value): part for name, value, part in mix.select("selector", "value", "share").iter_rows()}
    left = 96
    width = 820
    height = 24
    drawn = []
    for row, name in enumerate(names):
        drawn.append(f"<text x='{left - 8}' y='{row * height + 15}' text-anchor='end'>{escape(name)}</text>")
        at = 0.0
        for place, value in enumerate(shown):
            part = share.get((name, value), 0.0)
            drawn.append(
                _piece(left + at * width, row * height, part * width, _COLORS[place], f"{name}: {value} {part:.1%}")
            )
            at += part
        rest = sum(part for (whose, _), part in share.items() if whose == name) - at
        if rest > 1e-9:
            drawn.append(_piece(left + at * width, row * height, rest * width, "#ccc", f"{name}: others {rest:.1%}"))
    key = "".join(
        f"<span><i style='background:{_COLORS[place]}'></i>{escape(str(value))}</span>"
        for place, value in enumerate(shown)
    )
    others = "<span><i style='background:#ccc'></i>others</span>" if len(values) > _PARTS else ""
    return _svg(left + width, height * len(names), "".join(drawn), "shares") + f"<div class=key>{key}{others}</div>"


def _in_order(values: Sequence[str]) -> list[str]:
    return sorted(values, key=lambda value: int(value.split(" ")[0].replace(",", "")))


def _piece(x: float, y: float, width: float, color: str, title: str) -> str:
    share = title.rsplit(" ", 1)[-1]
    label = (
        f"<text x='{x + width / 2:.1f}' y='{y + 15}' text-anchor='middle' "
        f"style='fill:#fff;font-size:11px'>{share}</text>"
        if width > 44
        else ""
    )
    return (
        f"<g><title>{escape(title)}</title>"
        f"<rect x='{x:.1f}' y='{y + 1}' width='{max(width, 0):.1f}' height='20' fill='{color}'/>{label}</g>"
    )


def _grouped(reach: pl.DataFrame, selectors: Sequence[str]) -> str:
    """Draw bars of the reach, grouped by domain of benchmarks."""
    values: Mapping[tuple[str, str], float | None] = {
        (s, d): r for s, d, r in reach.select("selector", "domain", "reach").iter_rows()
    }
    domains = sorted({domain for _, domain in values})
    left = 96
    width = 560
    height = 17
    gap = 16
    drawn = []
    y = 0
    for domain in domains:
        drawn.append(
            f"<text x='{left - 8}' y='{y + height * len(selectors) / 2 + 4}' text-anchor='end' style='font-weight:600'>"
            f"{escape(domain)}</text>"
        )
        for place, name in enumerate(selectors):
            value = values.get((name, domain)) or 0.0
            drawn.append(
                f"<rect x='{left}' y='{y + 1}' width='{max(value, 0) * width:.1f}' height='{height - 3}' "
                f"fill='{_COLORS[place % len(_COLORS)]}'/>"
                f"<text x='{left + max(value, 0) * width + 6:.1f}' y='{y + 12}'>{escape(name)} {value:.3f}</text>"
            )
            y += height
        y += gap
    return _svg(left + width + 160, y, "".join(drawn), "reach by domain")


def _svg(width: float, height: float, inside: str, title: str) -> str:
    return (
        f"<div class=scroll><svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' role='img' aria-label='{title}'>{inside}</svg></div>"
    )
