"""Fixtures that several test packages share, and how tests are spread over processes.

Every module runs in one process, so that its fixtures are made once. All tests that need an engine share one process, and so do all that read
the whole run of the graph: either takes gigabytes of memory, and a minute to start.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from infinity_assets.inference.weights.models import fetch
from infinity_assets.model_settings import ModelSpec
from infinity_assets_tests import properties
from infinity_assets_tests.project import Project, sources_arguments

settings.load_profile(properties.PROFILE)

SLOW = ("graph", "engine")
"""Markers of the groups that take longest. They start first."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test into the group of tests that share a process, and the slowest groups first."""
    for item in items:
        group = next((name for name in SLOW if item.get_closest_marker(name)), item.nodeid.partition("::")[0])
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: next((place for place, name in enumerate(SLOW) if item.get_closest_marker(name)), len(SLOW)))


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The models folder (INFINITY_MODELS, or data/models of the repository) with the embedded language model in it."""
    folder = Path(os.environ.get("INFINITY_MODELS", Path(__file__).parents[1] / "data" / "models")).absolute()
    fetch(ModelSpec(), folder)
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Project:
    """The graph, run once from nothing with the embedded models."""
    made = Project(tmp_path_factory.mktemp("project"), models_dir)
    print(made.infinity("run", *sources_arguments()))
    return made
