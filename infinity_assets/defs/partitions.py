"""The two partitions definitions, and which asset has which.

`source` is dynamic, one partition per folder of the pool. `shard` is static, by hash of the row id. Steps in between have none.
"""

import re

import dagster as dg

from infinity_assets.catalog.lake import ALL, Lake
from infinity_assets.reading.pool import Pool
from infinity_assets.rows.ids import shard_names
from infinity_assets.settings import Settings

SOURCES = dg.DynamicPartitionsDefinition(name="source")
SHARDS = dg.StaticPartitionsDefinition(shard_names(Settings().shards))

_BY_SOURCE = {"raw_pool", "synthesized_from_text", "fingerprints", "embeddings"}
_BY_SHARD = {
    "deduped",
    "matches",
    "decontaminated",
    "measured",
    "ngrams",
    "importance",
    "vectors",
    "proximity",
    "tagged",
    "labelled",
    "scored",
    "loss_after",
    "evolved",
    "answered",
    "diagnosed",
    "conversed",
}


def partitions_of(asset: str) -> dg.PartitionsDefinition | None:
    """The partitions of an asset; later rounds (`evolved_2`) have those of the first."""
    stem = re.sub(r"_\d+$", "", asset)
    return SOURCES if stem in _BY_SOURCE else SHARDS if stem in _BY_SHARD else None


def partition_names(asset: str, instance: dg.DagsterInstance) -> list[str]:
    """The partition keys an asset has now."""
    partitions = partitions_of(asset)
    return list(partitions.get_partition_keys(dynamic_partitions_store=instance)) if partitions else [ALL]


def register_sources(instance: dg.DagsterInstance, pool: Pool, lake: Lake) -> tuple[list[str], list[str]]:
    """Make the `source` partitions equal to the folders of the pool.

    A source that is gone loses its partition and its rows; what is downstream of it follows at the next run.

    Returns:
        Names added and names removed.
    """
    assert SOURCES.name
    have, want = set(instance.get_dynamic_partitions(SOURCES.name)), set(pool.source_folders())
    added, removed = sorted(want - have), sorted(have - want)
    instance.add_dynamic_partitions(SOURCES.name, added)
    for name in removed:
        instance.delete_dynamic_partition(SOURCES.name, name)
    for asset in _BY_SOURCE:
        lake.prune(asset, want)
    return added, removed
