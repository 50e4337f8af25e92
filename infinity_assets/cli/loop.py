"""`infinity loop`."""

from typing import TYPE_CHECKING

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.option("--restart", is_flag=True, help="Forget all turns: the next run begins with the shares of the settings.")
@sentences
def loop(restart: bool) -> None:
    """The weak-domain loop: scores of every turn, gaps, budgets, and what the next run would do.

    \b
    foundation:
      loop: {items: 50, proxy: {enabled: true}}     in infinity.yaml; then a turn is
    infinity run --until proxy                      score the last proxy, relax what lags, select F, train the next

    A run takes a turn if the scores are others than those of its last budget, and none if they are the same, with --force too. docs/loop.md.
    """
    import polars as pl
    from rich.markup import escape

    from infinity_assets.catalog.lake import ALL, Lake
    from infinity_assets.defs.foundation.domain_budget import last_state
    from infinity_assets.report.terminal import loop_tables, open_console

    console, lake = open_console(), Lake(data_dir())
    if restart:
        lake.remove("domain_budget", ALL)
        console.print("All turns are forgotten: the next run begins with the shares of the settings.", highlight=False)
        return
    state = last_state(lake)
    if state is None:
        raise InfinityError("No budget was made yet: `infinity run --until domain_budget`.")
    scores = lake.scan("domain_scores").collect() if lake.manifest("domain_scores") else None
    budget = pl.read_parquet(lake.rows_file("domain_budget", ALL), glob=False)
    for table in loop_tables(scores, budget):
        console.print(table)
    for sentence in _next(lake, scores):
        console.print(escape(sentence), highlight=False, soft_wrap=True)


def _next(lake, scores: "pl.DataFrame | None") -> list[str]:
    import polars as pl

    from infinity_assets.defs.foundation.domain_scores import models_under_test
    from infinity_assets.settings import Settings

    settings = Settings().foundation.loop
    if settings.lm_eval:
        return [
            f"The next run reads {settings.lm_eval}, and takes a turn if the scores there are others than those of the last."
        ]
    if not settings.items:
        return ["Nothing is evaluated (foundation.loop.items is 0): the next run leaves the shares as they are."]
    model = list(models_under_test(settings, lake))[-1]
    known = (
        scores is not None and not scores.filter((pl.col("role") == "tested") & (pl.col("model") == model)).is_empty()
    )
    if not known:
        said = [f"The next run evaluates {model} and takes a turn if its scores are others than those of the last."]
    else:
        said = [
            f"{model} has been evaluated: unless settings, benchmarks or F change, the next run leaves the shares as they are."
        ]
    if not settings.proxy.enabled:
        said.append(
            "No proxy is trained (foundation.loop.proxy.enabled is false): what F teaches is not measured here."
        )
    return said
