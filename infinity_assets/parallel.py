"""Work in threads, for functions that release the GIL (compiled kernels, Polars, numpy), a batch of rows at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results in the order of the items; no more than `workers` items are being worked on, and one result waits."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        for item in items:
            pending.append(threads.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def lazily(batches: Iterable[pl.DataFrame], schema: pl.Schema) -> pl.LazyFrame:
    """The batches as one lazy frame, which asks for them as it is written. It can be read once."""

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for batch in batches:
            taken = batch if columns is None else batch.select(columns)
            yield taken if predicate is None else taken.filter(predicate)

    return register_io_source(source, schema=schema, validate_schema=True)
