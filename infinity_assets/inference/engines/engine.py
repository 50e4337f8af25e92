"""The interface of engines."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeAlias

from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import Request, Response


class EngineUnavailable(InfinityError):
    """No request can be answered at present: a server is down, a key is refused, a device is dead. Earlier answers are
    stored.
    """


class EngineMisconfigured(EngineUnavailable):
    """No request can be answered before a setting or the server is changed: to try again later is of no use."""


Admit: TypeAlias = Callable[[int, int], bool]
"""Callback that decides from prompt tokens and maximum answer tokens whether the budget allows a request."""


def admit_all(prompt_tokens: int, max_tokens: int) -> bool:
    """Allow every request."""
    return True


class Engine(Protocol):
    """A language model that answers requests."""

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, and yield (position in `requests`, response) once per position, in order of completion.

        A failed request yields a response with an error. `admit` is called once per request, right before it is
        submitted. After it returns False, requests in flight are finished and the others get no response.

        Raises:
            EngineUnavailable: All requests would fail.
        """
        ...

    def close(self) -> None:
        """Release the engine's resources."""
        ...
