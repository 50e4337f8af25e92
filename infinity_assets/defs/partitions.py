"""The partitions of the graph and the number of its rounds.

Both follow from the settings in force when the definitions are loaded, because Dagster has to know all assets and
static partitions before a run begins. No other module reads settings at import time. After a change of `shards`,
`chat.rounds` or `dedup.near`, reload the code location.
"""

from typing import Literal

import dagster as dg

from infinity_assets.rows.ids import shard_names
from infinity_assets.settings import Settings

LOADED = Settings()
"""The settings in force when the definitions were loaded."""

SOURCES = dg.DynamicPartitionsDefinition(name="source")
"""One partition per source folder of the pool. `automation.register_sources` keeps them equal."""

SHARDS = dg.StaticPartitionsDefinition(shard_names(LOADED.shards))
"""A fixed number of partitions, by hash of the row id."""

ROUNDS = range(1, LOADED.chat.rounds + 1)
"""The rounds of the chat loop, which is unrolled in the graph."""

Axis = Literal["source", "shard"]

DEFINITIONS: dict[Axis, dg.PartitionsDefinition] = {"source": SOURCES, "shard": SHARDS}
