"""A step: the one way in which an asset of this project reads, runs and writes.

An asset is a function `Step -> Outcome`. The decorator below makes the Dagster asset: dependencies, partitions, group, column schema. For
every partition it compares what the result depends on (data versions of the inputs, settings, code version) with the last materialisation, runs
the function only if something differs, commits rows and books, and describes them on the asset's page. A run tagged `infinity/force`
recomputes in any case; responses of models are still taken from the store.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import polars as pl
from pydantic import BaseModel

from infinity_assets.catalog.lake import ALL, Lake, Manifest, Outcome, StepKey
from infinity_assets.catalog.views import refresh_database
from infinity_assets.defs.partitions import partition_names, partitions_of
from infinity_assets.defs.resources import LakeResource
from infinity_assets.errors import InfinityError
from infinity_assets.inference.batched import Member, Together
from infinity_assets.inference.budget import run_budget
from infinity_assets.inference.client import Inference, Progress
from infinity_assets.inference.engines.batching import pieces
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.locations import models_dir
from infinity_assets.progress import reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.report import charts
from infinity_assets.rows.schema import MEANING
from infinity_assets.settings import Settings, settings_hash, settings_texts
from infinity_assets.synthesis.prompting import Asking

FORCE_TAG = "infinity/force"

Part = BaseModel | str | int | float


T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """What an asset's function works with."""

    asset: str
    partition: str
    settings: Settings
    lake: Lake
    pool: Pool
    scratch: Path
    """An empty folder for what is too large for memory, until the result is committed."""
    shared: Path
    """A folder for what all partitions of the asset need, until the last of this run is committed."""
    ledger: Ledger = field(default_factory=Ledger)
    """Its model calls."""
    together: Together | None = None
    """Runs it beside other partitions of the asset; null where it runs alone."""
    key: StepKey | None = None
    """What this materialisation depends on; null while that is being found out."""
    trains: bool = True
    """Whether models are trained: a plan trains none."""

    def read(self, asset: str) -> pl.LazyFrame:
        """The rows of an input: of the same partition where both are partitioned alike, else of all partitions."""
        return self.lake.scan(asset, self.partition if _alike(asset, self.asset) else None)

    def read_all(self, asset: str) -> pl.LazyFrame:
        """The rows of all partitions of an input that the asset names in `reads_all`."""
        return self.lake.scan(asset)

    def sampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that models are asked about: all that are given. `infinity plan` asks about a sample of them, and counts the rest."""
        return rows

    def before(self) -> tuple[pl.LazyFrame | None, list[str]]:
        """The rows of the last materialisation, and the partitions of the inputs that came since; null if anything else has changed."""
        assert self.key
        last = self.lake.manifest(self.asset, self.partition)
        if last is None or not self.lake.intact(last):
            return None, []
        same = (last.code_version, last.settings_hash) == (self.key.code_version, self.key.settings_hash)
        if not same or not last.inputs.items() < self.key.inputs.items():
            return None, []
        return self.lake.scan(self.asset, self.partition), sorted(
            name.partition("/")[2] for name in self.key.inputs.keys() - last.inputs.keys()
        )

    def inference(self) -> Inference:
        """The models, with the response store of this data folder. No engine starts before a response is missing."""
        asks = Inference if self.together is None else partial(Member, self.together)
        store, engines = ResponseStore(self.lake.data / "responses"), _engines(models_dir())
        return asks(store, engines, _advance_calls, self.ledger, run_budget(), self.settings.calls.retries)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once for all partitions that are made side by side: what is the same for each, and read only."""
        return make() if self.together is None else self.together.once(name, make)

    def asking(self) -> Asking:
        """The models, to be asked about frames of rows."""
        return Asking(self.inference(), self.settings, self.asset)

    def advance(self, done: int, total: int | None = None, unit: str = "rows") -> None:
        """Tell how far it is."""
        reporter().advance(done, total, unit)


@dataclass(frozen=True)
class Registered:
    """An asset as `dataset` was told of it: what is needed to run its function, or to tell why it would be run, without Dagster."""

    asset: str
    group: str
    function: Callable[[Step], Outcome]
    reads: tuple[str, ...]
    reads_all: tuple[str, ...]
    settings: Callable[[Settings], Sequence[Part]]
    files: Callable[[Step], Mapping[str, str]]
    version: str
    seconds: float
    """Duration on the sample sources, all partitions together. A first run estimates its time left from it."""
    together: bool


REGISTERED: dict[str, Registered] = {}
"""The assets whose modules have been imported, by name."""


def _advance_calls(progress: Progress) -> None:
    # What the store held takes no time: counting it would spoil rate and time left.
    speed = f", {progress.tokens / progress.seconds:,.0f} tokens/s" if progress.tokens and progress.seconds else ""
    reporter().advance(progress.done - progress.cached, progress.total - progress.cached, f"{progress.stage} calls", speed)


@cache
def _engines(models: Path) -> EnginePool:
    """The engines of this process: what one asset has loaded the next one uses."""
    return EnginePool(models)


