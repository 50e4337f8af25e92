"""The resources of the assets: the data folder, and the models. Neither opens anything before an asset asks for it."""

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
    """The data folder: rows, metadata, and the list of the source folders."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    data: str = ""
    """The data folder. Empty: INFINITY_DATA, or `data` in the working directory."""
    force: bool = False
    """Make partitions again that are up to date. Answers of models are taken from the response store in any case."""

    def open(self) -> Lake:
        """Return the lake in the data folder."""
        return Lake(Path(self.data).absolute() if self.data else data_dir())

    def pool(self) -> Pool:
        """Return the folders that make the pool."""
        return Pool.load(self.open().data)


class ModelsResource(dg.ConfigurableResource):
    """The models: engines on this machine's GPUs or CPU, and clients of servers.

    A model is opened at the first call that the response store cannot answer. It stays open until the run ends, or
    until another model needs its place.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    folder: str = ""
    """The folder of the weights. Empty: INFINITY_MODELS, or `models` in the folder of INFINITY_DATA."""
    budget_tokens: int | None = None
    """Stop before this run has used more tokens. Without both budgets, `calls` in the settings decides."""
    budget_cost: float | None = None
    """Stop before this run has spent more, in the prices' currency. Without both, `calls` in the settings decides."""
    retries: int = 3
    """Number of times that a step is tried again if a model is unavailable."""
    retry_seconds: float = 60.0
    """Seconds until a step is tried again."""
    _models: Models | None = PrivateAttr(None)

    def open(self) -> Models:
        """Return the models of this run."""
        if self._models is None:
            own = Calls(budget_tokens=self.budget_tokens, budget_cost=self.budget_cost)
            given = self.budget_tokens is not None or self.budget_cost is not None
            self._models = Models(self.engines(), Budget(own if given else Settings().calls))
        return self._models

    def engines(self) -> EnginePool:
        """Return a pool that opens the engines of this run."""
        return EnginePool(Path(self.folder).absolute() if self.folder else models_dir())

    def teardown_after_execution(self, context: Any) -> None:
        """Close the models."""
        if self._models is not None:
            self._models.engines.release()
            self._models = None


def default_resources(data: str = "") -> dict[str, Any]:
    """Return the resources that every asset asks for, by name, for a data folder (empty: INFINITY_DATA)."""
    return {"lake": LakeResource(data=data), "models": ModelsResource()}
