"""Preview of a source on the terminal: files, sample rows, and `source.yaml` lines for records of unknown layout."""

import json
from collections import Counter
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infinity_assets.reading.guess import Guess
from infinity_assets.reading.preview import Dropped, Example, FileSeen, Preview, Unknown
from infinity_assets.reading.suggest import format_lines
from infinity_assets.rows.grammar import Message

_COLORS = {"system": "magenta", "user": "cyan", "assistant": "green"}

_LONGEST_TEXT = 600
"""Maximum number of characters of a turn to show: two thirds from its beginning, one third from its end."""

_ONE_BY_ONE = 12
"""Maximum number of files to list one by one. If there are more, similar files share a line."""

_UNREAD = 20
"""Maximum number of unread keys to list."""

_LISTED = 8
"""Maximum number of skipped files per reason, shapes of records, and annotations of a row to list."""


def show(preview: Preview, console: Console) -> None:
    """Print a preview."""
    source = preview.source
    _say(console, f"{source.name}  {source.path}", style="bold")
    settings = [f"licence {source.licence}", f"layout {source.layout}" if source.layout else "layout by keys"]
    settings += [f"fields {', '.join(source.fields)}"] if source.fields else []
    settings += [source.domain or "domain by rule", source.language or "language by rule"]
    _say(console, ", ".join(settings))
    if preview.files:
        console.print(_files(preview.files))
    _say(console, _counted(preview))
    for archive in preview.more_in:
        _say(console, f"Only the first files in {archive} were read (--all for all).")
    for name, path in preview.unfound.items():
        _say(console, f"`{name}: {path}` has no effect: no record read has that path.", style="bold red")
    _left_out(preview.left_out, console)
    if preview.guess:
        _guess(preview.guess, preview.guess_applied, console)
    for example in preview.examples:
        console.print(_example(example))
    if preview.unread:
        console.print(_unread(preview.unread))
    for unknown in preview.unknown:
        guessed = preview.guess is not None and unknown.rows == preview.guess.rows
        _unknown(unknown, preview.rows > 0, guessed, console)
    others = [one for one in preview.dropped if one.reason != "unknown_layout"]
    if others:
        console.print(_dropped(others))


def show_lines(lines: str, console: Console) -> None:
    """Print lines of a `source.yaml` without frame or line breaks, so that they can be copied."""
    _say(console, "")
    for line in lines.splitlines():
        _say(console, line, style="yellow")
    _say(console, "")


def _say(console: Console, text: str, style: str = "") -> None:
    """Print text as it is, without markup; long lines are not wrapped."""
    console.print(Text(_plain(text), style=style), soft_wrap=True)


def show_row(messages: list[Message], title: str, console: Console) -> None:
    """Print the messages of a row in a frame."""
    console.print(Panel(_turns(messages), title=title, title_align="left"))


def _files(files: list[FileSeen]) -> Table:
    shown = _open_table("file", "container", "layout", ">records", ">rows", "repaired", "dropped")
    for alike in _alike(files):
        name = alike[0].file if len(alike) == 1 else f"{alike[0].file} and {len(alike) - 1:,} more"
        first = "" if all(one.whole for one in alike) else "first "
        records, rows = (sum(getattr(one, column) for one in alike) for column in ("records", "rows"))
        layouts, repaired, dropped = (
            _tallied([getattr(one, column) for one in alike]) for column in ("layouts", "repaired", "dropped")
        )
        cells = (name, alike[0].container, layouts, f"{first}{records:,}", f"{rows:,}", repaired, dropped)
        shown.add_row(*(Text(_plain(cell)) for cell in cells))
    return shown


def _open_table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table. A column whose name begins with `>` is aligned right, without the `>`."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    return table


def _alike(files: list[FileSeen]) -> list[list[FileSeen]]:
    """Return groups of similar files if there are many files, or else one group per file."""
    if len(files) <= _ONE_BY_ONE:
        return [[file] for file in files]

    def kind(file: FileSeen) -> tuple:
        return file.container, sorted(file.layouts), sorted(file.repaired), sorted(file.dropped)

    return [list(alike) for _, alike in groupby(sorted(files, key=kind), key=kind)]


