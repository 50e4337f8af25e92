"""The class `Step`: the argument of every asset function, with its inputs, settings and models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from infinity_assets.catalog.lake import Lake, StepKey
from infinity_assets.defs.registry import find
from infinity_assets.inference.batched import BatchedInference, InferenceBatch
from infinity_assets.inference.client import Inference, Progress
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.models import Models
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.progress import reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.settings import Settings
from infinity_assets.synthesis.prompting import Asking

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """The materialization of one partition of an asset, in progress."""

    asset: str
    partition: str
    settings: Settings
    lake: Lake
    pool: Pool
    models: Models
    scratch: Path
    """A temporary folder for data that is too large for memory. It is removed after the result is committed."""
    shared: Path
    """A temporary folder that all partitions of the asset share. It is removed after the last one of this run."""
    ledger: Ledger = field(default_factory=Ledger)
    """The record of the step's model calls."""
    batch: InferenceBatch | None = None
    """Merges the step's model calls with those of other partitions. None if the partition is made alone."""
    key: StepKey | None = None
    """The key of this materialization. None while the key is being computed."""
    trains: bool = True
    """False in `infinity plan`, which trains no model."""

    def read(self, asset: str) -> pl.LazyFrame:
        """Return the rows of an input: the partition of the same name if both assets have the same partitions, else all
        partitions. An input in `reads_all` is always read in full.
        """
        return self.lake.scan(asset, self.partition if find(self.asset).reads_same_partition(asset) else None)

    def sampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that go to the models: all of them in a run, a sample in `infinity plan`."""
        return rows

    def before(self) -> tuple[pl.LazyFrame | None, list[str]]:
        """Return the rows of the last materialization, and the names of the input partitions that were added since.

        The rows are None unless the last materialization is intact and added partitions are the only change since.
        """
        assert self.key
        last = self.lake.manifest(self.asset, self.partition)
        if last is None or not self.lake.intact(last):
            return None, []
        same = (last.code_version, last.settings_hash) == (self.key.code_version, self.key.settings_hash)
        if not same or not last.inputs.items() < self.key.inputs.items():
            return None, []
        return self.lake.scan(self.asset, self.partition), sorted(
            name.partition("/")[2] for name in self.key.inputs.keys() - last.inputs.keys()
        )

    def batches(self, rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
        """Yield rows in order, in batches of `size`, and show the progress after each batch."""
        total = rows.select(pl.len()).collect().item()
        done = 0
        for batch in rows.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
            yield batch
            done += batch.height
            self.advance(done, total)

    def inference(self) -> Inference:
        """Return a client for the models, with the response store of this data folder. An engine starts only if a
        response is missing there.
        """
        make = Inference if self.batch is None else partial(BatchedInference, self.batch)
        store, retries = ResponseStore(self.lake.data / "responses"), self.settings.calls.retries
        return make(store, self.models.engines, show_calls, self.ledger, self.models.budget, retries)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return the result of `make`, which is called once for all partitions of a batch. They share the result, so it
        must not be changed.
        """
        return make() if self.batch is None else self.batch.once(name, make)

    def asking(self) -> Asking:
        """Return a client that asks the models about frames of rows, by prompt."""
        return Asking(self.inference(), self.settings, self.asset)

    def advance(self, done: int, total: int | None = None, unit: str = "rows") -> None:
        """Show how much of the step is done. `total` is None if unknown."""
        reporter().advance(done, total, unit)


def show_calls(progress: Progress) -> None:
    """Show the progress of a batch of model calls, without the calls that the response store answered: they take no
    time and would distort the rate.
    """
    speed = f", {progress.tokens / progress.seconds:,.0f} tokens/s" if progress.tokens and progress.seconds else ""
    done, total = progress.done - progress.cached, progress.total - progress.cached
    reporter().advance(done, total, f"{progress.stage} calls", speed)
