"""A preview of a source on the terminal: what each file is, rows as they would become, and the lines that would make the rest fit."""

import json
from collections import Counter
from itertools import groupby

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infinity_assets.reading.preview import Dropped, Example, FileSeen, Preview, Unknown

_COLOURS = {"system": "magenta", "user": "cyan", "assistant": "green"}

_LONGEST_TEXT = 600
"""Characters of a turn that are shown: two thirds from its beginning, one from its end."""

_ONE_BY_ONE = 12
"""Files up to which each has its line; more are put together where they are alike."""

_LISTED = 8
"""Lines of what is left out, shapes of one kind, annotations of a row."""


def show(preview: Preview, console: Console) -> None:
    """Print a preview."""
    said = preview.source
    _say(console, f"{said.name}  {said.path}", style="bold")
    told = [f"licence {said.licence}", f"layout {said.layout}" if said.layout else "layout by keys"]
    told += [f"fields {', '.join(said.fields)}"] if said.fields else []
    _say(console, f"{', '.join(told)}, {said.domain or 'domain by rule'}, {said.language or 'language by rule'}")
    if preview.files:
        console.print(_files(preview.files))
    _say(console, _counted(preview))
    for archive in preview.more_in:
        _say(console, f"Of the files in {archive} only the first were looked at (--all for all).")
    _left_out(preview.left_out, console)
    for example in preview.examples:
        console.print(_example(example))
    fitting = preview.rows > 0
    for unknown in preview.unknown:
        _unknown(unknown, fitting, console)
    others = [one for one in preview.dropped if one.reason != "unknown_layout"]
    if others:
        console.print(_dropped(others))


def show_lines(lines: str, console: Console) -> None:
    """Print the lines of a `source.yaml` so that they can be copied: nothing beside them, none of them broken."""
    _say(console, "")
    for line in lines.splitlines():
        _say(console, line, style="yellow")
    _say(console, "")


def _say(console: Console, text: str, style: str = "") -> None:
    """Print text as it is: no markup in it, none of its lines broken."""
    console.print(Text(_plain(text), style=style), soft_wrap=True)


def _files(files: list[FileSeen]) -> Table:
    shown = Table(show_edge=False, pad_edge=False)
    shown.add_column("file", overflow="fold")
    shown.add_column("container")
    shown.add_column("layout")
    for column in ("records", "rows"):
        shown.add_column(column, justify="right")
    shown.add_column("repaired")
    shown.add_column("dropped")
    for alike in _alike(files):
        name = alike[0].file if len(alike) == 1 else f"{alike[0].file} and {len(alike) - 1:,} more"
        whole = all(one.whole for one in alike)
        records, rows = (sum(getattr(one, column) for one in alike) for column in ("records", "rows"))
        layouts, repaired, dropped = (
            _tallied([getattr(one, column) for one in alike]) for column in ("layouts", "repaired", "dropped")
        )
        cells = (
            name,
            alike[0].container,
            layouts,
            f"{'' if whole else 'first '}{records:,}",
            f"{rows:,}",
            repaired,
            dropped,
        )
        shown.add_row(*(Text(_plain(cell)) for cell in cells))
    return shown


def _alike(files: list[FileSeen]) -> list[list[FileSeen]]:
    """The files one by one; where they are many, together with those of which the same is to be said."""
    if len(files) <= _ONE_BY_ONE:
        return [[file] for file in files]

    def kind(file: FileSeen) -> tuple:
        return file.container, sorted(file.layouts), sorted(file.repaired), sorted(file.dropped)

    return [list(alike) for _, alike in groupby(sorted(files, key=kind), key=kind)]


def _tallied(counters: list[Counter[str]]) -> str:
    counts: Counter[str] = sum(counters, Counter())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(f"{name} {count:,}" for name, count in ordered)


def _counted(preview: Preview) -> str:
    partly = preview.looked_at < preview.there
    where = f"{preview.looked_at:,} of {preview.there:,} files were looked at, spread from the first to the last (--all for all)"
    where = where if partly else f"{preview.there:,} {'file' if preview.there == 1 else 'files'}"
    return (
        f"{where}: {preview.records:,} records read, {preview.rows:,} rows, {preview.records - preview.rows:,} dropped."
    )


