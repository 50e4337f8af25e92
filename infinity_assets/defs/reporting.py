"""Reports of materialized partitions to Dagster, each with the data version of the partition.

A step that makes several partitions ends in one `MaterializeResult`, whose data version Dagster gives to all of them.
So two more events are logged for each partition. The first is logged as soon as the partition is finished, so that
the UI shows the finished partitions of a run that fails later. The second follows Dagster's own events and holds the
data version of the partition.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from infinity_assets.catalog.lake import Lake, Manifest
from infinity_assets.defs import page
from infinity_assets.defs.registry import Registered
from infinity_assets.errors import InfinityError
from infinity_assets.rows.ids import digest
from infinity_assets.settings import Settings, settings_hash

DATA_VERSION = "dagster/data_version"
"""The tag of a materialization event that holds its data version."""


def settings_version(registered: Registered, settings: Settings) -> str:
    """Return the code version for Dagster. It changes with the version, the settings and the prompts of an asset, so
    that the UI then marks the asset as stale.
    """
    return f"{registered.version}-{settings_hash(*registered.settings(settings))}"


def report(
    context: dg.AssetExecutionContext, registered: Registered, lake: Lake, made: Iterable[tuple[str, Manifest, bool]]
) -> Iterator[dg.MaterializeResult]:
    """Report each partition that `materialize` yields as soon as it is finished, and all of them at the end.

    Raises:
        InfinityError: The run selects no partition.
    """
    key, versions, pages = context.asset_key, {}, {}
    for name, manifest, reused in made:
        shown = page.materialization_metadata(lake, manifest, reused)
        if not registered.partitions:
            yield dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(manifest.data_version))
            return
        versions[name], pages[name] = manifest.data_version, shown
        context.add_asset_metadata(shown, partition_key=name)
        if not reused and len(context.partition_keys) > 1:
            # No code version: Dagster would take an event with one for the record of the inputs, which follows later.
            tags = {DATA_VERSION: manifest.data_version}
            context.log_event(dg.AssetMaterialization(key, partition=name, metadata=shown, tags=tags))
    if not versions:
        raise InfinityError(f"The run selects no partition of `{registered.asset}`.")
    several = len(versions) > 1
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(digest("\n".join(versions.values())) if several else versions.popitem()[1])
    )
    if several:
        latest = context.instance.get_latest_materialization_event(key)
        assert latest
        assert latest.asset_materialization
        tags = latest.asset_materialization.tags or {}  # with the versions of the inputs
        for name, version in versions.items():
            context.log_event(
                dg.AssetMaterialization(key, partition=name, metadata=pages[name], tags={**tags, DATA_VERSION: version})
            )
