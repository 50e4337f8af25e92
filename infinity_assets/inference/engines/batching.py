"""Batches for models that run in this process without vLLM: made by length, bounded by tokens, and halved when they fail."""

import gc
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def pieces(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """The items in order, `size` at a time."""
    remaining = iter(items)
    while piece := list(islice(remaining, size)):
        yield piece


def by_halves(
    batch: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]
) -> Iterator[tuple[Item, Result | Exception]]:
    """Work on a batch; where that fails, out of memory or by a fault in one item, on its halves.

    Yields every item with its result; one that fails alone with the error.
    """
    results: Sequence[Result | Exception]
    try:
        results = work(batch)
    except Exception as error:
        # Without the traceback, whose frames hold the tensors that filled the memory.
        results = [error.with_traceback(None)] if len(batch) == 1 else []
    if len(results) == len(batch):
        yield from zip(batch, results, strict=True)
        return
    free()
    middle = len(batch) // 2
    yield from by_halves(batch[:middle], work)
    yield from by_halves(batch[middle:], work)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no more memory for a tensor."""
    import torch

    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def free() -> None:
    """Give memory that nothing holds any more back to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def padded(rows: Sequence[Sequence[int]], place: Any, left: bool = False, filler: int = 0) -> tuple[Any, Any]:
    """Token ids and attention mask, int64 tensors of shape (rows, longest row) on the device `place`, padded on the right or on the left."""
    import torch

    longest = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        blank, ones, zeros = [filler] * gap, [1] * len(row), [0] * gap
        ids.append([*blank, *row] if left else [*row, *blank])
        mask.append([*zeros, *ones] if left else [*ones, *zeros])
    return torch.tensor(ids, device=place), torch.tensor(mask, device=place)
