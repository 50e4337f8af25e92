"""What a strategy is, and what goes into it and comes out."""

from abc import ABC, abstractmethod

import polars as pl

from infinity_assets.chat_settings import Evolution, StrategyName
from infinity_assets.synthesis.asking import Asking

SEEDS = pl.Schema(
    {
        "row_id": pl.String,
        "kind": pl.String,
        "domain": pl.String,
        "language": pl.String,
        "cate_ability": pl.List(pl.String),
        "ability": pl.List(pl.String),
        "seed": pl.String,
        "seed_answer": pl.String,
        "deficiency": pl.String,
    }
)
"""A seed, among other columns: `seed` is its instruction or passage; `seed_answer` its answer, null where it has none; `deficiency` what the
students' answers to it lacked, in words, null where that was not told."""

WRITTEN = pl.Schema(
    {"row_id": pl.String, "operation": pl.String, "text": pl.String, "tests": pl.String, "finish_reason": pl.String, "error": pl.String}
)
"""What came of a seed, named by its row id: the instruction in `text` (null or empty if there is none, then `error` says why), the operation that
made it, and in `tests` Python assertions that an answer has to pass, where the strategy brings some."""


class Strategy(ABC):
    """A way to make instructions of seeds."""

    name: StrategyName
    """As the settings call it."""

    @abstractmethod
    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """The names of the prompts that it asks with, under these settings: what of the prompts its result depends on."""

    @abstractmethod
    def takes(self) -> pl.Expr:
        """Which seeds it can be used on, from the columns of `SEEDS`."""

    @abstractmethod
    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Make an instruction of every seed.

        Args:
            seeds: `SEEDS`, one line per seed, all of them such as it takes; maybe none.
            asking: The models and settings.
            number: The round, from 1: with the row id it seeds what is drawn.

        Returns:
            `WRITTEN`, one line per seed, in any order.
        """
