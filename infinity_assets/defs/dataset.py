"""The decorator `dataset`, which turns a function `Step -> Outcome` into a Dagster asset."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg

from infinity_assets.catalog.lake import ALL, Outcome
from infinity_assets.catalog.views import refresh_database
from infinity_assets.defs import page
from infinity_assets.defs.materialize import materialize
from infinity_assets.defs.partitions import DEFINITIONS, LOADED, SOURCES
from infinity_assets.defs.registry import GROUPS, REGISTERED, Declaration, Registered
from infinity_assets.defs.reporting import report, settings_version
from infinity_assets.defs.resources import LakeResource, ModelsResource
from infinity_assets.defs.step import Step
from infinity_assets.inference.engines.engine import EngineMisconfigured, EngineUnavailable

MODELS_POOL = "models"
"""The Dagster concurrency pool of the assets that open a model. Its limit (`dagster instance concurrency set models 1`)
bounds the number of such steps that run at the same time, in all runs. Without a limit, no step waits.
"""

_ENGINES = {"vllm", "pytorch", "sentencetransformers"}
"""Values of `kinds` that mark an asset as one that opens a model."""


@dataclass(frozen=True, kw_only=True)
class dataset(Declaration):
    """Decorator that turns a function `Step -> Outcome` into an asset and registers it.

    The name of the function becomes the asset's key, its docstring the asset's description. A partition is made again
    only if the rows of its inputs, its settings, its files or its version have changed.
    """

    def __call__(self, function: Callable[[Step], Outcome]) -> dg.AssetsDefinition:
        """Register a function and return its asset."""
        registered = Registered(**vars(self), stem=function.__name__, function=function)
        asset, partitions = registered.asset, registered.partitions
        REGISTERED[asset] = registered
        group = GROUPS[self.group]

        @dg.asset(
            name=asset,
            group_name=self.group,
            deps=[
                *self.reads,
                *(dg.AssetDep(upstream, partition_mapping=dg.AllPartitionMapping()) for upstream in self.reads_all),
            ],
            partitions_def=DEFINITIONS[partitions] if partitions else None,
            backfill_policy=dg.BackfillPolicy.single_run(),
            code_version=settings_version(registered, LOADED),
            op_tags={"dagster/priority": str(group.priority)},
            pool=MODELS_POOL if _ENGINES & set(self.kinds) else None,
            kinds=set(self.kinds),
            description=inspect.cleandoc(function.__doc__ or ""),
            metadata=page.column_schema(registered),
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
