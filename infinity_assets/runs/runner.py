"""Materialization of the graph in this process, for `infinity run`."""

import os
import re
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dagster as dg

from infinity_assets.atomic import write_text
from infinity_assets.catalog.lake import Lake
from infinity_assets.compilation import compile_kernels, is_compiled
from infinity_assets.errors import InfinityError
from infinity_assets.inference.budget import BudgetSpent
from infinity_assets.progress import Expected, Reporter, use_reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.reading.reader import start_processes
from infinity_assets.runs.dagster_internals import keep_terminal
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Calls


@dataclass(frozen=True)
class Fault:
    """The failure of an asset or of one of its checks."""

    asset: str
    sentence: str
    trace: str
    stopped: bool = False
    """True if the run stopped because its budget was spent."""


def run_graph(
    data: Path,
    pool: Pool,
    reporter: Reporter,
    until: str | None = None,
    force: bool = False,
    budget: Calls | None = None,
    instance: dg.DagsterInstance | None = None,
    definitions: dg.Definitions | None = None,
) -> list[Fault]:
    """Register the sources, then materialize the graph, and return the failures.

    The job `ingest_sources` runs first, `build_sets` second.

    Args:
        until: Materialize only this asset and the assets upstream of it. `InfinityError` if there is no such asset.
        force: True: materialize partitions again even if they are up to date.
        budget: Limits on model calls; by default those of the settings.
        instance: Dagster instance; by default the one in `dagster_home`.
    """
    start_processes(Settings().ingest.workers)
    from infinity_assets.defs.automation import register_sources, sources_state, state_file, whole_range
    from infinity_assets.defs.jobs import build_sets, ingest_sources
    from infinity_assets.defs.partitions import SHARDS, SOURCES

    definitions = definitions or _definitions()
    allowed = budget or Settings().calls
    tokens, cost = 0, 0.0
    wanted = _needed(definitions, until)
    os.environ["INFINITY_DATA"] = str(data)  # assets read it, in this process and its child processes
    if instance is None:
        os.environ["DAGSTER_HOME"] = str(dagster_home(data))
    with nullcontext(instance) if instance else dg.DagsterInstance.get() as instance, use_reporter(reporter):
        lake = Lake(data)
        state = sources_state(pool)  # read before the run, so that a change during the run is noticed
        register_sources(instance, pool, lake)
        # Assets that left the graph must not be counted: those of later rounds, if `chat.rounds` was lowered.
        for asset in lake.assets() - {key.to_user_string() for key in _needed(definitions, None)}:
            lake.prune(asset, keep=())
        keep_terminal(instance)
        sources = instance.get_dynamic_partitions(SOURCES.name or "")
        reporter.expect(_expected(lake, wanted, sources))
        if not is_compiled():
            with reporter.show_startup("the compiler for the loops over texts, once on this machine: about 30 seconds"):
                compile_kernels()
        for job, keys in ((ingest_sources.name, sources), (build_sets.name, SHARDS.get_partition_keys())):
            resolved = definitions.resolve_job_def(job)
            selection = [key for key in resolved.asset_layer.selected_asset_keys if key in wanted]
            if not selection:
                continue
            resources = {
                "lake": {"config": {"data": str(data), "force": force}},
                "models": {"config": _left(allowed, tokens, cost)},
            }
            result = resolved.execute_in_process(
                {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "resources": resources},
                instance,
                asset_selection=selection,
                tags=whole_range(list(keys)),
                raise_on_error=False,
            )
            if not result.success:
                return [_fault(event) for event in result.get_step_failure_events()]
            tokens, cost = lake.spent(result.run_id)
        if until is None:
            write_text(state, state_file(lake))
    return []


@cache
def _definitions() -> dg.Definitions:
    """Return the definitions. They are loaded once per process, because Dagster needs half a second for it."""
    from infinity_assets.definitions import defs

    return defs()


