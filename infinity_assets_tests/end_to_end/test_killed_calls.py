"""A run that is killed in the middle of its model calls, ten times, ends with the data of one that was left alone, and asks no answer twice."""

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from infinity_assets.catalog.invariants import check_all
from infinity_assets_tests.end_to_end.oracle import Oracle
from infinity_assets_tests.inference.servers import Server
from infinity_assets_tests.project import Project, sources_arguments

ROLES = ("generator", "tagger", "judge", "scorer")
IN_FLIGHT = 8


@dataclass(frozen=True)
class Served(Project):
    """A data folder whose models are all on one server."""

    url: str = ""

    def environment(self) -> dict[str, str]:
        spec = {"backend": "openai", "model": "oracle", "base_url": self.url, "concurrency": IN_FLIGHT}
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


def test_ten_kills_among_calls_change_nothing(oracle, models_dir: Path, tmp_path: Path) -> None:
    alone, killed = (Served(tmp_path / name, models_dir, oracle.url) for name in ("alone", "killed"))
    alone.infinity("run", *sources_arguments())
    needed, oracle.calls = oracle.calls, 0
    lottery, kills = random.Random(3), 0
    while kills < 10:
        process = killed.start("run", *sources_arguments())
        # Some calls further than the last time, wherever that is: reading the sources takes most of a run that asks little.
        target = oracle.calls + lottery.randint(0, needed // 8)
        while process.poll() is None and oracle.calls < target:
            time.sleep(0.005)
        time.sleep(0.3 * lottery.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    killed.infinity("run", *sources_arguments())
    assert killed.rows() == alone.rows()
    assert [(asset, name) for asset, name, broken in check_all(killed.lake) if broken.height] == []
    # What is lost is what was in flight and what came since the last writing, every five seconds.
    assert needed <= oracle.calls
    lines = killed.sql("select count(distinct request_key) as n from generations where not cached and error is null")
    assert lines["n"][0] > 0
