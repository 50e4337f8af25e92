"""Charts on asset pages: no value may fail a materialization that took hours, or make a chart too long to show."""

import base64
import io
import math
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from infinity_assets.report.charts import LIMIT, bars, counts, heat_map, histogram, pairs, table
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(100), deadline=None)
NUMBERS = (
    st.none()
    | st.floats()
    | st.sampled_from([0.0, 5e-324, 0.3, 0.1 + 0.2, 1e17, -1e308, 1e308, 0.9999999999999999, 1.0])
)


def drawing(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[.*\]\(data:image/svg\+xml(;base64)?,([^\s()]*)\)", markdown.splitlines()[-1])
    assert found is not None
    return ElementTree.fromstring(base64.b64decode(found[2]).decode() if found[1] else unquote(found[2]))


# The median of two of the largest numbers overflows.
@pytest.mark.filterwarnings("ignore:overflow encountered in reduce")
@FEW
@given(values=st.lists(NUMBERS, max_size=40), bounds=st.sampled_from([(None, None), (0.0, 1.0), (1.0, None)]))
def test_a_histogram_of_any_values_is_small_and_well_formed(values: list, bounds: tuple) -> None:
    markdown = histogram(
        pl.Series(values, dtype=pl.Float64), "cosine of rewrite and seed", low=bounds[0], high=bounds[1]
    )
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        assert markdown == ""
        return
    assert len(markdown) < LIMIT
    assert markdown.startswith(f"cosine of rewrite and seed: {len(finite)} values, median ")
    assert "nan" not in markdown.splitlines()[0]
    assert drawing(markdown).tag.endswith("svg")


@FEW
@given(values=st.lists(st.integers(0, 15), min_size=1, max_size=200))
def test_the_height_of_a_bar_is_the_number_of_its_values(values: list[int]) -> None:
    markdown = histogram(pl.Series([value + 0.5 for value in values]), "x", low=0, high=16)
    path = drawing(markdown).find("{http://www.w3.org/2000/svg}path")
    assert path is not None
    bars = {int(x) // 12: -int(v) for x, v in re.findall(r"M(\d+) 60v(-\d+)h", path.attrib["d"])}
    tallest = max(values.count(value) for value in values)
    assert bars == {value: max(round(values.count(value) / tallest * 60), 1) for value in values}


def test_a_single_value_has_a_bar() -> None:
    assert "median 3" in histogram(pl.Series([3]), "x")
    assert histogram(pl.Series([], dtype=pl.Int64), "x") == histogram(pl.Series([None]), "x") == ""


CELLS = st.none() | st.text("a|\\`\n ", max_size=100) | st.text(max_size=10)


def cells(line: str) -> list[str]:
    """Return the cells of a line by GitHub's grammar, in which a backslash escapes the next character."""
    return re.findall(r"((?:\\.|[^|\\])*)\|", line)[1:]


@FEW
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=6), most=st.integers(1, 6))
def test_every_line_of_a_table_has_the_same_number_of_cells(rows: list, most: int) -> None:
    markdown = table(pl.DataFrame(rows, schema={"one": pl.String, "other": pl.String}, orient="row"), rows=most)
    lines = markdown.split("\n")
    shown = min(len(rows), most)
    assert all(len(cells(line)) == 2 for line in lines[: 2 + shown])
    assert lines[2 + shown :] == (["", f"{len(rows) - most} more."] if len(rows) > most else [])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567, "1,234,567"),
        (0.123456, "0.123"),
        (None, ""),
        (True, "True"),
        ("a|b", "a\\|b"),
        ("\\|", "\\\\\\|"),
        ("x" * 90, "x" * 79 + "…"),
    ],
)
def test_cells_are_formatted_and_escaped(value: object, shown: str) -> None:
    assert table(pl.DataFrame({"a": [value]})).splitlines()[-1] == f"| {shown} |"


def test_counts_are_sorted_the_largest_first() -> None:
    lines = counts({"b": 2, "c": 10, "a": 2}).splitlines()[2:]
    assert lines == ["| c | 10 |", "| a | 2 |", "| b | 2 |"]
    assert counts({}).count("\n") == 1


@FEW
@given(lines=st.lists(st.tuples(st.text(max_size=60), st.floats(0, 1)), max_size=12), limit=st.none() | st.floats(0, 1))
def test_bars_of_any_names_are_small_and_well_formed(lines: list, limit: float | None) -> None:
    markdown = bars(
        pl.DataFrame(lines, schema={"name": pl.String, "share": pl.Float64}, orient="row"), "share of the items", limit
    )
    assert len(markdown) < LIMIT
    if lines:
        assert drawing(markdown).tag.endswith("svg")
    else:
        assert markdown == ""


def pixels(markdown: str) -> np.ndarray:
    """Return the palette indices in the PNG of a chart, of shape (height, width)."""
    found = re.fullmatch(r"!\[.*\]\(data:image/png;base64,([^\s()]*)\)", markdown.splitlines()[-1])
    assert found is not None
    image = Image.open(io.BytesIO(base64.b64decode(found[1])))
    assert image.mode == "P"
    return np.asarray(image)


@FEW
@given(side=st.integers(1, 120), rows=st.integers(0, 3000), seed=st.integers(0, 9))
def test_a_heat_map_is_small_and_well_formed(side: int, rows: int, seed: int) -> None:
    counts = np.bincount(np.random.default_rng(seed).integers(0, side * side, rows), minlength=side * side).reshape(
        side, side
    )
    markdown = heat_map(counts, "seeds per cell")
    if not rows:
        assert markdown == ""
        return
    assert len(markdown) < LIMIT
    assert markdown.startswith(
        f"seeds per cell: {(counts > 0).sum():,} of {side * side:,} cells occupied, at most {counts.max():,} in one"
    )
    assert pixels(markdown).any()


def test_a_heat_map_is_darker_for_more_and_white_for_empty_cells() -> None:
    shades = pixels(heat_map(np.array([[0, 1], [3, 100]]), "x"))
    below, above = shades[-1], shades[0]
    assert below[0] == 0 < below[-1] < above[0] < above[-1] == 7


@FEW
@given(lines=st.lists(st.tuples(st.text(max_size=60), st.none() | st.floats(-4, 4), st.floats(-4, 4)), max_size=12))
def test_pairs_of_any_names_are_small_and_well_formed(lines: list) -> None:
    markdown = pairs(
        pl.DataFrame(lines, schema={"name": pl.String, "one": pl.Float64, "other": pl.Float64}, orient="row"),
        "gap, points",
    )
    assert len(markdown) < LIMIT
    if not lines:
        assert markdown == ""
        return
    gray, blue = drawing(markdown).findall("{http://www.w3.org/2000/svg}path")
    shown = len(drawing(markdown).findall("{http://www.w3.org/2000/svg}text"))
    assert 1 <= shown <= len(lines)
    for path, numbers in ((gray, [one for _, one, _ in lines]), (blue, [other for *_, other in lines])):
        drawn = [int(length) for length in re.findall(r"h(\d+)", path.attrib["d"])]
        assert len(drawn) == shown
        assert all(
            (length == 0) or (number is not None and number > 0) for length, number in zip(drawn, numbers, strict=False)
        )
