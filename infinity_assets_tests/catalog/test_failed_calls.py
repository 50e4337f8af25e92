"""Many failed calls are reported; a few, and calls whose later attempt succeeded, are not."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.failed_calls import describe_failed_calls
from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.catalog.lakes import TEA, call


def calls(*errors: tuple[str | None, ...]) -> pl.DataFrame:
    """Return the calls of one row per argument, which holds the errors of its attempts."""
    one = call(TEA, "tag")
    return pl.concat(
        one.with_columns(row_id=pl.lit(f"r{row}"), error=pl.lit(error, pl.String), attempt=pl.lit(attempt, pl.Int64))
        for row, attempts in enumerate(errors)
        for attempt, error in enumerate(attempts)
    )


@pytest.mark.parametrize(
    ("generations", "expected"),
    [
        (calls(*[(None,)] * 9, ("empty",)), []),
        (calls(*[("empty", None)] * 10), []),
        (
            calls(*[("empty", "invalid_json")] * 3, (None,)),
            ["tagged: 3 of 4 model calls gave no usable answer (3 invalid_json)"],
        ),
    ],
)
def test_assets_above_the_share_of_failed_calls_are_reported(
    tmp_path: Path, generations: pl.DataFrame, expected: list[str]
) -> None:
    rows = pl.DataFrame({"row_id": ["r0"]})
    Lake(tmp_path).commit(lakes.key("tagged"), Outcome(rows, generations=generations), "run-1", 0.0)
    sentences = describe_failed_calls(tmp_path, 0.1)
    assert [sentence.partition(": `infinity sql")[0] for sentence in sentences] == expected
    Lake(tmp_path).commit(lakes.key("tagged"), Outcome(rows, generations=calls((None,))), "run-2", 0.0)
    assert describe_failed_calls(tmp_path, 0.1) == []
