"""Resources: where the data lies, and the models. Neither opens anything before an asset asks."""

from pathlib import Path

import dagster as dg

from infinity_assets.catalog.lake import Lake
from infinity_assets.locations import data_dir
from infinity_assets.reading.pool import Pool


class LakeResource(dg.ConfigurableResource):
    """The data folder: rows, books, and the pool's folders."""

    data: str = ""
    """The folder; empty for INFINITY_DATA, or `data` in the working directory."""

    def open(self) -> Lake:
        """The lake in that folder."""
        return Lake(Path(self.data) if self.data else data_dir())

    def pool(self) -> Pool:
        """The folders that make the pool."""
        return Pool.load(self.open().data)


@dg.definitions
def resources() -> dg.Definitions:
    """The resources that every asset can ask for."""
    return dg.Definitions(resources={"lake": LakeResource()})
