"""Charts as markdown images with inline SVG or PNG, under 1,000 characters, so that the web UI does not fold them."""

import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

import numpy as np
import polars as pl

LIMIT = 1000
"""Length of a markdown text, in characters, from which the web UI folds it."""


def histogram(
    values: pl.Series, title: str, bins: int = 16, low: float | None = None, high: float | None = None
) -> str:
    """Draw a histogram with the number of values and their median in the caption; an empty string without values.

    Nulls and infinities (the logarithm of the length of an empty text) are left out.
    """
    numbers = values.cast(pl.Float64).to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ""
    low = float(numbers.min()) if low is None else low
    high = max(low, float(numbers.max()) if high is None else high)
    # The difference of two finite numbers can be infinite, so halves are subtracted. numpy's histogram rejects such
    # ranges, and tiny ranges.
    half = high / 2 - low / 2
    places = (numbers.clip(low, high) / 2 - low / 2) / (half if half > 0 else 1) * bins
    counts = np.bincount(places.astype(np.int64).clip(0, bins - 1), minlength=bins)
    width, height, tallest = 12, 60, counts.max()
    path = "".join(
        f"M{i * width} {height}v{-max(round(int(c) / tallest * height), 1)}h{width - 2}V{height}"
        for i, c in enumerate(counts)
        if c
    )
    inside = (
        f"<path d='{path}' fill='#4f43dd'/><text y='{height + 11}'>{low:.3g}</text>"
        f"<text x='{bins * width}' y='{height + 11}' text-anchor='end'>{high:.3g}</text>"
    )
    caption = f"{title}: {len(numbers):,} values, median {np.median(numbers):.3g}"
    return _chart(inside, bins * width, height + 12, title, caption)


def bars(named: pl.DataFrame, title: str, limit: float | None = None) -> str:
    """Draw one bar per line of a frame, for as many of the first ten as fit; an empty string if the frame is empty.

    The columns are a name and a number from 0 to 1. A red line marks the value `limit`.
    """

    def draw(lines: pl.DataFrame) -> str:
        height = 13 * lines.height
        names = path = ""
        for place, (name, value) in enumerate(lines.iter_rows()):
            names += f"<text y='{13 * place + 9}'>{_short(name)} {value:.1%}</text>"
            path += f"M0 {13 * place + 11}h{max(round(200 * value), 1)}"
        mark = "" if limit is None else f"<path d='M{200 * limit:.0f} 0v{height}' stroke='red'/>"
        inside = f"<path d='{path}' stroke='#4f43dd' stroke-width='2'/>{names}{mark}"
        return _chart(inside, 300, height, title, font=9)

    return _draw_fitting(named, draw)


def pairs(named: pl.DataFrame, title: str) -> str:
    """Draw a gray and a blue bar per line, for as many of the first ten as fit; an empty string if the frame is empty.

    The columns are a name, the number of the gray bar or null, and that of the blue bar. Negative numbers have no bar.
    """
    gray, blue = (named.head(10).to_series(n).fill_null(0.0).clip(0.0).to_list() for n in (1, 2))
    longest = max([*gray, *blue], default=0.0) or 1.0

    def draw_bars(numbers: list[float], down: int, color: str) -> str:
        lengths = [round(number / longest * 200) for number in numbers]
        path = "".join(f"M0 {15 * place + down}h{length}" for place, length in enumerate(lengths))
        return f"<path d='{path}' stroke='{color}' stroke-width='2'/>"

    def draw(lines: pl.DataFrame) -> str:
        names = ""
        for place, (name, one, other) in enumerate(lines.iter_rows()):
            text = f"{_short(name)} {'' if one is None else f'{one:.2f} / '}{other:.2f}"
            names += f"<text y='{15 * place + 9}'>{text}</text>"
        paths = draw_bars(gray[: lines.height], 11, "#aaa") + draw_bars(blue[: lines.height], 13, "#4f43dd")
        return _chart(paths + names, 300, 15 * lines.height, title, font=9)

    return _draw_fitting(named, draw)


def curve(function: Callable[[np.ndarray], np.ndarray], title: str, mark: float) -> str:
    """Draw the graph of a function from [0, 1] to [0, 1], with its value at `mark` in the caption."""
    x = np.linspace(0, 1, 41)
    width, height = 240, 90
    points = " ".join(f"{a * width:.0f},{(1 - b) * height:.0f}" for a, b in zip(x, function(x), strict=True))
    value = float(function(np.array([mark]))[0])
    inside = (
        f"<path d='M0 0V{height}H{width}M{mark * width:.0f} 0V{height}' fill='none' stroke='#aaa'/>"
        f"<polyline points='{points}' fill='none' stroke='#4f43dd'/><text y='{height + 11}'>0</text>"
        f"<text x='{mark * width:.0f}' y='{height + 11}' text-anchor='middle'>{mark:g}</text>"
        f"<text x='{width}' y='{height + 11}' text-anchor='end'>1</text>"
    )
    return _chart(inside, width, height + 12, title, f"{title}: {value:.3g} at {mark:g}")


