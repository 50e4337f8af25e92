"""A run that asked in vain says so; one failure among many, and one that was mended by another attempt, are nothing to tell."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.failed_calls import sentences
from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.catalog.lakes import TEA, call


def calls(*errors: tuple[str | None, ...]) -> pl.DataFrame:
    """A row for each, with its attempts."""
    one = call(TEA, "tag")
    return pl.concat(
        one.with_columns(row_id=pl.lit(f"r{row}"), error=pl.lit(error, pl.String), attempt=pl.lit(attempt, pl.Int64))
        for row, attempts in enumerate(errors)
        for attempt, error in enumerate(attempts)
    )


@pytest.mark.parametrize(
    ("books", "said"),
    [
        (calls(*[(None,)] * 9, ("empty",)), []),
        (calls(*[("empty", None)] * 10), []),
        (
            calls(*[("empty", "invalid_json")] * 3, (None,)),
            ["tagged: 3 of 4 model calls gave nothing that can be used (3 invalid_json)"],
        ),
    ],
)
def test_what_is_told(tmp_path: Path, books: pl.DataFrame, said: list[str]) -> None:
    rows = pl.DataFrame({"row_id": ["r0"]})
    Lake(tmp_path).commit(lakes.key("tagged"), Outcome(rows, generations=books), "run-1", 0.0)
    found = sentences(tmp_path, 0.1)
    assert [sentence.partition(": `infinity sql")[0] for sentence in found] == said
    Lake(tmp_path).commit(lakes.key("tagged"), Outcome(rows, generations=calls((None,))), "run-2", 0.0)
    assert sentences(tmp_path, 0.1) == []
