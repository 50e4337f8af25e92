"""The two jobs of the graph. A Dagster job has one partitions definition, so sources and shards need separate jobs."""

import dagster as dg

from infinity_assets.defs.partitions import SHARDS, SOURCES
from infinity_assets.defs.registry import GROUPS

ingest_sources = dg.define_asset_job(
    "ingest_sources",
    selection=dg.AssetSelection.groups("ingest"),
    partitions_def=SOURCES,
    description="Ingest the source folders: `raw_pool`, `synthesized_from_text`, `fingerprints` and `embeddings`, with "
    "one partition per source.",
)

build_sets = dg.define_asset_job(
    "build_sets",
    selection=dg.AssetSelection.groups(*(group for group in GROUPS if group != "ingest")),
    partitions_def=SHARDS,
    description="Build everything downstream of the pool, up to InfInstruct-F, InfInstruct-G and the release. "
    "Materialize **all** partitions.",
)


@dg.definitions
def executor() -> dg.Definitions:
    """Return the executor: one process per run, because its assets share engines, which take 12 seconds to load."""
    return dg.Definitions(executor=dg.in_process_executor)
