"""Batching for models that run in this process without vLLM: chunks, halving of failed batches, padding."""

import gc
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, takewhile
from typing import Any, TypeVar

from infinity_assets.inference.engines.engine import Admit
from infinity_assets.inference.requests import (
    ENGINE_ERROR,
    INVALID_REQUEST,
    Request,
    Response,
    RewardRequest,
    make_failure,
    most_tokens,
    require_finite,
)

PREPARED = 2048
"""Number of requests that are tokenized at a time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A prepared request: its position among the requests, and the token ids that the model reads."""

    position: int
    tokens: list[int]


AnyRequest = TypeVar("AnyRequest", bound=Request | RewardRequest)
AnyJob = TypeVar("AnyJob", bound=Job)


def run_batches(
    requests: Sequence[AnyRequest],
    order: Iterable[int],
    prepare: Callable[[int, AnyRequest], AnyJob | Response],
    batches: Callable[[list[AnyJob]], Iterable[list[AnyJob]]],
    answer: Callable[[Sequence[AnyJob]], Sequence[Response]],
    admit: Admit,
) -> Generator[tuple[int, Response], None, None]:
    """Answer requests like `Engine.run`. A failing batch is halved, so that only the faulty request fails.

    Args:
        order: Positions of the requests, in the order in which they are prepared.
        prepare: Function that turns (position, request) into a job, or into a response if the request is invalid.
        batches: Function that divides jobs into batches.
        answer: Function that answers a batch.
    """
    for chunk in iterate_chunks(order, PREPARED):
        jobs: list[AnyJob] = []
        for position in chunk:
            try:
                job = prepare(position, requests[position])
            except Exception as error:  # from the chat template or the grammar
                job = make_failure(INVALID_REQUEST, repr(error))
            if isinstance(job, Response):
                yield position, job
            else:
                jobs.append(job)
        for batch in batches(jobs):
            admitted = list(takewhile(lambda job: admit(len(job.tokens), most_tokens(requests[job.position])), batch))
            started = time.monotonic()
            for job, result in run_halving(admitted, answer) if admitted else ():
                response = make_failure(ENGINE_ERROR, repr(result)) if isinstance(result, Exception) else result
                seconds = time.monotonic() - started
                yield job.position, replace(require_finite(response), prompt_tokens=len(job.tokens), seconds=seconds)
            if len(admitted) < len(batch):
                return


def iterate_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in order, `size` at a time."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def run_halving(
    batch: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]
) -> Iterator[tuple[Item, Result | Exception]]:
    """Process a batch. If it fails, for lack of memory or because of one item, process its halves separately.

    Yields every item with its result, or with the error if the item also fails alone.
    """
    results: Sequence[Result | Exception]
    try:
        results = work(batch)
    except Exception as error:
        # The traceback would keep the tensors alive that filled the memory.
        results = [error.with_traceback(None)] if len(batch) == 1 else []
    if len(results) == len(batch):
        yield from zip(batch, results, strict=True)
        return
    free()
    middle = len(batch) // 2
    yield from run_halving(batch[:middle], work)
    yield from run_halving(batch[middle:], work)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device or the machine has too little memory."""
    import torch

    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def free() -> None:
    """Collect garbage and return unused GPU memory to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def pad(rows: Sequence[Sequence[int]], device: Any, left: bool = False, filler: int = 0) -> tuple[Any, Any]:
    """Pad rows of token ids to the same length, on the right or on the left.

    Returns:
        Token ids and attention mask: int64 tensors of shape (rows, longest row) on the device.
    """
    import torch

    tokens = [torch.tensor(row, dtype=torch.int64) for row in rows]
    padded = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True, padding_side="left" if left else "right")
    ids = padded(tokens, padding_value=filler)
    mask = padded([torch.ones_like(row) for row in tokens])
    return ids.to(device), mask.to(device)
