"""What an engine is, to the rest of the package."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeAlias

from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import Request, Response


class EngineUnavailable(InfinityError):
    """No request can be answered at present: a server that is down, a refused key, a dead device. What was answered before is in the
    store.
    """


Admit: TypeAlias = Callable[[int, int], bool]
"""Whether a request may be submitted, by its prompt tokens and the most that it may write: the budget's word."""


def always(prompt_tokens: int, max_tokens: int) -> bool:
    """Every request may be submitted."""
    return True


class Engine(Protocol):
    """A language model that can be asked."""

    def run(self, requests: Sequence[Request], admit: Admit = always) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, in the order in which they finish: (position in `requests`, response), each position once.

        A request that fails gives a response with an error. `admit` is asked right before a request is submitted, once for each; when it says
        no, nothing more is submitted, what is in flight is finished, and the rest gets no response. Raises `EngineUnavailable` when all
        requests would fail.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...
