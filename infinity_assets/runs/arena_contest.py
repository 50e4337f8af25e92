"""Comparison of selectors on the rows of a lake, for `infinity arena`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from infinity_assets.catalog.lake import LEDGER, Lake
from infinity_assets.defs.foundation import candidates
from infinity_assets.defs.foundation.domain_scores import tasks_of
from infinity_assets.errors import InfinityError
from infinity_assets.evaluation.evaluate import evaluate
from infinity_assets.evaluation.scores import TESTED, count_results
from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.inference.weights.models import local_path
from infinity_assets.locations import models_dir
from infinity_assets.reading.pool import Pool
from infinity_assets.selection import arena
from infinity_assets.selection.arena import Arena, Proxy
from infinity_assets.selection.domain_budget import relax_rules
from infinity_assets.selection.rules import first_failure, rulebook
from infinity_assets.settings import Settings
from infinity_assets.training import proxy as training


@dataclass(frozen=True)
class Contest:
    """A finished comparison of selectors."""

    arena: Arena
    columns: pl.DataFrame
    """The number of rows with a value, per column that the selectors require; from `arena.scarcity`."""
    notes: Sequence[str]
    """Sentences about the rows that the selectors chose from."""


def hold(
    lake: Lake,
    selectors: Sequence[str],
    size: int,
    settings: Settings,
    *,
    each: bool = False,
    proxy: Proxy | None = None,
    advance: Callable[[str], None] = lambda name: None,
) -> Contest:
    """Compare selectors on the rows of a lake that pass the rules of InfInstruct-F.

    Args:
        lake: A lake with all inputs of `inf_instruct_f`.
        selectors, size: Names of the selectors, and number of rows that each takes.
        each: True: every selector gets all rows that pass the rules. False: every selector gets the same rows, namely
            those with a value in every column that any of the selectors requires.
        proxy: Function that trains a model on a selection and evaluates it; `None` to train no model.
        advance: Called with the name of each selector before it runs.

    Raises:
        InfinityError: The selectors would get fewer than `size` rows, or an input is not materialized.
    """
    recipe = settings.foundation
    rows = candidates.candidates(lake.scan)
    rules = relax_rules(recipe.rules, lake.scan("domain_budget").collect())
    failed = first_failure(candidates.facts(lake.scan, rows, rules), rulebook.rules(rules))
    passed = rows.join(failed, on="row_id", how="anti")
    fetch = candidates.vectors_of(lake.scan)
    wanted = arena.required_columns(selectors)
    columns = arena.scarcity(passed, selectors)
    frame = passed if each else passed.filter(arena.has_all(passed, wanted - {"vector"}))
    if "vector" in wanted:
        # Vectors are the largest column, so only those of the remaining rows are read.
        frame = frame.join(fetch(frame["row_id"]), on="row_id", how="left")
        frame = frame if each else frame.filter(pl.col("vector").is_not_null())
    if frame.height < size:
        raise InfinityError(_too_few(frame.height, size, columns if frame.height < passed.height else None))
    items = lake.scan("benchmark_vectors").select("domain", "vector").collect()
    result = arena.compare(
        frame, selectors, size, recipe, fetch=fetch, items=items, calls=_calls(lake), proxy=proxy, advance=advance
    )
    return Contest(result, columns, [*_notes(rows.height, passed.height, frame.height, result, each=each)])


def proxy_trainer(lake: Lake, settings: Settings) -> Proxy:
    """Return a function that fine-tunes `foundation.loop.model` on a selection and returns its scores by benchmark.

    The function trains like the asset `proxy`. The weights are kept in `data/arena/proxy` and reused. Raises
    `InfinityError` if `foundation.loop.items` is 0, or if the model runs on a server.
    """
    loop = settings.foundation.loop
    if not loop.items:
        raise InfinityError(
            "--proxy evaluates on the benchmarks: set `foundation.loop.items` to the number of items of each."
        )
    if loop.model.backend == "openai":
        raise InfinityError(
            "The proxy is trained from `foundation.loop.model`, so its weights must be here, not on a server."
        )
    tasks, _ = tasks_of(Pool.load(lake.data), lake.scan("benchmarks").collect(), loop.items)
    inference = Inference(ResponseStore(lake.data / "responses"), EnginePool(models_dir()))

    def scores(name: str, row_ids: pl.Series) -> dict[str, float]:
        chosen = lake.scan("decontaminated").join(row_ids.to_frame("row_id").lazy(), on="row_id", how="semi")
        rows = training.draw_sample(chosen, loop.proxy)
        folder = lake.data / "arena" / "proxy" / training.folder_name(rows, loop.proxy, loop.model.weights_id)
        inference.release()  # frees the memory of the engine for the training
        training.train(rows, loop.proxy, local_path(loop.model, models_dir()), folder)
        spec = loop.model.model_copy(update={"model": str(folder), "revision": folder.name})
        verdicts = evaluate(inference, spec, tasks, loop.sampling, loop.sandbox, settings.prompts_dir).verdicts
        results = count_results(name, TESTED, tasks, verdicts).drop_nulls("score").sort("benchmark")
        return dict(results.select("benchmark", "score").iter_rows())

    return scores


def _notes(rows: int, passed: int, shown: int, result: Arena, *, each: bool) -> Iterator[str]:
    yield f"{rows:,} rows are in the pool after decontamination; {passed:,} pass the rules."
    if each:
        yield (
            "Every selector got all of these and left out the rows that it cannot rank for want of a score. Selections "
            "of different selectors therefore come from different rows; the last tables give their numbers."
        )
    else:
        yield f"All selectors got the same {shown:,} rows, which have every value that any of the selectors needs."
    for name, count in result.summary.filter(pl.col("rows") < result.size).select("selector", "rows").iter_rows():
        first = result.reasons.filter(selector=name).head(1)
        rows, reason = first["rows"].item(), first["reason"].item().replace("_", " ")
        yield f"{name} took {count:,} rows and could rank no more: {rows:,} others are out for {reason}."


def _too_few(rows: int, size: int, columns: pl.DataFrame | None) -> str:
    if columns is None:
        return f"Only {rows:,} rows pass the rules, and {size:,} are asked for: choose a smaller --size."
    scarce = columns.sort("rows").head(3)
    listed = "; ".join(f"{column} ({count:,} rows, for {names})" for column, count, names in scarce.iter_rows())
    return (
        f"Only {rows:,} rows have what all of these selectors need, and {size:,} are asked for: choose a smaller "
        f"--size or other selectors, or let each take what it can rank with --each. Scarcest: {listed}."
    )


def _calls(lake: Lake) -> pl.DataFrame:
    """Return the model calls of `scored` and `tagged` in all runs, one line per request."""
    wanted = ["request_key", "row_id", "prompt", "prompt_tokens", "completion_tokens", "cost"]
    files = [
        file
        for asset in ("scored", "tagged")
        for file in sorted((lake.catalog / "generations" / asset).glob("*/*.parquet"))
    ]
    if not files:
        return pl.DataFrame(schema={name: LEDGER["generations"][name] for name in wanted})
    lines = pl.scan_parquet(files, glob=False, missing_columns="insert").select(wanted).collect()
    # `generations` has a line for every use of a response; only the line of the call itself has its cost.
    return lines.sort("request_key", "cost", descending=[False, True]).unique(
        "request_key", keep="first", maintain_order=True
    )