def _expected(lake: Lake, wanted: Collection[dg.AssetKey], sources: Collection[str]) -> list[Expected]:
    """Return the assets of a run with their expected durations.

    A duration comes from the last materialization or, on a first run, from one on the sample sources.
    """
    from infinity_assets.defs.registry import REGISTERED

    expected = []
    for registered in (REGISTERED[name] for key in wanted if (name := key.to_user_string()) in REGISTERED):
        partitions = registered.partition_names(sources)
        manifests = [found for partition in partitions if (found := lake.manifest(registered.asset, partition))]
        seconds = registered.seconds
        if manifests:
            seconds = sum(manifest.seconds for manifest in manifests) * len(partitions) / len(manifests)
        expected.append(Expected(registered.asset, max(len(partitions), 1), seconds))
    return expected


def _left(allowed: Calls, tokens: int, cost: float) -> dict[str, int | float | None]:
    """Return the configuration of the models resource with the unspent budget, above 0 because 0 is not valid."""
    left_tokens = allowed.budget_tokens and max(allowed.budget_tokens - tokens, 1)
    left_cost = allowed.budget_cost and max(allowed.budget_cost - cost, 1e-9)
    # No retries by Dagster: at the terminal the user repeats a failed run.
    return {"budget_tokens": left_tokens, "budget_cost": left_cost, "retries": 0}


def _needed(definitions: dg.Definitions, until: str | None) -> set[dg.AssetKey]:
    """Return the keys of all assets, or of the asset `until` and those upstream of it."""
    graph = definitions.resolve_asset_graph()
    keys = set(graph.get_all_asset_keys())
    if until is None:
        return keys
    names = sorted(key.to_user_string() for key in keys)
    if until not in names:
        raise InfinityError(f"There is no asset `{until}`; there are {', '.join(names)}.")
    return set(dg.AssetSelection.assets(until).upstream().resolve(graph))


def dagster_home(data: Path) -> Path:
    """Return the folder of the dagster.yaml of the Dagster instance for a data folder.

    It is the variable DAGSTER_HOME if that is set. Otherwise it is the working directory, if that has a dagster.yaml
    and its `data` is the data folder, or else the data folder itself. If the result is the data folder, a dagster.yaml
    is written there, and again after the folder was moved. A dagster.yaml that the user wrote is not changed.
    """
    cwd = Path.cwd()
    ours = data == cwd / "data" and (cwd / "dagster.yaml").exists()
    home = Path(os.environ.get("DAGSTER_HOME", cwd if ours else data))
    if home == data:
        template = Path(__file__).with_name("dagster_home.yaml").read_text(encoding="utf-8")
        mark = template.splitlines()[0]
        text = template.replace("HOME", str(data / ".dagster").replace("'", "''"))
        file = data / "dagster.yaml"
        present = file.read_text(encoding="utf-8") if file.exists() else mark
        if present.startswith(mark) and present != text:
            write_text(text, file)
    return home


def _fault(event: dg.DagsterEvent) -> Fault:
    error = event.step_failure_data.error
    trace = error.to_string() if error else ""
    # In the chain of causes, the first error of this project has the clearest message.
    while error and error.cause and not re.match(r"infinity_assets[\w.]*\.\w+: ", error.message):
        error = error.cause
    asset = (event.step_key or "").removesuffix("_invariants")
    if error is None:
        return Fault(asset, "it failed without a message.", trace)
    if error.cls_name == "DagsterExecutionInterruptedError":
        return Fault(asset, "it was interrupted.", trace)
    message = re.sub(rf"^infinity_assets[\w.]*\.{error.cls_name}: ", "", error.message.strip())
    lines = message.splitlines() or [error.cls_name or ""]
    if error.cls_name == "DagsterAssetCheckFailedError":
        names = ", ".join(line.strip() for line in lines[1:] if line.strip())
        return Fault(asset, f"an invariant is broken: {names}. `infinity check` shows the rows.", trace)
    return Fault(asset, lines[0], trace, stopped=error.cls_name == BudgetSpent.__name__)
