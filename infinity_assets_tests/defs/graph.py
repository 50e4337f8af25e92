"""A data folder with the graph on it, for tests: it writes sources, makes assets, and returns what was computed.

`make` walks the registered assets without Dagster, which costs a quarter of a run on it, and a thirtieth where nothing is
to be made. `run` is for what Dagster does: partitions, checks that block, faults as sentences.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Self
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest

from infinity_assets.catalog.lake import ALL, Lake, Manifest
from infinity_assets.catalog.views import refresh_database
from infinity_assets.defs import step
from infinity_assets.defs.checks import invariants
from infinity_assets.defs.partitions import SHARDS, SOURCES, partitions_of
from infinity_assets.defs.step import REGISTERED, materialise
from infinity_assets.inference.budget import start_budget
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.invariants import INVARIANTS
from infinity_assets.progress import LogReporter, reporting_to
from infinity_assets.reading.pool import Pool
from infinity_assets.runs.runner import Fault, Runner, _definitions
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Calls

_CHECKS = invariants()

_definitions()  # registers every asset


class Steps(LogReporter):
    """Notes which steps computed something."""

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
        folder.mkdir(exist_ok=True)
        patch.chdir(folder)
        patch.delenv("DAGSTER_HOME", raising=False)
        for name, value in {"DATA": self.data, "INGEST__WORKERS": 1, **(settings or {})}.items():
            patch.setenv(f"INFINITY_{name}", str(value))

    def copy(self, folder: Path, patch: pytest.MonkeyPatch, settings: Mapping[str, object] | None = None) -> Self:
        """A copy of the data folder, for a test that changes it."""
        shutil.copytree(self.data, folder / "data", symlinks=True)
        return type(self)(folder, patch, settings)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's records of the runs on this folder, in memory."""
        return dg.DagsterInstance.ephemeral()

    def source(self, name: str, records: Iterable[Mapping], /, **said: str) -> Path:
        """Write a source, and what its source.yaml says. Returns its folder."""
        return self._write(self.data / "sources" / name, records, said)

    def benchmark(self, name: str, records: Iterable[Mapping], /, **said: str) -> Path:
        """Write a benchmark. Returns its folder."""
        return self._write(self.data / "benchmarks" / name, records, said)

    @staticmethod
    def _write(folder: Path, records: Iterable[Mapping], said: Mapping[str, str]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        if said:
            (folder / "source.yaml").write_text(json.dumps(said))
        return folder

    def use(self, engines: EnginePool) -> None:
        """Let all assets use these engines."""
        self._patch.setattr(step, "_engines", lambda models: engines)

    def make(self, until: str | None = None, force: bool = False) -> list[str]:
        """Make what an asset needs, and the asset (null: all assets), without Dagster.

        Of what is made anew every invariant must hold.

        Returns:
            What was computed, as asset[partition].
        """
        self._patch.setenv("INFINITY_DATA", str(self.data))
        pool, steps, run = Pool.load(self.data), Steps(), uuid4().hex
        sources = sorted(pool.source_folders())
        start_budget(Settings().calls)
        for asset in REGISTERED:
            if partitions_of(asset) is SOURCES:
                self.lake.prune(asset, sources)
        with reporting_to(steps):
            for asset in _needed(until):
                partitions = partitions_of(asset)
                names = sources if partitions is SOURCES else SHARDS.get_partition_keys() if partitions else [ALL]
                self.lake.prune(asset, names)
                made = list(materialise(REGISTERED[asset], self.lake, pool, names, run, force))
                if all(reused for *_, reused in made):
                    continue
                broken = {name: INVARIANTS[name](self.lake, asset) for name in _CHECKS.get(asset, ())}
                assert not any(rows.height for rows in broken.values()), (asset, broken)
        refresh_database(self.data)
        return steps.computed

    def run(self, until: str | None = None, force: bool = False, budget: Calls | None = None) -> tuple[list[str], list[Fault]]:
        """Run the graph on Dagster, as `infinity run` does, but for its records, which are kept in memory.

        Returns:
            What was computed, as asset[partition], and what failed.
        """
        steps = Steps()
        runner = Runner(self.data, Pool.load(self.data), steps, self.instance)
        return steps.computed, runner.run(until=until, force=force, budget=budget)

    def rows(self, asset: str, partition: str | None = None) -> pl.DataFrame:
        """The rows of an asset."""
        return self.lake.scan(asset, partition).collect()

    def manifest(self, asset: str, partition: str = ALL) -> Manifest:
        """The manifest of what was made last."""
        found = self.lake.manifest(asset, partition)
        assert found
        return found


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


def _needed(until: str | None) -> list[str]:
    """The asset and what it needs, or all assets, first things first."""
    reads: dict[str, tuple[str, ...]] = {}
    waiting = [until] if until else list(REGISTERED)
    while waiting:
        asset = waiting.pop()
        if asset not in reads:
            reads[asset] = (*REGISTERED[asset].reads, *REGISTERED[asset].reads_all)
            waiting += reads[asset]
    return list(TopologicalSorter(reads).static_order())
