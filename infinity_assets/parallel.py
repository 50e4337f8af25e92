"""Parallel processing of batches of rows, in threads: for functions that release the GIL (numba, Polars, numpy)."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Apply a function to items in `workers` threads, and yield the results in the order of the items.

    At most `workers + 1` items are submitted ahead of the consumer, so that memory use stays bounded.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        for item in items:
            pending.append(threads.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def lazy_frame(batches: Iterable[pl.DataFrame], schema: pl.Schema) -> pl.LazyFrame:
    """Return a lazy frame that takes its rows from `batches` while it is collected or written. It can be read once."""

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for batch in batches:
            selected = batch if columns is None else batch.select(columns)
            yield selected if predicate is None else selected.filter(predicate)

    return register_io_source(source, schema=schema, validate_schema=True)
