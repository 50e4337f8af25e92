"""`infinity loop`."""

from typing import TYPE_CHECKING

import click

from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.option("--restart", is_flag=True, help="Forget all turns: the next run begins with the shares in the settings.")
def loop(restart: bool) -> None:
    """Show the weak domain loop: the scores and factors of every turn, the budget, and the next turn.

    \b
    foundation:                                     settings in infinity.yaml that enable the loop
      loop: {items: 50, proxy: {enabled: true}}
    infinity run --until proxy                      a turn: score the proxy, relax weak domains, select F, train

    A run takes a turn only if the scores have changed since the last turn, even with --force. See docs/loop.md.
    """
    import polars as pl

    from infinity_assets.catalog.lake import ALL, Lake
    from infinity_assets.defs.foundation.domain_budget import last_state
    from infinity_assets.report.terminal import loop_tables, open_console, say

    console, lake = open_console(), Lake(data_dir())
    if restart:
        lake.remove("domain_budget", ALL)
        say(console, "All turns are forgotten: the next run begins with the shares in the settings.")
        return
    state = last_state(lake)
    if state is None:
        raise InfinityError("There is no budget yet: `infinity run --until domain_budget`.")
    scores = lake.scan("domain_scores").collect() if lake.manifest("domain_scores") else None
    budget = pl.read_parquet(lake.rows_file("domain_budget", ALL), glob=False)
    for table in loop_tables(scores, budget):
        console.print(table)
    for sentence in _next(lake, scores):
        say(console, sentence)


def _next(lake, scores: "pl.DataFrame | None") -> list[str]:
    from infinity_assets.defs.foundation.domain_scores import models_under_test
    from infinity_assets.settings import Settings

    settings = Settings().foundation.loop
    turn = "takes a turn if its scores differ from those of the last turn."
    if settings.lm_eval:
        return [f"The next run reads {settings.lm_eval} and {turn}"]
    if not settings.items:
        return ["Nothing is evaluated (foundation.loop.items is 0): the next run keeps the shares."]
    model = list(models_under_test(settings, lake))[-1]
    if scores is None or scores.filter(role="tested", model=model).is_empty():
        result = [f"The next run evaluates {model} and {turn}"]
    else:
        result = [f"{model} has been evaluated: the next run keeps the shares unless settings, benchmarks or F change."]
    if not settings.proxy.enabled:
        result.append(
            "No proxy is trained (foundation.loop.proxy.enabled is false), so the effect of F is not measured."
        )
    return result
