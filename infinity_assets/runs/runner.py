"""Runs the graph in this process, as `infinity run` does: registers the sources, then the two jobs one after the other."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from infinity_assets.atomic import write_text
from infinity_assets.catalog.lake import Lake
from infinity_assets.compilation import compile_kernels, is_compiled
from infinity_assets.errors import InfinityError
from infinity_assets.inference.budget import BudgetSpent
from infinity_assets.progress import Expected, Reporter, reporting_to
from infinity_assets.reading.pool import Pool
from infinity_assets.reading.reader import start_processes
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Calls

_OURS = "# Written by the `infinity` command, for this folder.\n"

_LOCAL_HOME = f"""\
{_OURS}storage:
  sqlite:
    base_dir: 'HOME'
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: 'HOME'
compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config:
    base_dir: 'HOME/logs'
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
"""


@dataclass(frozen=True)
class Fault:
    """Why an asset or a check of it failed."""

    asset: str
    sentence: str
    trace: str
    stopped: bool = False
    """Whether nothing went wrong: the budget was spent."""


class Runner:
    """One data folder and its Dagster instance.

    Args:
        data: The data folder.
        pool: The folders of the pool.
        reporter: Shows progress.
        instance: Where Dagster keeps its records of the runs; by default the instance that `dagster_home` configures.
        definitions: The graph; by default that of `infinity_assets.definitions`.
    """

    def __init__(
        self,
        data: Path,
        pool: Pool,
        reporter: Reporter,
        instance: dg.DagsterInstance | None = None,
        definitions: dg.Definitions | None = None,
    ):
        self._data, self._pool, self._reporter, self._instance, self._given = (
            data,
            pool,
            reporter,
            instance,
            definitions,
        )

    def run(self, until: str | None = None, force: bool = False, budget: Calls | None = None) -> list[Fault]:
        """Materialise the graph, or what `until` needs of it, and spend no more than `budget` on model calls (null: what the settings say).

        Returns:
            What failed; empty if all went well.

        Raises:
            InfinityError: There is no asset of that name.
        """
        start_processes(Settings().ingest.workers)
        from infinity_assets.defs.automation import register_sources, remember_state, sources_state, whole_range
        from infinity_assets.defs.jobs import build_sets, ingest_sources
        from infinity_assets.defs.partitions import SHARDS, SOURCES

        definitions, allowed, tokens, cost = self._given or _definitions(), budget or Settings().calls, 0, 0.0
        wanted = _needed(definitions, until)
        os.environ["INFINITY_DATA"] = str(self._data)  # where the assets look, in this process and in those it starts
        with self._opened_instance() as instance, reporting_to(self._reporter):
            lake = Lake(self._data)
            state = sources_state(self._pool)  # of before, so that a change while the run goes on is seen
            register_sources(instance, self._pool, lake)
            # What is no longer in the graph (a later round, after the number of rounds was lowered) must not be counted.
            for asset in lake.assets() - {
                key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()
            }:
                lake.prune(asset, keep=())
            # Dagster would send what the steps print through files and back: the terminal is ours.
            instance._compute_log_manager = NoOpComputeLogManager()
            sources = instance.get_dynamic_partitions(SOURCES.name or "")
            self._reporter.expect(_expected(lake, wanted, sources))
            if not is_compiled():
                with self._reporter.starting(
                    "the compiler for the loops over texts, once on this machine: about 30 seconds"
                ):
                    compile_kernels()
            for job, keys in ((ingest_sources.name, sources), (build_sets.name, SHARDS.get_partition_keys())):
                resolved = definitions.resolve_job_def(job)
                selection = [key for key in resolved.asset_layer.selected_asset_keys if key in wanted]
                if not selection:
                    continue
                result = resolved.execute_in_process(
                    instance=instance,
                    asset_selection=selection,
                    tags=whole_range(list(keys)),
                    run_config={
                        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                        "resources": {
                            "lake": {"config": {"data": str(self._data), "force": force}},
                            "models": {"config": _left(allowed, tokens, cost)},
                        },
                    },
                    raise_on_error=False,
                )
                if not result.success:
                    return [_fault(event) for event in result.get_step_failure_events()]
                tokens, cost = lake.spent(result.run_id)
            if until is None:
                remember_state(lake, state)
        return []

    @contextmanager
    def _opened_instance(self) -> Iterator[dg.DagsterInstance]:
        if self._instance is not None:
            yield self._instance
            return
        os.environ["DAGSTER_HOME"] = str(dagster_home(self._data))
        with dg.DagsterInstance.get() as instance:
            yield instance


@cache
def _definitions() -> dg.Definitions:
    """The definitions of this process: Dagster takes half a second to load them."""
    from infinity_assets.definitions import defs

    return defs()


def _expected(lake: Lake, wanted: Collection[dg.AssetKey], sources: Collection[str]) -> list[Expected]:
    """Return the assets of a run with their expected duration: that of their last materialisation, or of one on the sample sources."""
    from infinity_assets.defs.registry import REGISTERED

    found = []
    for name in (key.to_user_string() for key in wanted):
        if registered := REGISTERED.get(name):
            partitions = registered.partition_names(sources)
            made = [manifest for partition in partitions if (manifest := lake.manifest(name, partition))]
            seconds = (
                sum(manifest.seconds for manifest in made) * len(partitions) / len(made) if made else registered.seconds
            )
            found.append(Expected(name, max(len(partitions), 1), seconds))
    return found


def _left(allowed: Calls, tokens: int, cost: float) -> dict[str, int | float | None]:
    """Return what is left of a budget, as the resource of the models is configured: never 0, which no budget can be."""
    left_tokens = None if allowed.budget_tokens is None else max(allowed.budget_tokens - tokens, 1)
    left_cost = None if allowed.budget_cost is None else max(allowed.budget_cost - cost, 1e-9)
    return {"budget_tokens": left_tokens, "budget_cost": left_cost}


def _needed(definitions: dg.Definitions, until: str | None) -> set[dg.AssetKey]:
    """All assets, or the one named and what is upstream of it."""
    graph = definitions.resolve_asset_graph()
    everything = graph.get_all_asset_keys()
    if until is None:
        return set(everything)
    key = dg.AssetKey(until)
    if key not in everything:
        raise InfinityError(
            f"There is no asset `{until}`; there are {', '.join(sorted(k.to_user_string() for k in everything))}."
        )
    return set(dg.AssetSelection.assets(key).upstream().resolve(graph))


def dagster_home(data: Path) -> Path:
    """Where the Dagster instance of a data folder is configured.

    DAGSTER_HOME if it is set; the working directory if its `data` is meant and it has a dagster.yaml; else the data folder itself. The data
    folder gets a dagster.yaml of ours, and another one if it was moved; one that is not ours is left alone.
    """
    here = Path.cwd()
    ours = data == here / "data" and (here / "dagster.yaml").exists()
    home = Path(os.environ.get("DAGSTER_HOME", here if ours else data))
    if home == data:
        file, text = data / "dagster.yaml", _LOCAL_HOME.replace("HOME", str(data / ".dagster").replace("'", "''"))
        found = file.read_text(encoding="utf-8") if file.exists() else _OURS
        if found.startswith(_OURS) and found != text:
            write_text(text, file)
    return home


def _fault(event: DagsterEvent) -> Fault:
    failure = event.step_failure_data
    error = failure.error
    trace = error.to_string() if error else ""
    while error and error.cause and not re.match(r"infinity_assets[\w.]*\.\w+: ", error.message):  # ours say it best
        error = error.cause
    asset = (event.step_key or "").removesuffix("_invariants")
    if error is None:
        return Fault(asset, "it failed without saying why.", trace)
    message = error.message.strip()
    message = re.sub(rf"^infinity_assets[\w.]*\.{error.cls_name}: ", "", message)
    if error.cls_name == "DagsterExecutionInterruptedError":
        return Fault(asset, "it was interrupted.", trace)
    if error.cls_name == "DagsterAssetCheckFailedError":
        names = ", ".join(line.strip() for line in message.splitlines()[1:] if line.strip())
        return Fault(asset, f"an invariant is broken: {names}. `infinity check` shows the rows.", trace)
    return Fault(
        asset,
        message.splitlines()[0] if message else error.cls_name or "",
        trace,
        stopped=error.cls_name == BudgetSpent.__name__,
    )
