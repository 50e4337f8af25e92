"""A data folder for tests of the graph: it writes sources, makes assets, and returns the computed partitions.

`make` walks the registered assets without Dagster. It takes a quarter of the time of a run on Dagster, and a thirtieth
if nothing has to be made. `run` uses Dagster, for its partitions, blocking checks and faults as sentences.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest

from infinity_assets.catalog.lake import ALL, Lake, Manifest
from infinity_assets.catalog.views import refresh_database
from infinity_assets.definitions import build_defs
from infinity_assets.defs.materialize import materialize
from infinity_assets.defs.registry import needed_by
from infinity_assets.defs.resources import ModelsResource
from infinity_assets.inference.budget import Budget
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.models import Models
from infinity_assets.invariants import INVARIANTS
from infinity_assets.locations import models_dir
from infinity_assets.progress import LogReporter, use_reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.runs.runner import Fault, run_graph
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Calls
from infinity_assets_tests.defs.declarations import watched


class Steps(LogReporter):
    """A reporter that records the steps that computed something."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: list[str] = []

    def end(self, rows: int, reused: bool) -> None:
        if not reused:
            self.computed.append(self._name)


class Graph:
    """A data folder with the graph on it.

    Args:
        folder: Where the data folder is, or comes to be; the working directory of the test.
        patch: Sets the environment.
        settings: Settings by their names without `INFINITY_`.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, settings: Mapping[str, object] | None = None):
        self.data, self._patch = folder / "data", patch
        self.lake = Lake(self.data)
        self._engines: EnginePool | None = None
        folder.mkdir(exist_ok=True)
        patch.chdir(folder)
        patch.delenv("DAGSTER_HOME", raising=False)
        for name, value in {"DATA": self.data, "INGEST__WORKERS": 1, **(settings or {})}.items():
            patch.setenv(f"INFINITY_{name}", str(value))

    def copy(self, folder: Path, patch: pytest.MonkeyPatch, settings: Mapping[str, object] | None = None) -> Self:
        """Return a copy of the data folder, for a test that changes it."""
        shutil.copytree(self.data, folder / "data", symlinks=True)
        return type(self)(folder, patch, settings)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """A Dagster instance in memory for the runs on this folder."""
        return dg.DagsterInstance.ephemeral()

    def source(self, name: str, records: Iterable[Mapping], /, **said: str) -> Path:
        """Write a source and its source.yaml, and return its folder."""
        return self._write(self.data / "sources" / name, records, said)

    def benchmark(self, name: str, records: Iterable[Mapping], /, **said: str) -> Path:
        """Write a benchmark, and return its folder."""
        return self._write(self.data / "benchmarks" / name, records, said)

    @staticmethod
    def _write(folder: Path, records: Iterable[Mapping], said: Mapping[str, str]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        if said:
            (folder / "source.yaml").write_text(json.dumps(said))
        return folder

    def use(self, engines: EnginePool) -> None:
        """Use these engines for all assets."""
        self._engines = engines

    @property
    def models(self) -> Models:
        """The models of a run with an unspent budget."""
        return Models(self._engines or EnginePool(models_dir()), Budget(Settings().calls))

    def make(self, until: str | None = None, force: bool = False) -> list[str]:
        """Make an asset and everything that it needs (None: all assets) without Dagster.

        The invariants of every computed asset must hold.

        Returns:
            The computed partitions, as asset[partition].
        """
        self._patch.setenv("INFINITY_DATA", str(self.data))
        pool, steps, run, models = Pool.load(self.data), Steps(), uuid4().hex, self.models
        sources = sorted(pool.source_folders())
        for registered in needed_by(None):
            if registered.partitions == "source":
                self.lake.prune(registered.asset, sources)
        with use_reporter(steps):
            for registered in needed_by(until):
                names = registered.partition_names(sources)
                self.lake.prune(registered.asset, names)
                made = list(materialize(watched(registered), self.lake, pool, models, names, run, force))
                if all(reused for *_, reused in made):
                    continue
                broken = {name: INVARIANTS[name](self.lake, registered.asset) for name in registered.invariants}
                assert not any(rows.height for rows in broken.values()), (registered.asset, broken)
        refresh_database(self.data)
        return steps.computed

    def run(
        self, until: str | None = None, force: bool = False, budget: Calls | None = None
    ) -> tuple[list[str], list[Fault]]:
        """Run the graph on Dagster like `infinity run`, with Dagster's records in memory.

        Returns:
            The computed partitions, as asset[partition], and the faults.
        """
        steps = Steps()
        definitions = None
        if engines := self._engines:

            class Given(ModelsResource):
                def engines(self) -> EnginePool:
                    return engines

            definitions = build_defs(resources={"models": Given()})
        faults = run_graph(self.data, Pool.load(self.data), steps, until, force, budget, self.instance, definitions)
        return steps.computed, faults

    def rows(self, asset: str, partition: str | None = None) -> pl.DataFrame:
        """Return the rows of an asset."""
        return self.lake.scan(asset, partition).collect()

    def manifest(self, asset: str, partition: str = ALL) -> Manifest:
        """Return the manifest of the last materialization."""
        manifest = self.lake.manifest(asset, partition)
        assert manifest
        return manifest


def make_once(factory: pytest.TempPathFactory, fill: Callable[[Graph], Graph], until: str) -> Graph:
    """Return a data folder with everything up to an asset made, for tests that copy it.

    Args:
        factory: Makes the folder.
        fill: Writes the sources and benchmarks.
        until: The asset.
    """
    with pytest.MonkeyPatch.context() as patch:
        graph = fill(Graph(factory.mktemp("finished"), patch))
        graph.make(until)
        return graph


def stages(fill: Callable[[Graph], Graph], until: str) -> tuple[Any, Any]:
    """Return two fixtures: the data folder before any asset is made, and with everything up to an asset made."""
    finished: list[Graph] = []

    @pytest.fixture
    def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
        return fill(Graph(tmp_path, monkeypatch))

    @pytest.fixture
    def made(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
        if not finished:
            finished.append(make_once(tmp_path_factory, fill, until))
        return finished[0].copy(tmp_path, monkeypatch)

    return graph, made
