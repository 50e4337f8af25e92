"""The Dagster resources of the assets: the data folder and the models. Nothing is opened before an asset needs it."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import ConfigDict, PrivateAttr

from infinity_assets.catalog.lake import Lake
from infinity_assets.inference.budget import Budget
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.models import Models
from infinity_assets.locations import data_dir, models_dir
from infinity_assets.reading.pool import Pool
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Calls


class LakeResource(dg.ConfigurableResource):
    """The data folder, with the rows, the metadata and the list of the source folders."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    data: str = ""
    """The data folder. Empty: INFINITY_DATA, or `data` in the working directory."""
    force: bool = False
    """Make partitions again even if they are up to date. Stored model answers are still reused."""

    def open(self) -> Lake:
        """Return the lake in the data folder."""
        return Lake(Path(self.data).absolute() if self.data else data_dir())

    def pool(self) -> Pool:
        """Return the pool: its source and benchmark folders."""
        return Pool.load(self.open().data)


class ModelsResource(dg.ConfigurableResource):
    """The models: engines on this machine's GPUs or CPU, and clients of servers.

    A model is opened at the first call that the response store cannot answer. It stays open until the run ends or
    another model needs its memory.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    folder: str = ""
    """The folder of the weights. Empty: INFINITY_MODELS, or `models` in the folder of INFINITY_DATA."""
    budget_tokens: int | None = None
    """Maximum number of tokens that this run may use. If neither budget is set, `calls` in the settings applies."""
    budget_cost: float | None = None
    """Maximum cost of this run, in the currency of the prices. If neither budget is set, `calls` applies."""
    retries: int = 3
    """Maximum number of retries of a step if a model is unavailable."""
    retry_seconds: float = 60.0
    """Seconds to wait before each retry."""
    _models: Models | None = PrivateAttr(None)

    def open(self) -> Models:
        """Return the models of this run."""
        if self._models is None:
            own = Calls(budget_tokens=self.budget_tokens, budget_cost=self.budget_cost)
            given = self.budget_tokens is not None or self.budget_cost is not None
            self._models = Models(self.engines(), Budget(own if given else Settings().calls))
        return self._models

    def engines(self) -> EnginePool:
        """Return a new engine pool, which opens and holds the engines of a run."""
        return EnginePool(Path(self.folder).absolute() if self.folder else models_dir())

    def teardown_after_execution(self, context: Any) -> None:
        """Close the models."""
        if self._models is not None:
            self._models.engines.release()
            self._models = None


def default_resources(data: str = "") -> dict[str, Any]:
    """Return the resources of the assets by name: `lake` and `models`. An empty `data` stands for INFINITY_DATA."""
    return {"lake": LakeResource(data=data), "models": ModelsResource()}
