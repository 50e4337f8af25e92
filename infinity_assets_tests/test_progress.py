import pytest

from infinity_assets.progress import LogReporter, describe, reporter, reporting_to


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (120, 400, 3.5, "120 of 400 rows, 34/s, 0:08 left"),
        (1000, None, 2000.0, "1,000 rows, 0.5/s"),
        (400, 400, 2.0, "400 of 400 rows, 200/s"),
        (64, 7321, 64.0, "64 of 7,321 rows, 1.0/s, 120:57 left"),
        (1, 112, 4.0, "1 of 112 rows, 0.2/s"),
        (1, 16, 4.0, "1 of 16 rows, 0.2/s"),
        (2, 40, 10.0, "2 of 40 rows, 0.2/s, 3:10 left"),
        (0, 400, 5.0, "0 of 400 rows"),
        (0, 0, 0.0, "0 of 0 rows"),
    ],
)
def test_rate_and_time_left(done: int, total: int | None, seconds: float, text: str) -> None:
    assert describe(done, total, "rows", seconds) == text


def test_the_reporter_before_is_back_in_force_even_after_a_failure() -> None:
    before, other = reporter(), LogReporter()

    def fails() -> None:
        with reporting_to(other):
            assert reporter() is other
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fails()
    assert reporter() is before
