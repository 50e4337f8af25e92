"""The registry of the assets: their declarations, their order, and the partitions of its inputs that each asset reads.

The decorator `dataset` fills the registry when the modules of the assets are imported. Checks, planner, runner and
tests look up all assets here, so that each asset is declared in one place only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

from pydantic import BaseModel

from infinity_assets.catalog.lake import ALL, Outcome
from infinity_assets.defs.partitions import DEFINITIONS, Axis
from infinity_assets.errors import InfinityError
from infinity_assets.settings import Settings

Part = BaseModel | str | int | float
"""A section or a value of the settings, or the hash of a prompt."""


class Group(NamedTuple):
    """A group of assets in the graph."""

    planned: bool
    """True if `infinity plan` runs its assets on a sample. Other groups must be materialized before the plan."""
    priority: int = 0
    """Priority of its steps: of the steps that are ready, a run starts those with the highest number first."""


GROUPS = {
    "ingest": Group(planned=False),
    "curate": Group(planned=False),
    "score": Group(planned=True),
    "foundation": Group(planned=True),
    # Lower than `foundation`, so that InfInstruct-F is finished while the chat assets still call their models.
    "chat": Group(planned=True, priority=-1),
    "release": Group(planned=False, priority=-1),
}
"""The groups, in the order in which data passes through them."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The declaration of an asset."""

    group: str
    """The group in the graph, a key of `GROUPS`."""
    partitions: Axis | None = None
    """`source` for one partition per source, `shard` for one per shard of the row ids. None: no partitions."""
    reads: Sequence[str] = ()
    """The inputs. If an input has the same partitions as the asset, only the one of the same name is read, else all."""
    reads_all: Sequence[str] = ()
    """Inputs that are always read with all their partitions."""
    invariants: Sequence[str] = ()
    """Names of the invariants (`infinity_assets.invariants`) that its rows must satisfy, as blocking asset checks."""
    settings: Callable[[Settings], Sequence[Part]] = lambda _: ()
    """Function that returns the parts of the settings, and the hashes of the prompts, on which the result depends."""
    files: Callable[..., Mapping[str, str]] = lambda _: {}
    """Function from a `Step` to the files outside the lake on which the result depends: name to fingerprint."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The columns of its rows: name to Polars type. `columns.yaml` describes them."""
    kinds: Sequence[str] = ("polars", "parquet")
    """The tags that Dagster shows on the asset, such as `polars` or `vllm`."""
    version: str = "1"
    """The version of the code. Raise it whenever the same inputs give another result."""
    round: int = 1
    """The round of the chat loop to which the asset belongs. From the second on, its key has a suffix: `evolved_2`."""
    batched: bool = False
    """True if the model calls of several partitions are made in one batch, because each partition has few rows."""
    trains: bool = False
    """True if it trains a model, whose weights are in a folder named after the asset. `infinity plan` skips it."""
    planned: bool | None = None
    """True if `infinity plan` runs it on a sample. None: the value of its group."""
    seconds: float = 0.2
    """Time that all its partitions take in `make demo`, without the start of a model. A first run estimates the time
    left from it."""


@dataclass(frozen=True, kw_only=True)
class Registered(Declaration):
    """A registered asset: its declaration, its name and its function."""

    stem: str
    """The name without its round: `evolved` for `evolved_2`."""
    function: Callable[..., Outcome]
    """Makes one partition: takes its `Step`, and returns its rows and ledger tables."""

    @property
    def asset(self) -> str:
        """The name of the asset, with its round as a suffix: `evolved_2`."""
        return in_round(self.stem, self.round)

    @property
    def is_planned(self) -> bool:
        """True if `infinity plan` runs it on a sample."""
        return GROUPS[self.group].planned if self.planned is None else self.planned

    @property
    def inputs(self) -> tuple[str, ...]:
        """The assets that it reads."""
        return (*self.reads, *self.reads_all)

    def reads_same_partition(self, upstream: str) -> bool:
        """Return whether a partition of the asset reads only the input's partition of the same name."""
        return upstream in self.reads and self.partitions is not None and find(upstream).partitions == self.partitions

    def partition_names(self, sources: Iterable[str]) -> list[str]:
        """Return the names of the asset's partitions, given the names of all sources."""
        if self.partitions == "source":
            return list(sources)
        return list(DEFINITIONS["shard"].get_partition_keys()) if self.partitions else [ALL]


REGISTERED: dict[str, Registered] = {}
"""The assets whose modules have been imported, by name."""


@cache
def load() -> None:
    """Import the modules of all assets, which registers the assets."""
    for group in GROUPS:
        package = import_module(f"infinity_assets.defs.{group}")
        for module in iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")


def find(asset: str) -> Registered:
    """Return the declaration of an asset.

    Raises:
        InfinityError: There is no asset of that name.
    """
    load()
    if asset not in REGISTERED:
        raise InfinityError(f"There is no asset `{asset}`; there are {', '.join(sorted(REGISTERED))}.")
    return REGISTERED[asset]


def needed_by(asset: str | None) -> list[Registered]:
    """Return an asset and all assets upstream of it in topological order, or all assets if `asset` is None.

    Raises:
        InfinityError: There is no asset of that name.
    """
    order: dict[str, Registered] = {}

    def visit(registered: Registered) -> None:
        if registered.asset not in order:
            for upstream in registered.inputs:
                visit(REGISTERED[upstream])
            order[registered.asset] = registered

    load()
    groups = list(GROUPS)
    for registered in (
        [find(asset)] if asset else sorted(REGISTERED.values(), key=lambda registered: groups.index(registered.group))
    ):
        visit(registered)
    return list(order.values())


def in_round(asset: str, number: int) -> str:
    """Return the name of an asset in a round of the chat loop: `evolved` in the first, `evolved_2` in the second."""
    return asset if number == 1 else f"{asset}_{number}"
