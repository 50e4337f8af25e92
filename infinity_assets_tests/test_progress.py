import pytest

from infinity_assets.progress import Course, Expected, LogReporter, describe, reporter, use_reporter


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
def test_progress_shows_the_rate_and_the_time_left(done: int, total: int | None, seconds: float, text: str) -> None:
    assert describe(done, total, "rows", seconds) == text


def test_the_previous_reporter_is_restored_even_after_a_failure() -> None:
    before, other = reporter(), LogReporter()

    def fails() -> None:
        with use_reporter(other):
            assert reporter() is other
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fails()
    assert reporter() is before


def course() -> Course:
    return Course([Expected("read", 5, 10.0), Expected("tag", 4, 100.0), Expected("select", 1, 30.0)])


def test_the_time_left_of_a_run_is_the_expected_time_of_its_remaining_steps() -> None:
    run = course()
    assert run.steps == 3
    assert run.seconds_left() == 140.0
    assert not run.end("read", 4, 8.0, reused=False)
    assert run.end("read", 1, 2.0, reused=False)
    assert run.seconds_left() == 130.0
    assert run.seconds_left(elapsed=30.0) == 100.0
    assert run.seconds_left(elapsed=500.0) == 0.0


def test_a_slower_machine_increases_the_time_left() -> None:
    run = course()
    run.end("read", 5, 10.0, reused=False)
    run.end("tag", 2, 150.0, reused=False)
    assert run.seconds_left() == pytest.approx(80.0 * 170 / 70)


def test_reused_steps_decrease_the_time_left() -> None:
    run = course()
    run.end("read", 5, 0.0, reused=True)
    before = run.seconds_left()
    run.end("tag", 4, 0.0, reused=True)
    assert run.seconds_left() < 30.0 / 10 < before


def test_steps_are_numbered_in_the_order_in_which_they_begin() -> None:
    run = course()
    assert [run.step(name) for name in ("tag", "read", "tag", "select")] == [1, 2, 1, 3]
    assert (run.includes("tag"), run.includes("plan tag"), run.partitions("tag")) == (True, False, 4)