def _tallied(counters: list[Counter[str]]) -> str:
    counts = sorted(sum(counters, Counter[str]()).items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(f"{name} {count:,}" for name, count in counts)


def _counted(preview: Preview) -> str:
    files = f"{preview.there:,} {'file' if preview.there == 1 else 'files'}"
    if preview.looked_at < preview.there:
        files = f"{preview.looked_at:,} of {preview.there:,} files, spread from the first to the last (--all for all)"
    return (
        f"{files}: {preview.records:,} records read, {preview.rows:,} rows, {preview.records - preview.rows:,} dropped."
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


def _turns(messages: list[Message]) -> Table:
    turns = Table.grid(padding=(0, 1))
    turns.add_column(no_wrap=True)
    turns.add_column(overflow="fold")
    for message in messages:
        color = _COLORS.get(message["role"], "")
        content = Text(_plain(_shortened(message["content"])), style=color)
        turns.add_row(Text(message["role"], style=f"bold {color}"), content)
    return turns


def _guess(guess: Guess, applied: bool, console: Console) -> None:
    fields = ", ".join(f"{name}: {path}" for name, path in guess.mapping.fields.items())
    use = "are read by a guess" if applied else "could be read by a guess, which is not applied"
    _say(console, f"Records of unknown layout {use}; confidence {guess.confidence:.0%}: {fields}", style="bold")
    for number, messages in enumerate(guess.rows, 1):
        show_row(messages, f"Row {number} of {len(guess.rows)} by the guess", console)
    if applied:
        _say(console, "These lines in source.yaml confirm it; `ingest.guess: off` in infinity.yaml prevents guesses.")
        show_lines(format_lines(guess.mapping), console)


def _example(example: Example) -> Panel:
    turns = _turns(example.messages)
    for name, value in list(example.kept.items())[:_LISTED]:
        turns.add_row(Text(_plain(name), style="dim"), Text(_plain(_shortened(value)), style="dim"))
    if len(example.kept) > _LISTED:
        turns.add_row(Text(f"{len(example.kept) - _LISTED:,} more", style="dim"), "")
    about = [example.layout, example.kind, example.licence, example.domain, example.language]
    about += [f"repaired: {example.repair}"] if example.repair else []
    return Panel(
        turns,
        title=Text(_plain(f"{example.file} · {example.position:,}")),
        subtitle=Text(_plain(" · ".join(filter(None, about)))),
        title_align="left",
        subtitle_align="left",
    )


def _unknown(unknown: Unknown, others_fit: bool, guessed: bool, console: Console) -> None:
    records = sum(unknown.shapes.values())
    more = f" and {len(unknown.files) - 3:,} more files" if len(unknown.files) > 3 else ""
    _say(console, "")
    _say(console, f"{records:,} records of unknown layout, in {', '.join(unknown.files[:3])}{more}", style="bold red")
    for shown, count in list(unknown.shapes.items())[:_LISTED]:
        _say(console, f"  {count:>7,}  {shown}")
    if len(unknown.shapes) > _LISTED:
        _say(console, f"  and {len(unknown.shapes) - _LISTED:,} more shapes")
    _say(console, f"  the first: {_shortened(unknown.example)}", style="dim")
    they = "they" if unknown.fit == unknown.tried else f"{unknown.fit} of {unknown.tried}"
    fitting = f"With these lines in source.yaml {they} would fit:"
    _say(console, fitting if unknown.fit else "Lines for source.yaml to fill in:")
    show_lines(unknown.lines, console)
    for messages in unknown.rows[: 0 if guessed else 1]:
        show_row(messages, "The first row that these lines make", console)
    if others_fit and unknown.fit:
        globs = ", ".join(json.dumps(file, ensure_ascii=False) for file in unknown.files[:3])
        globs = f"[{globs}{', …' if len(unknown.files) > 3 else ''}]"
        _say(
            console,
            "Such lines apply to every record of a source, but others fit without them: make these files a source of",
        )
        _say(console, f"their own, with `include: {globs}` and these lines, and `exclude` them here.")


def _unread(keys: list[dict[str, Any]]) -> Table:
    """Return a table of the keys that reached no row; running text is marked."""
    title = "Unread keys: values of records that reached neither their rows nor annotations"
    shown = _open_table("key", "layout", ">records", ">read", ">characters", ">unread", "example", title=title)
    for key in keys[:_UNREAD]:
        about = "about " if key["estimated"] else ""
        cells = (
            key["path"], key["layout"], f"{about}{key['records']:,}", f"{key['read']:,}", f"{key['chars']:,}",
            f"{key['share']:.0%}", _shortened(key["example"] or "", 120),
        )  # fmt: skip
        shown.add_row(*(Text(_plain(cell), style="yellow" if key["running_text"] else "") for cell in cells))
    if len(keys) > _UNREAD:
        shown.add_row(f"{len(keys) - _UNREAD:,} more")
    return shown


def _dropped(dropped: list[Dropped]) -> Table:
    title = "Dropped, with the first record of each reason"
    shown = _open_table("reason", ">records", "file and position", "message", "record", title=title)
    shown.columns[0].no_wrap = True
    for one in dropped:
        place = f"{one.file} · {one.position:,}"
        cells = (one.reason, f"{one.records:,}", place, _shortened(one.message or "", 120), _shortened(one.raw, 160))
        shown.add_row(*(Text(_plain(cell)) for cell in cells))
    return shown


def _shortened(text: str, most: int = _LONGEST_TEXT) -> str:
    """Return a text, or only its beginning and its end if it has more than `most` characters."""
    if len(text) <= most:
        return text
    first, last = most * 2 // 3, most // 3
    return f"{text[:first]} […{len(text) - first - last:,} characters…] {text[-last:]}"


def _plain(text: str) -> str:
    """Replace the control characters of a text, so that data cannot control the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
