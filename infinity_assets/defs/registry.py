"""The registered assets, and what follows from their declarations: their order, what each needs, and which partitions
it reads.

`dataset` fills the registry when the modules of the assets are imported. Everything that has to know all assets
(checks, planner, runner, tests) asks here, so that an asset is declared in one place.
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
    """A group of the graph."""

    planned: bool
    """True if `infinity plan` runs its assets on a sample. Assets of the other groups must have been made before."""
    priority: int = 0
    """Of the steps that are ready, a run takes those with the highest number first."""


GROUPS = {
    "ingest": Group(planned=False),
    "curate": Group(planned=False),
    "score": Group(planned=True),
    "foundation": Group(planned=True),
    # F comes first: its rows are there while the chat phase still asks its models.
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
    """The assets that it reads. Of one with the same partitions it reads the partition that it makes, of any other one
    all partitions."""
    reads_all: Sequence[str] = ()
    """Assets of which it reads all partitions, although it has partitions itself."""
    invariants: Sequence[str] = ()
    """Names of the invariants (`infinity_assets.invariants`) that its rows must keep: blocking asset checks."""
    settings: Callable[[Settings], Sequence[Part]] = lambda _: ()
    """The sections and values of the settings, and the hashes of the prompts, that the result depends on."""
    files: Callable[..., Mapping[str, str]] = lambda _: {}
    """The files outside the lake that the result depends on, for a `Step`: name to fingerprint."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The columns of its rows: name to Polars type. `columns.yaml` has their meaning."""
    kinds: Sequence[str] = ("polars", "parquet")
    """The tags that Dagster shows in the graph."""
    version: str = "1"
    """The version of the code. Raise it whenever the same inputs give another result."""
    round: int = 1
    """The round of the chat loop that it belongs to. From the second on, the key gets a suffix: `evolved_2`."""
    batched: bool = False
    """True if the model calls of several partitions are made in one batch, for few rows per partition."""
    trains: bool = False
    """True if it trains a model, whose weights lie in a folder of the asset's name. `infinity plan` does not run it."""
    planned: bool | None = None
    """True if `infinity plan` runs it on a sample. None: as its group says."""
    seconds: float = 0.2
    """The duration of `make demo` for this asset, all partitions together and without the start of a model. A first run
    estimates its time left from it."""


@dataclass(frozen=True, kw_only=True)
class Registered(Declaration):
    """A registered asset."""

    stem: str
    """The name without its round: `evolved` for `evolved_2`."""
    function: Callable[..., Outcome]
    """Takes a `Step`."""

    @property
    def asset(self) -> str:
        """The name."""
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
        """Return whether the asset reads only one partition of an input: the one of the same name as its own."""
        return upstream in self.reads and self.partitions is not None and find(upstream).partitions == self.partitions

    def partition_names(self, sources: Iterable[str]) -> list[str]:
        """Return the names of its partitions, given those of the sources."""
        if self.partitions == "source":
            return list(sources)
        return list(DEFINITIONS["shard"].get_partition_keys()) if self.partitions else [ALL]


REGISTERED: dict[str, Registered] = {}
"""The assets whose modules have been imported, by name."""


@cache
def load() -> None:
    """Import the modules of all assets, so that each is registered."""
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
    """Return an asset and everything upstream of it (None: all assets), each after the assets that it reads.

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
    """Return the key of an asset in a round of the chat loop: `evolved` in the first, `evolved_2` in the second."""
    return asset if number == 1 else f"{asset}_{number}"
