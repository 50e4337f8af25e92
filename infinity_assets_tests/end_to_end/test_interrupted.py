"""A run that is killed at any moment, in the middle of its model calls or between them, and started again ends with the same data as one that was
left alone.
"""

import random
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from infinity_assets.catalog.funnel import ORDER
from infinity_assets.catalog.invariants import check_all
from infinity_assets_tests.end_to_end.oracle import Oracle
from infinity_assets_tests.inference.engines.servers import Server
from infinity_assets_tests.project import Project, sources_arguments

ROLES = ("generator", "tagger", "judge", "scorer")


@dataclass(frozen=True)
class Served(Project):
    """A data folder whose models are all on one server."""

    url: str = ""

    def environment(self) -> dict[str, str]:
        spec = {"backend": "openai", "model": "oracle", "base_url": self.url, "concurrency": 8}
        students = [{"name": name, "model": spec, "sampling": {"temperature": 0.5 * place}} for place, name in enumerate(("calm", "bold"))]
        file = self.data.with_suffix(".yaml")
        file.write_text(yaml.safe_dump({"models": {**dict.fromkeys(ROLES, spec), "students": students}}))
        return {**super().environment(), "INFINITY_SETTINGS": str(file), "INFINITY_FROM_TEXT__MAX_TEXTS": "0"}


@pytest.fixture
def oracle():
    oracle = Oracle()
    server = Server(oracle)
    oracle.url = server.url
    yield oracle
    server.close()


def test_a_killed_run_ends_like_one_that_was_left_alone(oracle: Oracle, models_dir: Path, tmp_path: Path) -> None:
    interrupt(oracle, models_dir, tmp_path, kills=4)


def test_killed_in_every_stage_of_the_chat_phase_it_ends_with_the_same_rows(oracle: Oracle, models_dir: Path, tmp_path: Path) -> None:
    alone, killed = (Served(tmp_path / name, models_dir, oracle.url) for name in ("alone", "killed"))
    alone.infinity("run", *sources_arguments())
    killed.infinity("run", *sources_arguments(), "--until", "inf_instruct_f")
    stages, lottery, landed = ORDER[ORDER.index("evolved") :], random.Random(5), []
    for before, stage in pairwise(("inf_instruct_f", *stages)):
        process, reached, calls = killed.start("run", *sources_arguments()), False, 0
        while process.poll() is None:
            if not reached and (reached := len(killed.lake.partitions(before)) == len(alone.lake.partitions(before))):
                calls = oracle.calls + lottery.randint(1, 20)
            if reached and (oracle.calls >= calls or killed.lake.partitions(stage)):
                break
            time.sleep(0.002)
        if process.poll() is None:
            landed.append(stage)
        process.kill()
        process.communicate()
    killed.infinity("run", *sources_arguments())
    assert set(landed) >= {"evolved", "answered", "diagnosed"}
    assert killed.rows() == alone.rows()
    print(f"killed in {', '.join(landed)}")


def interrupt(oracle: Oracle, models_dir: Path, folder: Path, kills: int) -> None:
    """Compare a run that is killed so many times, and started again each time, with one that is left alone."""
    alone, killed = (Served(folder / name, models_dir, oracle.url) for name in ("alone", "killed"))
    alone.infinity("run", *sources_arguments())
    needed, oracle.calls = oracle.calls, 0
    lottery, landed = random.Random(3), 0
    for _ in range(kills):
        process = killed.start("run", *sources_arguments())
        # Some calls further than the last time: reading the sources takes most of a run that asks little.
        target = oracle.calls + lottery.randint(0, 2 * needed // (kills + 2))
        while process.poll() is None and oracle.calls < target:
            time.sleep(0.005)
        time.sleep(0.3 * lottery.random())
        landed += process.poll() is None
        process.kill()
        process.communicate()
    killed.infinity("run", *sources_arguments())
    assert landed > kills // 2
    assert killed.rows() == alone.rows()
    assert [(asset, name) for asset, name, broken in check_all(killed.lake) if broken.height] == []
    print(f"{landed} kills landed; {oracle.calls} calls, {needed} without")
