"""The decorator that makes a Dagster asset of a function `Step -> Outcome`."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from infinity_assets.catalog.lake import ALL, Outcome
from infinity_assets.catalog.views import refresh_database
from infinity_assets.defs import page
from infinity_assets.defs.materialize import materialize
from infinity_assets.defs.partitions import DEFINITIONS, LOADED, SOURCES, Axis
from infinity_assets.defs.registry import GROUPS, REGISTERED, Part, Registered, in_round
from infinity_assets.defs.reporting import report, settings_version
from infinity_assets.defs.resources import LakeResource, ModelsResource
from infinity_assets.defs.step import Step
from infinity_assets.inference.engines.engine import EngineMisconfigured, EngineUnavailable
from infinity_assets.rows.schema import MEANING
from infinity_assets.settings import Settings

MODELS_POOL = "models"
"""The pool of the assets that open a model. Its limit (`dagster instance concurrency set models 1`) bounds the steps
that do so at the same time, over all runs; without a limit, Dagster does not wait.
"""

_ENGINES = {"vllm", "pytorch", "sentencetransformers"}
"""The kinds of the assets that open a model."""


def dataset(
    *,
    group: str,
    partitions: Axis | None = None,
    reads: Sequence[str] = (),
    reads_all: Sequence[str] = (),
    invariants: Sequence[str] = (),
    settings: Callable[[Settings], Sequence[Part]] = lambda _: (),
    files: Callable[[Step], Mapping[str, str]] = lambda _: {},
    columns: Mapping[str, Any] | None = None,
    meaning: Mapping[str, str] | None = None,
    kinds: Sequence[str] = ("polars", "parquet"),
    version: str = "1",
    round: int = 1,
    batched: bool = False,
    trains: bool = False,
    planned: bool | None = None,
    seconds: float = 0.2,
) -> Callable[[Callable[[Step], Outcome]], dg.AssetsDefinition]:
    """Make an asset of a function `Step -> Outcome`.

    The name of the function becomes the asset's key, and its docstring the asset's description. A partition is made
    again only if something that it depends on has changed: the rows of its inputs, the settings, the files, or the
    version.

    Args:
        group: The group in the graph, a key of `registry.GROUPS`.
        partitions: `source` for one partition per source, `shard` for one per shard of the row ids. None for an asset
            without partitions.
        reads: The assets that it reads. Of one with the same partitions it reads the partition that it makes, of any
            other one all partitions.
        reads_all: Assets of which it reads all partitions, although it has partitions itself.
        invariants: Names of the invariants (`infinity_assets.invariants`) that its rows must keep. They become blocking
            asset checks.
        settings: The sections and values of the settings, and the hashes of the prompts, that the result depends on.
        files: The files outside the lake that the result depends on: name to fingerprint.
        columns: The columns of its rows: name to Polars type.
        meaning: The descriptions of columns that `rows/schema.py` does not describe.
        kinds: The tags that Dagster shows in the graph.
        version: The version of the code. Raise it whenever the same inputs give another result.
        round: The round of the chat loop that it belongs to. From the second on, the key gets a suffix: `evolved_2`.
        batched: Whether the model calls of several partitions are made in one batch. Suits assets with few rows per
            partition.
        trains: Whether it trains a model, whose weights lie in a folder of the asset's name. `infinity plan` does not
            run it.
        planned: Whether `infinity plan` runs it on a sample. Default: what its group says.
        seconds: The duration of `make demo` for this asset, all partitions together and without the start of a model. A
            first run estimates its time left from it.
    """

    def decorate(function: Callable[[Step], Outcome]) -> dg.AssetsDefinition:
        stem = function.__name__
        asset = in_round(stem, round)
        registered = REGISTERED[asset] = Registered(
            asset, stem, round, group, function, tuple(reads), tuple(reads_all), partitions, tuple(invariants), settings, files, version, seconds,
            batched, trains, GROUPS[group].planned if planned is None else planned,
        )  # fmt: skip

        @dg.asset(
            name=asset,
            group_name=group,
            deps=[
                *reads,
                *(dg.AssetDep(upstream, partition_mapping=dg.AllPartitionMapping()) for upstream in reads_all),
            ],
            partitions_def=DEFINITIONS[partitions] if partitions else None,
            backfill_policy=dg.BackfillPolicy.single_run(),
            code_version=settings_version(registered, LOADED),
            op_tags={"dagster/priority": str(GROUPS[group].priority)},
            pool=MODELS_POOL if _ENGINES & set(kinds) else None,
            kinds=set(kinds),
            description=inspect.cleandoc(function.__doc__ or ""),
            metadata=page.column_schema(columns or {}, {**MEANING, **(meaning or {})}),
        )
        def body(
            context: dg.AssetExecutionContext, lake: LakeResource, models: ModelsResource
        ) -> Iterator[dg.MaterializeResult]:
            opened = lake.open()
            opened.prune(asset, registered.partition_names(context.instance.get_dynamic_partitions(SOURCES.name or "")))
            names = context.partition_keys if partitions else [ALL]
            made = materialize(registered, opened, lake.pool(), models.open(), names, context.run_id, lake.force)
            try:
                yield from report(context, registered, opened, made)
            except EngineUnavailable as error:
                if isinstance(error, EngineMisconfigured) or not models.retries:
                    raise
                raise dg.RetryRequested(models.retries, models.retry_seconds) from error
            finally:
                refresh_database(opened.data)

        return body

    return decorate