def line(values: pl.Series, title: str) -> str:
    """Draw values over steps as a line, with the first and last value in the caption; an empty string without values.

    More than 48 values are averaged in 48 groups of consecutive values.
    """
    numbers = values.drop_nulls().cast(pl.Float64).to_numpy()
    if not len(numbers):
        return ""
    stretches = [part.mean() for part in np.array_split(numbers, min(len(numbers), 48))]
    low, high = min(stretches), max(stretches)
    width, height = 240, 60
    across = width / max(1, len(stretches) - 1)
    points = " ".join(
        f"{place * across:.0f},{height - (v - low) / ((high - low) or 1) * height:.0f}"
        for place, v in enumerate(stretches)
    )
    inside = (
        f"<polyline points='{points}' fill='none' stroke='#4f43dd'/>"
        f"<text y='{height + 11}'>{low:.3g} to {high:.3g}</text>"
    )
    caption = f"{title}: from {numbers[0]:.3g} to {numbers[-1]:.3g} in {len(numbers):,} steps"
    return _chart(inside, width, height + 12, title, caption)


_SHADES = b"\xff\xff\xff\xd9\xd6\xf8\xa7\xa0\xee\x73\x69\xe3\x4f\x43\xdd\x2a\x20\x96\x14\x0d\x52\x00\x00\x00"
"""Palette of eight colors, from white (an empty cell) to dark; three bytes each: red, green, blue."""


def heat_map(counts: np.ndarray, title: str) -> str:
    """Draw counts on a square grid in shades on a logarithmic scale; an empty string if all counts are 0.

    The counts have shape (side, side); the first row is drawn at the bottom. The image is a PNG, since SVG would need too
    many squares. 2 x 2 cells are merged until the image is small enough.
    """
    if not counts.any():
        return ""
    occupied = np.count_nonzero(counts)
    caption = f"{title}: {occupied:,} of {counts.size:,} cells occupied, at most {counts.max():,} in one"
    while True:
        side = len(counts)
        top = np.log2(counts.max() + 1)
        shades = np.ceil(np.log2(counts + 1) / top * 7).astype(np.uint8)[::-1]
        pixels = max(1, 160 // side)
        wide = shades.repeat(pixels, 0).repeat(pixels, 1)
        drawn = f"{caption}\n\n![{title}](data:image/png;base64,{b64encode(_png(wide, _SHADES)).decode()})"
        if len(drawn) < LIMIT or side == 1:
            return drawn
        odd = side % 2
        counts = np.pad(counts, ((0, odd), (0, odd)))
        counts = counts.reshape(len(counts) // 2, 2, len(counts) // 2, 2).sum((1, 3))


def _png(indices: np.ndarray, palette: bytes) -> bytes:
    """Return a PNG (specification, 3rd edition) from one palette index per pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    height, width = indices.shape
    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 3, 0, 0, 0])
    lines = np.hstack([np.zeros((height, 1), np.uint8), indices]).tobytes()
    parts = chunk(b"IHDR", head), chunk(b"PLTE", palette), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chart(inside: str, width: int, height: int, title: str, caption: str = "", font: int = 10) -> str:
    """Return an SVG as a markdown image below its caption, which is the title by default."""
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' font-size='{font}' "
        f"font-family='sans-serif'>{inside}</svg>"
    )
    plain = f"![{title}](data:image/svg+xml,{quote(svg, safe=chr(39) + '=:/;, ')})".replace(" ", "%20")
    coded = f"![{title}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
    return f"{caption or title}\n\n{min(plain, coded, key=len)}"


def _draw_fitting(lines: pl.DataFrame, draw: Callable[[pl.DataFrame], str]) -> str:
    """Return the chart of as many of the first ten lines as fit; an empty string if not even one line fits."""
    charts = (draw(lines.head(count)) for count in range(min(10, lines.height), 0, -1))
    return next((chart for chart in charts if len(chart) < LIMIT), "")


def _short(name: object) -> str:
    return escape("".join(c if c.isprintable() else " " for c in str(name)[:40]))


def table(frame: pl.DataFrame, rows: int = 12) -> str:
    """Return a markdown table of the first rows, followed by the number of rows that are not shown."""
    head = "| " + " | ".join(frame.columns) + " |\n|" + "---|" * frame.width
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in frame.head(rows).iter_rows()]
    more = [f"\n{frame.height - rows:,} more."] if frame.height > rows else []
    return "\n".join([head, *lines, *more])


def table_if_any(frame: pl.DataFrame, rows: int = 12) -> str:
    """Return a markdown table like `table`, or an empty string if there are no rows."""
    return "" if frame.is_empty() else table(frame, rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = " ".join(str(value).split()).replace("`", "'")
    # A backslash in the text must not escape the backslash that is put before a bar.
    return (text if len(text) <= 80 else text[:79] + "…").replace("\\", "\\\\").replace("|", "\\|")


def counts(reasons: Mapping[str, int]) -> str:
    """Return a markdown table of counts by reason, the largest first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return table(pl.DataFrame(ordered, schema={"": pl.String, "rows": pl.Int64}, orient="row"))