def dataset(
    *,
    group: str,
    reads: Sequence[str] = (),
    reads_all: Sequence[str] = (),
    settings: Callable[[Settings], Sequence[Part]] = lambda _: (),
    files: Callable[[Step], Mapping[str, str]] = lambda _: {},
    columns: Mapping[str, Any] | None = None,
    meaning: Mapping[str, str] | None = None,
    kinds: Sequence[str] = ("polars", "parquet"),
    version: str = "1",
    together: bool = False,
    name: str | None = None,
    seconds: float = 0.2,
) -> Callable[[Callable[[Step], Outcome]], dg.AssetsDefinition]:
    """Make an asset from a function `Step -> Outcome`, whose docstring becomes the asset's description.

    Args:
        group: Group in the graph.
        reads: Assets it reads. Those partitioned like it give the same partition, all others every partition.
        reads_all: Assets of which it reads every partition, although they are partitioned like it.
        settings: What of the settings the result depends on.
        files: What of files outside the lake it depends on: name to fingerprint.
        columns: Name to Polars type of the columns of its rows, for the page.
        meaning: Descriptions of columns that `rows/schema.py` does not describe.
        kinds: Tags shown in the graph.
        version: Changed by hand when the function's result changes.
        together: Whether several partitions are made side by side, so that what they ask models is one batch: for assets whose rows are few.
        name: Asset key, if not the function's name.
        seconds: Duration of `make demo` for this asset, all partitions together and without the start of a model.
    """

    def decorate(function: Callable[[Step], Outcome]) -> dg.AssetsDefinition:
        asset = name or function.__name__
        partitions = partitions_of(asset)
        REGISTERED[asset] = Registered(
            asset, group, function, tuple(reads), tuple(reads_all), settings, files, version, seconds, together
        )  # fmt: skip

        @dg.asset(
            name=asset,
            group_name=group,
            deps=[
                *(_dependency(upstream, everything=_crosses(upstream, asset)) for upstream in reads),
                *(_dependency(upstream, everything=True) for upstream in reads_all),
            ],
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.single_run(),
            code_version=version,
            # Of the steps that are ready, a run takes those of F first: its rows are there while the chat phase still asks its models.
            op_tags={"dagster/priority": "-1" if group in ("chat", "release") else "0"},
            kinds=set(kinds),
            description=inspect.cleandoc(function.__doc__ or ""),
            metadata=_column_schema(columns or {}, {**MEANING, **(meaning or {})}),
        )
        def body(context: dg.AssetExecutionContext, lake: LakeResource) -> None:
            opened = lake.open()
            opened.prune(asset, partition_names(asset, context.instance))
            names = context.partition_keys if partitions else [ALL]
            force = FORCE_TAG in context.run_tags
            made = materialise(REGISTERED[asset], opened, lake.pool(), names, context.run_id, force)
            for name, manifest, reused in made:
                shown = _metadata(opened, manifest, reused)
                context.add_asset_metadata(shown, partition_key=name if partitions else None)
            refresh_database(opened.data)

        return body

    return decorate


def materialise(
    registered: Registered, lake: Lake, pool: Pool, names: Sequence[str], run_id: str, force: bool
) -> Iterator[tuple[str, Manifest, bool]]:
    """Make partitions of an asset, without Dagster.

    Yields:
        Each partition, its manifest, and whether the last materialisation was reused.
    """
    asset, now = registered.asset, Settings()
    with lake.scratch() as shared:
        for some in pieces(names, now.calls.together if registered.together else 1):
            with ExitStack() as scratches:
                folders = [scratches.enter_context(lake.scratch()) for _ in some]
                steps = [Step(asset, name, now, lake, pool, folder, shared) for name, folder in zip(some, folders, strict=True)]
                done = materialise_all([keyed(step, registered) for step in steps], registered, run_id, force)
            for name, (manifest, reused) in zip(some, done, strict=True):
                yield name, manifest, reused


def _alike(upstream: str, asset: str) -> bool:
    """Whether both have the same partitions."""
    return partitions_of(upstream) is not None and partitions_of(upstream) is partitions_of(asset)


def _crosses(upstream: str, asset: str) -> bool:
    """Whether both have partitions, but not the same ones: Dagster then wants to be told that every partition is read."""
    return None not in (partitions_of(upstream), partitions_of(asset)) and not _alike(upstream, asset)


def _dependency(upstream: str, everything: bool) -> dg.AssetDep:
    return dg.AssetDep(upstream, partition_mapping=dg.AllPartitionMapping() if everything else None)


def same_partition_only(upstream: str, asset: str, reads: Sequence[str]) -> bool:
    """Whether an asset reads of an upstream one just the partition that it makes."""
    return upstream in reads and _alike(upstream, asset)


def _versions(step: Step, reads: Sequence[str], reads_all: Sequence[str]) -> dict[str, str]:
    """The data version of every partition that is read."""
    wanted = [
        (asset, partition)
        for asset in (*reads, *reads_all)
        for partition in ([step.partition] if same_partition_only(asset, step.asset, reads) else step.lake.partitions(asset))
    ]
    versions = {}
    for asset, partition in wanted:
        manifest = step.lake.manifest(asset, partition)
        if manifest is None:
            raise InfinityError(f"`{step.asset}` needs `{asset}` ({partition}), which has not been materialised: materialise it first.")
        versions[f"{asset}/{partition}"] = manifest.data_version
    return versions


