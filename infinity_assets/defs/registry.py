"""The registered assets, and what follows from their declarations: their order, what each needs, and which partitions
it reads.

`dataset` fills the registry when the modules of the assets are imported. Everything that has to know all assets
(checks, planner, runner, tests) asks here, so that an asset is declared in one place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

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


@dataclass(frozen=True)
class Registered:
    """The declaration of an asset, as the decorator `dataset` describes it."""

    asset: str
    stem: str
    """The name without its round: `evolved` for `evolved_2`."""
    round: int
    group: str
    function: Callable[..., Outcome]
    """Takes a `Step`."""
    reads: tuple[str, ...]
    reads_all: tuple[str, ...]
    axis: Axis | None
    invariants: tuple[str, ...]
    settings: Callable[[Settings], Sequence[Part]]
    files: Callable[..., Mapping[str, str]]
    """Takes a `Step`."""
    version: str
    seconds: float
    batched: bool
    trains: bool
    planned: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The assets that it reads."""
        return (*self.reads, *self.reads_all)

    def reads_same_partition(self, upstream: str) -> bool:
        """Return whether it reads, of an input, only the partition that it makes itself."""
        return upstream in self.reads and self.axis is not None and find(upstream).axis == self.axis

    def partition_names(self, sources: Iterable[str]) -> list[str]:
        """Return the names of its partitions, given those of the sources."""
        if self.axis == "source":
            return list(sources)
        return list(DEFINITIONS["shard"].get_partition_keys()) if self.axis else [ALL]


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
    """Return an asset and everything upstream of it (None: all assets), each behind the assets that it reads.

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