def _left_out(left_out: dict[str, str], console: Console) -> None:
    if not left_out:
        return
    _say(console, f"Not read: {len(left_out):,}", style="bold")
    reasons: dict[str, list[str]] = {}
    for file, why in left_out.items():
        reasons.setdefault(why, []).append(file)
    for why, files in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(files) - _LISTED:,} more" if len(files) > _LISTED else ""
        _say(console, f"  {', '.join(files[:_LISTED])}{more}: {why}")


def _example(example: Example) -> RenderableType:
    turns = Table.grid(padding=(0, 1))
    turns.add_column(no_wrap=True)
    turns.add_column(overflow="fold")
    for message in example.messages:
        colour = _COLOURS.get(message["role"], "")
        turns.add_row(
            Text(message["role"], style=f"bold {colour}"), Text(_plain(_shortened(message["content"])), style=colour)
        )
    for number, (name, value) in enumerate(example.kept.items()):
        if number == _LISTED:
            turns.add_row(Text(f"{len(example.kept) - _LISTED:,} more", style="dim"), "")
            break
        turns.add_row(Text(_plain(name), style="dim"), Text(_plain(_shortened(value)), style="dim"))
    about = [example.layout, example.kind, example.licence, example.domain, example.language]
    about += [f"repaired: {example.repair}"] if example.repair else []
    return Panel(
        turns,
        title=Text(_plain(f"{example.file} · {example.position:,}")),
        subtitle=Text(_plain(" · ".join(filter(None, about)))),
        title_align="left",
        subtitle_align="left",
    )


def _unknown(unknown: Unknown, others_fit: bool, console: Console) -> None:
    records = sum(unknown.shapes.values())
    _say(console, "")
    _say(console, f"{records:,} records in no known layout, in {_listed(unknown.files)}", style="bold red")
    for shown, count in list(unknown.shapes.items())[:_LISTED]:
        _say(console, f"  {count:>7,}  {shown}")
    if len(unknown.shapes) > _LISTED:
        _say(console, f"  and {len(unknown.shapes) - _LISTED:,} shapes more")
    _say(console, f"  the first: {_shortened(unknown.example)}", style="dim")
    if unknown.fit:
        _say(
            console,
            f"These lines in source.yaml would make {'them' if unknown.fit == unknown.tried else f'{unknown.fit} of {unknown.tried}'} fit:",
        )
    else:
        _say(console, "Lines for source.yaml to go on from:")
    show_lines(unknown.lines, console)
    if others_fit and unknown.fit:
        globs = f"[{', '.join(json.dumps(file, ensure_ascii=False) for file in unknown.files[:3])}{', …' if len(unknown.files) > 3 else ''}]"
        _say(
            console,
            "Such lines hold for every record of a source, and others of this one fit as they are: give these files a source of",
        )
        _say(console, f"their own, with `include: {globs}` beside those lines, and `exclude` them here.")


def _listed(files: list[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3:,} files more" if len(files) > 3 else "")


def _dropped(dropped: list[Dropped]) -> Table:
    shown = Table(
        title="Dropped, with the first record of each reason", title_justify="left", show_edge=False, pad_edge=False
    )
    shown.add_column("reason", no_wrap=True)
    shown.add_column("records", justify="right")
    shown.add_column("file and position", overflow="fold")
    shown.add_column("what was said", overflow="fold")
    shown.add_column("record", overflow="fold")
    for one in dropped:
        place = f"{one.file} · {one.position:,}"
        cells = (one.reason, f"{one.records:,}", place, _shortened(one.message or "", 120), _shortened(one.raw, 160))
        shown.add_row(*(Text(_plain(cell)) for cell in cells))
    return shown


def _shortened(text: str, most: int = _LONGEST_TEXT) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= most:
        return text
    first, last = most * 2 // 3, most // 3
    return f"{text[:first]} […{len(text) - first - last:,} characters…] {text[-last:]}"


def _plain(text: str) -> str:
    """The text without characters that a terminal would obey: they come from the data of others."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
