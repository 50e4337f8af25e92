"""A run that is killed at any moment and started again ends with the same data as one that was left alone."""

import random
import shutil
import signal
import time
from pathlib import Path

from infinity_assets.catalog.invariants import check_all
from infinity_assets_tests.project import Project, sources_arguments


def test_killed_run_ends_like_one_that_was_left_alone(project: Project, tmp_path: Path) -> None:
    killed = Project(tmp_path / "data", project.models)
    # With the answers of the undisturbed run at hand no model is loaded, and the kills fall among the steps.
    shutil.copytree(project.data / "responses", killed.data / "responses")
    lottery = random.Random(7)
    for _ in range(5):
        process = killed.start("run", *sources_arguments())
        time.sleep(2 + 5 * lottery.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
    killed.infinity("run", *sources_arguments())
    assert killed.rows() == project.rows()
    assert [(asset, name) for asset, name, broken in check_all(killed.lake) if broken.height] == []
