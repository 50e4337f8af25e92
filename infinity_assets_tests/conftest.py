"""Fixtures of several test packages, and the distribution of tests over processes.

Every module runs in one process, so that its fixtures are created once. All tests that need an engine share one
process, and so do all that read the whole run of the graph: each takes gigabytes of memory and a minute to start.
"""

# ruff: noqa: E402
import atexit
import os

# Test processes share the cores, so libraries use one thread each: more would spend their time waiting.
for _library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")  # read when the library is loaded

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

from infinity_assets.inference.engines.engine import Engine
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.weights.models import fetch, local_path
from infinity_assets.rows.token_hashes import hash_tokens
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests import properties
from infinity_assets_tests.end_to_end.oracle import Oracle
from infinity_assets_tests.inference.doubles import EMBEDDED, save_language_model
from infinity_assets_tests.inference.engines.servers import Server
from infinity_assets_tests.project import Project, sources_arguments

settings.load_profile(properties.PROFILE)

SLOW = ("graph", "engine")
"""Markers of the slowest groups, which start first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest groups first."""
    items.sort(
        key=lambda item: next((place for place, name in enumerate(SLOW) if item.get_closest_marker(name)), len(SLOW))
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send every module to one process, and all modules marked `engine`, or `graph`, to one.

    pytest 9.2 no longer lets the groups of pytest-xdist 3.8 be written into test ids.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    return Groups(config, log)


@cache
def group_of(module: str) -> str:
    """Return the group of a module, given its path in the repository: the marker of the module, or the path."""
    text = (Path(__file__).parents[1] / module).read_text(encoding="utf-8")
    return next((name for name in SLOW if f"\npytestmark = pytest.mark.{name}\n" in text), module)


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The models folder (INFINITY_MODELS, or data/models of the repository) with the embedded language model in it."""
    folder = Path(os.environ.get("INFINITY_MODELS", Path(__file__).parents[1] / "data" / "models")).absolute()
    fetch(ModelSpec(), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """The folder of a language model of two random layers with the embedded model's tokenizer."""
    return save_language_model(tmp_path_factory.mktemp("tiny"), local_path(ModelSpec(), models_dir))


@pytest.fixture(scope="session")
def engines(models_dir: Path) -> Iterator[EnginePool]:
    """The engines of this process. An engine stays open until another model is requested from the same backend."""
    hash_tokens(pl.Series(["numba is used before vLLM starts, as in a run of the graph"]))
    # DuckDB's bindings report leaks on stderr when the interpreter ends while vLLM is loaded.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    pool = EnginePool(models_dir)
    yield pool
    pool.release()


@pytest.fixture
def embedded_engine(engines: EnginePool) -> Iterator[Engine]:
    """The embedded model in vLLM."""
    with engines.engine(EMBEDDED) as engine:
        yield engine


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Project]:
    """A project with the whole graph, run once, whose language models are played by the oracle."""
    server = Server(Oracle())
    project = Project(tmp_path_factory.mktemp("project"), models_dir, server.url)
    print(project.infinity("run", *sources_arguments()))
    yield project
    server.close()
