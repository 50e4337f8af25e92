"""What an engine is, to the rest of the package."""

from collections.abc import Generator, Sequence
from typing import Protocol

from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import Request, Response


class EngineUnavailable(InfinityError):
    """No request can be answered at present: a server that is down, a refused key, a dead device. What was answered before is in the
    store.
    """


class Engine(Protocol):
    """A language model that can be asked."""

    def run(self, requests: Sequence[Request]) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, in the order in which they finish: (position in `requests`, response), each position once.

        A request that fails gives a response with an error. Raises `EngineUnavailable` when all of them would.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...
