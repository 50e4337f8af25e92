"""The partitions of the graph and the rounds of the chat loop.

Both follow from the settings at import time, because Dagster has to know all assets and static partitions before a run
begins. Apart from them, only the columns of `fingerprints` depend on settings at that time. After a change of `shards`,
`chat.rounds` or `dedup.near`, reload the code location.
"""

from typing import Literal

import dagster as dg

from infinity_assets.rows.ids import shard_names
from infinity_assets.settings import Settings

LOADED = Settings()
"""The settings at the time when the definitions were loaded."""

SOURCES = dg.DynamicPartitionsDefinition(name="source")
"""One partition per source folder of the pool. `automation.register_sources` adds and deletes them."""

SHARDS = dg.StaticPartitionsDefinition(shard_names(LOADED.shards))
"""One partition per shard: the rows are distributed by a hash of the row id. The setting `shards` is their number."""

ROUNDS = range(1, LOADED.chat.rounds + 1)
"""The numbers of the rounds of the chat loop. Every round has its own assets in the graph."""

Axis = Literal["source", "shard"]

DEFINITIONS: dict[Axis, dg.PartitionsDefinition] = {"source": SOURCES, "shard": SHARDS}
