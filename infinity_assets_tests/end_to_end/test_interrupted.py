"""A killed run that is started again ends with the same data as an undisturbed run.

Runs are killed at any moment, in the middle of their model calls and between them.
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
"""Assets before the chat phase without model calls in which a run is killed."""
BY_COMMAND = ("raw_pool", "evolved")
"""Assets in which `infinity run` is killed. In all others, the killed process makes the assets without Dagster."""


@dataclass(frozen=True)
class Interrupted:
    """An undisturbed run, and a run that was killed once in each of several assets and then completed."""

    alone: Project
    killed: Project
    deaths: dict[str, int | None]
    """Exit code of the killed run, by asset."""


@pytest.fixture(scope="module")
def interrupted(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    """Kill a run once in each asset and continue from there every time.

    The moment within an asset is drawn with a fixed seed: when a model call arrives, or, without model calls, before
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

    order = alone.sql("select asset from materializations group by asset order by max(finished_at)")["asset"].to_list()
    for asset in [name for name in order if name in calls or name in (*BETWEEN, *CHAT_PHASE)]:
        arguments = ("run",) if asset in BY_COMMAND else WITHOUT_DAGSTER
        if asset in calls:
            earlier = [name for name in order[: order.index(asset)] if name in calls]
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
    """Kill a process within the block when its call `number` arrives, counted from the moment that `begun` is true."""
    left = [number]

    def strike() -> None:
        left[0] -= begun()
        if left[0] == 0:
            process.kill()

    oracle.before_call = strike
    yield
    oracle.before_call = lambda: None


def test_every_run_was_killed_in_its_asset(interrupted: Interrupted) -> None:
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


def test_the_killed_run_ends_with_the_same_bytes_as_the_undisturbed_run(interrupted: Interrupted) -> None:
    assert interrupted.killed.rows() == interrupted.alone.rows()
    assert {path.partition("/")[0] for path in interrupted.alone.rows()} == set(ASSETS)


def test_every_invariant_holds_after_the_killed_run(interrupted: Interrupted) -> None:
    assert [(asset, name) for asset, name, broken in check_lake(interrupted.killed.lake) if broken.height] == []


def test_the_compared_tables_are_not_empty(interrupted: Interrupted) -> None:
    for asset in ("synthesized_from_text", "inf_instruct_f", "inf_instruct_g", "preferences"):
        assert interrupted.alone.lake.scan(asset).collect().height > 0, asset
