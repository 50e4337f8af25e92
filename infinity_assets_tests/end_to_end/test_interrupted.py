"""A run that is killed at any moment, in the middle of its model calls or between them, and started again ends with the
same data as one that was left alone.
"""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from infinity_assets.defs.checks import check_lake
from infinity_assets.defs.registry import needed_by
from infinity_assets.reading.pool import Pool
from infinity_assets.settings.models import STATIC_EMBEDDER
from infinity_assets_tests.end_to_end.oracle import Oracle
from infinity_assets_tests.forks import WITHOUT_DAGSTER
from infinity_assets_tests.inference.engines.servers import Server
from infinity_assets_tests.project import PROJECT, Project

pytestmark = pytest.mark.graph

SOURCES = ("dialogues", "nature_notes")
SMALL = {
    "INFINITY_SCORING__MAX_ROWS": 24,
    "INFINITY_CHAT__SEEDS__MAX_SEEDS": 12,
    "INFINITY_FROM_TEXT__MAX_TEXTS": 4,
}
ASSETS = [registered.asset for registered in needed_by(None)]
CHAT_PHASE = [registered.asset for registered in needed_by(None) if registered.group in ("chat", "release")][2:]
BETWEEN = ("raw_pool", "duplicates", "inf_instruct_f")
"""Assets before the chat phase that ask nothing, in which a run is killed as well."""
BY_COMMAND = ("raw_pool", "evolved")
"""Assets in which `infinity run` is killed. In all others, a process is killed that makes the same assets without Dagster."""


@dataclass(frozen=True)
class Interrupted:
    """A run that was left alone, and one that was killed once in each of some assets, and at last left alone."""

    alone: Project
    killed: Project
    deaths: dict[str, int | None]
    """The exit code of the run that was to be killed in an asset, by asset."""


@pytest.fixture(scope="module")
def interrupted(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    """Kill a run once in each asset, every time going on from where it died.

    Where in an asset is drawn, and is the same every time: when a call of the asset arrives, or, if it asks nothing, before
    one of its files is renamed into place.
    """
    folder, oracle, lottery = tmp_path_factory.mktemp("interrupted"), Oracle(), random.Random(3)
    server = Server(oracle)
    alone, killed = (
        Project(folder / name, models_dir, server.url, SMALL, embedder=STATIC_EMBEDDER) for name in ("alone", "killed")
    )
    for project in (alone, killed):
        project.data.mkdir(parents=True)
        Pool(sources=PROJECT / "data" / "sources", benchmarks=PROJECT / "data" / "benchmarks", only=SOURCES).save(
            project.data
        )
    alone.infinity(*WITHOUT_DAGSTER)
    calls, deaths = calls_by_asset(alone), {}

    def is_there(asset: str) -> bool:
        return killed.lake.partitions(asset) == alone.lake.partitions(asset)

    made = alone.sql("select asset from materializations group by asset order by max(finished_at)")["asset"].to_list()
    for asset in [name for name in made if name in calls or name in (*BETWEEN, *CHAT_PHASE)]:
        arguments = ("run",) if asset in BY_COMMAND else WITHOUT_DAGSTER
        if asset in calls:
            earlier = [name for name in made[: made.index(asset)] if name in calls]
            number = lottery.randint(1, calls[asset] * 2 // 3)
            process = killed.start(*arguments)
            with killing(process, oracle, number, lambda earlier=earlier: all(map(is_there, earlier))):
                process.join()
        else:
            process = killed.start(*arguments, fatal=lottery.choice((f"/lake/{asset}/", f"/manifests/{asset}/")))
            process.join()
        deaths[asset] = process.exitcode
    killed.infinity("run")
    yield Interrupted(alone, killed, deaths)
    server.close()


def calls_by_asset(project: Project) -> dict[str, int]:
    return dict(project.sql("select asset, count(*) from generations where not cached group by asset").iter_rows())


@contextmanager
def killing(process: ForkServerProcess, oracle: Oracle, number: int, begun: Callable[[], bool]) -> Iterator[None]:
    """Kill a process, within the block, when the call of that number arrives, counted from when `begun` holds."""
    left = [number]

    def strike() -> None:
        left[0] -= begun()
        if left[0] == 0:
            process.kill()

    oracle.before_call = strike
    yield
    oracle.before_call = lambda: None


def test_every_kill_landed(interrupted: Interrupted) -> None:
    assert set(interrupted.deaths) >= {
        *BETWEEN,
        *CHAT_PHASE,
        "synthesized_from_text",
        "tagged",
        "scored",
        "tag_vocabulary",
    }
    assert {asset: death for asset, death in interrupted.deaths.items() if death != -signal.SIGKILL} == {}
    assert {"evolved", "answered", "diagnosed", "conversed"} <= set(calls_by_asset(interrupted.alone))


def test_it_ends_with_the_same_bytes_as_one_that_was_left_alone(interrupted: Interrupted) -> None:
    assert interrupted.killed.rows() == interrupted.alone.rows()
    assert {path.partition("/")[0] for path in interrupted.alone.rows()} == set(ASSETS)


def test_every_invariant_holds_afterwards(interrupted: Interrupted) -> None:
    assert [(asset, name) for asset, name, broken in check_lake(interrupted.killed.lake) if broken.height] == []


def test_what_is_compared_is_more_than_empty_tables(interrupted: Interrupted) -> None:
    for asset in ("synthesized_from_text", "inf_instruct_f", "inf_instruct_g", "preferences"):
        assert interrupted.alone.lake.scan(asset).collect().height > 0, asset