def keyed(step: Step, registered: Registered) -> Step:
    """The step with what its materialisation depends on."""
    key = StepKey(
        asset=step.asset,
        partition=step.partition,
        code_version=registered.version,
        settings_hash=settings_hash(*registered.settings(step.settings)),
        inputs={**_versions(step, registered.reads, registered.reads_all), **registered.files(step)},
    )
    return replace(step, key=key)


def materialise_all(steps: Sequence[Step], registered: Registered, run_id: str, force: bool) -> list[tuple[Manifest, bool]]:
    """Make some partitions of an asset, side by side where there are several to be made. What can be made is, whatever became of the others."""
    made: dict[str, tuple[Manifest, bool]] = {}
    for step in steps:
        assert step.key
        if not force and (manifest := step.lake.reusable(step.key)):
            reporter().begin(step.asset, step.partition)
            reporter().end(manifest.rows_out, reused=True)
            made[step.partition] = manifest, True
    stale = [step for step in steps if step.partition not in made]
    if stale:
        first, *rest = stale
        reporter().begin(first.asset, f"{first.partition} to {rest[-1].partition}" if rest else first.partition, len(stale))
        manifests = _side_by_side(stale, registered, run_id) if rest else [_materialise(first, registered, run_id)]
        reporter().end(sum(manifest.rows_out for manifest in manifests), reused=False)
        made |= {manifest.partition: (manifest, False) for manifest in manifests}
    return [made[step.partition] for step in steps]


def _side_by_side(steps: Sequence[Step], registered: Registered, run_id: str) -> list[Manifest]:
    together = Together(steps[0].inference())
    results = together.run([partial(_materialise, replace(step, together=together), registered, run_id) for step in steps])
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Manifest)]


def _materialise(step: Step, registered: Registered, run_id: str) -> Manifest:
    assert step.key
    started = time.time()
    try:
        outcome = registered.function(step)
    except BaseException:
        step.lake.write_calls(step.key, step.ledger.generations, run_id)  # they were paid for
        raise
    parts = settings_texts(*registered.settings(step.settings))
    return step.lake.commit(step.key, _with_calls(outcome, step.ledger), run_id, started, parts)


def _with_calls(outcome: Outcome, ledger: Ledger) -> Outcome:
    """The outcome with the step's model calls in its books and on its page."""
    calls = ledger.generations
    if calls.is_empty():
        return outcome
    shown = {"calls by model and prompt": charts.table(ledger.table(), rows=50)}
    return replace(outcome, generations=calls, measures={**outcome.measures, **ledger.measures()}, charts={**outcome.charts, **shown})


def _column_schema(columns: Mapping[str, Any], meaning: Mapping[str, str]) -> dict[str, Any]:
    if not columns:
        return {}
    described = [dg.TableColumn(name, str(dtype), description=meaning.get(name)) for name, dtype in columns.items()]
    return {"dagster/column_schema": dg.TableSchema(columns=described)}


def _metadata(lake: Lake, manifest: Manifest, reused: bool) -> dict[str, Any]:
    """What the asset's page shows of a materialisation."""
    shown: dict[str, Any] = {"dagster/row_count": manifest.rows_out}
    if manifest.rows_dropped is not None:
        shown |= {"rows in": manifest.rows_in, "rows created": manifest.rows_created, "rows dropped": manifest.rows_dropped}
    decisions = lake.catalog / "decisions" / manifest.asset / f"{manifest.partition}.parquet"
    if decisions.exists():
        reasons = (
            pl.scan_parquet(decisions, glob=False)
            .group_by("verdict", "reason")
            .len("rows")
            .sort("verdict", pl.col("rows") * -1, "reason")
            .collect()
        )
        shown["decisions"] = dg.MetadataValue.md(charts.table(reasons, rows=20))
    shown |= {name: value for name, value in manifest.measures.items() if value is not None}
    shown |= {name: dg.MetadataValue.md(markdown) for name, markdown in manifest.charts.items() if markdown}
    file = lake.rows_file(manifest.asset, manifest.partition)
    return shown | {
        "preview": dg.MetadataValue.md(charts.table(_preview(file))),
        "rows file": dg.MetadataValue.path(str(file)),
        "seconds": manifest.seconds,
        "data version": manifest.data_version,
        "reused": reused,
    }


def _preview(file: Path) -> pl.DataFrame:
    head = pl.scan_parquet(file, glob=False).head(5).collect()
    if "messages" not in head.columns:
        return head.select(head.columns[:8])
    text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join(" / ").alias("conversation")
    wanted = ["row_id", "source", "domain", "language", "operation"]
    return head.select(pl.col("row_id").str.slice(0, 8), *[c for c in wanted[1:] if c in head.columns], text)
