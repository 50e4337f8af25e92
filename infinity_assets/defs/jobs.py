"""The two jobs. A run holds one partitions definition, so the graph takes two: sources first, then everything behind them."""

import dagster as dg

from infinity_assets.defs.partitions import SHARDS, SOURCES

_INGEST = dg.AssetSelection.groups("ingest")

ingest_sources = dg.define_asset_job(
    "ingest_sources",
    selection=_INGEST,
    partitions_def=SOURCES,
    description="Reads the source folders: `raw_pool`, `synthesized_from_text`, `fingerprints` and `embeddings`, one partition per source.",
)

build_sets = dg.define_asset_job(
    "build_sets",
    selection=dg.AssetSelection.all() - _INGEST,
    partitions_def=SHARDS,
    description="Everything behind the pool, to InfInstruct-F, InfInstruct-G and the release. Materialise **all** partitions.",
)


@dg.definitions
def executor() -> dg.Definitions:
    """Every run executes in one process: an engine takes 12 seconds to load, and what one asset has loaded the next one uses."""
    return dg.Definitions(executor=dg.in_process_executor)
