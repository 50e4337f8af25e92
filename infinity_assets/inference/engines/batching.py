"""Batch helpers for models that run in this process without vLLM: chunks, halving after failures, padding."""

import gc
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def iterate_chunks(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in order, `size` at a time."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def run_halving(
    batch: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]
) -> Iterator[tuple[Item, Result | Exception]]:
    """Process a batch, and its halves if it fails for lack of memory or because of one item.

    Yields every item with its result, or with the error if the item fails alone.
    """
    results: Sequence[Result | Exception]
    try:
        results = work(batch)
    except Exception as error:
        # The frames of the traceback would keep the tensors that filled the memory.
        results = [error.with_traceback(None)] if len(batch) == 1 else []
    if len(results) == len(batch):
        yield from zip(batch, results, strict=True)
        return
    free()
    middle = len(batch) // 2
    yield from run_halving(batch[:middle], work)
    yield from run_halving(batch[middle:], work)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the device or the machine had too little memory for a tensor."""
    import torch

    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def free() -> None:
    """Return unused memory to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def pad(rows: Sequence[Sequence[int]], device: Any, left: bool = False, filler: int = 0) -> tuple[Any, Any]:
    """Pad rows of tokens on the right, or on the left.

    Returns:
        Token ids and attention mask: int64 tensors of shape (rows, longest row) on the device.
    """
    import torch

    longest = max(map(len, rows))
    ids = []
    mask = []
    for row in rows:
        gap = longest - len(row)
        blank = [filler] * gap
        ones = [1] * len(row)
        zeros = [0] * gap
        ids.append([*blank, *row] if left else [*row, *blank])
        mask.append([*zeros, *ones] if left else [*ones, *zeros])
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
