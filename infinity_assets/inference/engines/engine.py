"""The interface of engines."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeAlias

from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import Request, Response


class EngineUnavailable(InfinityError):
    """No request can be answered at present, for example because a server is down. Earlier answers are stored."""


class EngineMisconfigured(EngineUnavailable):
    """No request can be answered until a setting or the server is changed. It is of no use to try again later."""


Admit: TypeAlias = Callable[[int, int], bool]
"""Callback that returns true if the budget allows a request. Its arguments: prompt tokens, maximum answer tokens."""


def admit_all(prompt_tokens: int, max_tokens: int) -> bool:
    """Allow every request."""
    return True


class Engine(Protocol):
    """A language model that answers requests."""

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests. Yield (position in `requests`, response) once per request, in order of completion.

        A failed request yields a response with an error. `admit` is called once per request, right before it is
        submitted. Once it returns False, requests in flight are finished, and the others get no response.

        Raises:
            EngineUnavailable: All requests would fail.
        """
        ...

    def close(self) -> None:
        """Release the engine's resources."""
        ...
