"""The arena on a lake: which rows the contestants are shown, and where their numbers come from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from infinity_assets.catalog.lake import BOOKS, Lake
from infinity_assets.defs.foundation import candidates
from infinity_assets.defs.foundation.domain_scores import tasks_of
from infinity_assets.errors import InfinityError
from infinity_assets.evaluation.evaluate import evaluate
from infinity_assets.evaluation.scores import TESTED, counted
from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.inference.weights.models import local_path
from infinity_assets.locations import models_dir
from infinity_assets.reading.pool import Pool
from infinity_assets.selection import arena
from infinity_assets.selection.arena import Arena, Proxy
from infinity_assets.selection.domain_budget import relaxed
from infinity_assets.selection.rules import first_failure, rulebook
from infinity_assets.settings import Settings
from infinity_assets.training import proxy as training


@dataclass(frozen=True)
class Held:
    """An arena, and what there is to say of its rows."""

    arena: Arena
    columns: pl.DataFrame
    """As `arena.scarcity` gives it."""
    notes: Sequence[str]


def hold(
    lake: Lake,
    selectors: Sequence[str],
    size: int,
    settings: Settings,
    *,
    each: bool = False,
    proxy: Proxy | None = None,
    advance: Callable[[str], None] = lambda name: None,
) -> Held:
    """Let selectors compete on the rows of a lake.

    Args:
        lake: With everything that `inf_instruct_f` reads.
        selectors: Contestants.
        size: Rows that each takes.
        settings: The settings in force.
        each: Whether every selector is shown all rows that pass the rules, not only those that have what all of them need.
        proxy: Trains a model on a selection and evaluates it.
        advance: Told the name of each selector as it begins.

    Raises:
        InfinityError: Fewer rows than `size` have what all need.
    """
    recipe = settings.foundation
    rows = candidates.candidates(lake.scan)
    rules = relaxed(recipe.rules, lake.scan("domain_budget").collect())
    failed = first_failure(candidates.facts(lake.scan, rows, rules), rulebook.rules(rules))
    passed = rows.join(failed, on="row_id", how="anti")
    fetch = candidates.vectors_of(lake.scan)
    wanted = arena.needs(selectors)
    columns = arena.scarcity(passed, selectors)
    frame = passed if each else passed.filter(arena.has_all(passed, wanted - {"vector"}))
    if "vector" in wanted:
        # Only of rows that have the rest: vectors are the largest thing here.
        frame = frame.join(fetch(frame["row_id"]), on="row_id", how="left")
        frame = frame if each else frame.filter(pl.col("vector").is_not_null())
    if frame.height < size and frame.height < passed.height:
        raise InfinityError(_too_few(frame.height, size, columns))
    if frame.height < size:
        raise InfinityError(
            f"Only {frame.height:,} rows pass the rules, and {size:,} are asked for: choose a smaller --size."
        )
    items = lake.scan("benchmark_vectors").select("domain", "vector").collect()
    held = arena.compare(
        frame, selectors, size, recipe, fetch=fetch, items=items, calls=_calls(lake), proxy=proxy, advance=advance
    )
    return Held(held, columns, [*_shown(rows.height, passed.height, frame.height, each=each), *_short(held)])


def trained(lake: Lake, settings: Settings) -> Proxy:
    """A function that fine-tunes `foundation.loop.model` on a selection, as `proxy` does on F, and gives its scores by benchmark.

    Weights lie in `data/arena/proxy` and are found again.

    Raises:
        InfinityError: The settings name no items to evaluate, or a model on a server.
    """
    loop = settings.foundation.loop
    if not loop.items:
        raise InfinityError(
            "--proxy evaluates on the benchmarks: set `foundation.loop.items` to the number of items of each."
        )
    if loop.model.backend == "openai":
        raise InfinityError(
            "The proxy is made from `foundation.loop.model`, whose weights must be here, not on a server."
        )
    tasks, _ = tasks_of(Pool.load(lake.data), lake.scan("benchmarks").collect(), loop.items)
    inference = Inference(ResponseStore(lake.data / "responses"), EnginePool(models_dir()))

    def scores(name: str, row_ids: pl.Series) -> dict[str, float]:
        chosen = (
            lake.scan("decontaminated")
            .join(row_ids.to_frame("row_id").lazy(), on="row_id", how="semi")
            .collect(engine="streaming")
        )
        rows = training.sampled(chosen, loop.proxy)
        folder = lake.data / "arena" / "proxy" / training.name(rows, loop.proxy, loop.model.identity)
        inference.release()  # training wants the memory that an engine holds
        training.train(rows, loop.proxy, local_path(loop.model, models_dir()), folder)
        spec = loop.model.model_copy(update={"model": str(folder), "revision": folder.name})
        verdicts = evaluate(inference, spec, tasks, loop.sampling, loop.sandbox, settings.prompts_dir).verdicts
        found = counted(name, TESTED, tasks, verdicts).drop_nulls("score").sort("benchmark")
        return dict(found.select("benchmark", "score").iter_rows())

    return scores


def _shown(rows: int, passed: int, shown: int, *, each: bool) -> Iterator[str]:
    yield f"{rows:,} rows are in the pool after decontamination; {passed:,} pass the rules."
    if each:
        yield (
            "Every selector was shown all of these. What it cannot rank for want of a score it leaves out: selections of different selectors come "
            "from different rows, and the last tables say from how many."
        )
    else:
        yield f"All selectors were shown the same {shown:,} rows: those that have a value for everything that any of the selectors needs."


def _short(held: Arena) -> Iterator[str]:
    for name, count in held.summary.filter(pl.col("rows") < held.size).select("selector", "rows").iter_rows():
        why = held.reasons.filter(selector=name).head(1)
        rows, reason = why["rows"].item(), why["reason"].item().replace("_", " ")
        yield f"{name} took {count:,} rows and could rank no more: {rows:,} others are out for {reason}."


def _too_few(rows: int, size: int, columns: pl.DataFrame) -> str:
    scarce = columns.sort("rows").head(3)
    told = "; ".join(f"{column} ({count:,} rows, for {names})" for column, count, names in scarce.iter_rows())
    return (
        f"Only {rows:,} rows have what all of these selectors need, and {size:,} are asked for: choose a smaller --size or other selectors, "
        f"or let each take what it can rank with --each. Scarcest: {told}."
    )


def _calls(lake: Lake) -> pl.DataFrame:
    """The calls whose answers the scores and labels are made of, made now or before: one line per request."""
    wanted = ["request_key", "row_id", "prompt", "prompt_tokens", "completion_tokens", "cost"]
    files = [
        file
        for asset in ("scored", "tagged")
        for file in sorted((lake.catalog / "generations" / asset).glob("*/*.parquet"))
    ]
    if not files:
        return pl.DataFrame(schema={name: BOOKS["generations"][name] for name in wanted})
    lines = pl.scan_parquet(files, glob=False, missing_columns="insert").select(wanted).collect()
    # The books have a line for every use; what was paid is in the first.
    return lines.sort("request_key", "cost", descending=[False, True]).unique(
        "request_key", keep="first", maintain_order=True
    )
