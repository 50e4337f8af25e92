"""The `infinity responses` commands."""

import sys
import time
from typing import TYPE_CHECKING

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

    from infinity_assets.inference.responses.store import ResponseStore

_DAY = 86_400 * 10**9
"""Nanoseconds."""


@click.group()
def responses() -> None:
    """The stored answers of models: what no run asks a second time.

    \b
    infinity responses stats                   what is there, by model and prompt
    infinity responses verify                  whether every byte is what was written
    infinity responses verify --move-aside     takes damaged files out, so that the next run asks again what they held
    infinity responses prune --dry-run         what nothing that was ever made has used
    infinity responses compact                 few large files instead of many small ones

    They lie in data/responses/<kind>/<model>/, as Parquet that any tool reads. Runs and these commands may work at the same time, `prune`
    excepted: see there.
    """


@responses.command()
@sentences
def stats() -> None:
    """Answers, errors, tokens and bytes, by kind, model and prompt.

    An error that is an answer (an invalid one, a prompt too long) is stored and counted here by its class; one that was bad luck (a server
    that was away) is not stored, and the next run asks again.
    """
    import polars as pl

    from infinity_assets.report.terminal import open_console

    store = _store()
    told = (
        store.stats()
        .with_columns(errors=pl.format("{} {}", "error", "lines"))
        .group_by("kind", "model", "prompt", maintain_order=True)
        .agg(pl.col("lines", "prompt_tokens", "completion_tokens").sum(), pl.col("errors").drop_nulls().str.join(", "))
    )
    sizes = store.sizes().with_columns(pl.col("bytes") / 2**20)
    console = open_console()
    columns = ["kind", "model", "prompt", "lines", "prompt_tokens", "completion_tokens", "errors"]
    console.print(_table("Stored answers", told.select(columns)))
    console.print(_table("On the disk", sizes.rename({"bytes": "MiB"})))


@responses.command()
@sentences
def compact() -> None:
    """Merge small files into large ones. Runs do it by themselves; nothing that is stored changes by it.

    Files of 64 MiB and more are left as they are. Safe while runs read and write, and if it is killed.
    """
    store = _store()
    before = store.sizes()
    store.compact()
    after = store.sizes()
    click.echo(f"{_described(before)} before, {_described(after)} now.")


@responses.command()
@click.option(
    "--move-aside",
    is_flag=True,
    help="Move what is damaged to data/responses.damaged: the next run asks again what it held.",
)
@sentences
def verify(move_aside: bool) -> None:
    """Read every file, and name those that cannot be trusted. Exit status 1 if there is one, even when it was moved aside.

    A file's name holds a digest of its bytes: a single bit that changed is found. Keys must be keys, and vectors finite.

    \b
    infinity responses verify && infinity run
    infinity responses verify --move-aside; infinity run      asks again what was damaged, and nothing else
    """
    store = _store()
    damages = []
    for damage in store.verify():
        click.echo(f"{damage.path}: {damage.reason}.")
        damages.append(damage)
    if damages and move_aside:
        click.echo(f"Moved to {store.move_aside(damages)}: {_files(len(damages))}.")
    elif damages:
        click.echo(
            f"{_files(len(damages))} of {_described(store.sizes())}: --move-aside takes them out, so that the next run asks again."
        )
    else:
        click.echo(f"{_described(store.sizes())}: all as they were written.")
    if damages:
        sys.exit(1)


@responses.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--latest",
    is_flag=True,
    help="Keep only what the latest materialisation of each partition has used, not those before.",
)
@click.option(
    "--embeddings",
    is_flag=True,
    help="Remove vectors, too: no materialisation names those it used, so all that are old enough go.",
)
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=7,
    show_default=True,
    help="Keep what was stored after that.",
)
@click.option(
    "--errors", metavar="CLASSES", help="Instead: remove what failed in these ways, used or not, and however young."
)
@sentences
def prune(dry_run: bool, latest: bool, embeddings: bool, older_than: float, errors: str | None) -> None:
    """Remove the answers that no materialisation has used, past or present.

    \b
    infinity responses prune --dry-run                       look first
    infinity responses prune
    infinity responses prune --latest --older-than 0         the least that replays the data as they are now
    infinity responses prune --errors invalid_request,refused && infinity run --force      asks these again

    What a materialisation used stands in its book of model calls (`generations`), which is written when it is finished. A run that is under
    way, or was killed and is to go on, has none yet: --older-than keeps the answers that it made. Only answers that are older, and that a run
    has just found again, can be taken from under it: it ends well with them, but a replay asks again. So prune while no run works; with
    --older-than 0 that is a must. The age is that of a file's youngest answer: what was merged with younger ones stays with them.

    What is removed is asked again if it is ever wanted again, and a model that samples may then answer otherwise.
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.report.terminal import open_console

    if errors:
        gone = _store().forget([error.strip() for error in errors.split(",")], dry_run)
        click.echo(f"{gone:,} answers {'would go' if dry_run else 'are gone'}.")
        return
    store, keys = _store(), Lake(data_dir()).request_keys(latest)
    if keys.is_empty():
        raise InfinityError(
            f"{data_dir()} holds no materialisation that asked a model: nothing says which answers are used, and none is removed."
        )
    told = store.prune(keys, time.time_ns() - int(older_than * _DAY), embeddings, dry_run)
    young = told["too_young"].sum()
    gone, mib = told["removed"].sum(), told["freed"].sum() / 2**20
    open_console().print(
        _table(
            "Of the stored answers, not used", told.rename({"removed": "would go" if dry_run else "gone"}).drop("freed")
        )
    )
    click.echo(
        f"{gone:,} answers {'would go' if dry_run else 'are gone'}, about {mib:,.1f} MiB."
        + (
            f" {young:,} more are not used, but stored (or merged with some that were) in the last {older_than:g} days."
            if young
            else ""
        )
    )


def _store() -> "ResponseStore":
    from infinity_assets.inference.responses.store import ResponseStore

    return ResponseStore(data_dir() / "responses")


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"


def _described(sizes: "pl.DataFrame") -> str:
    return f"{_files(int(sizes['segments'].sum()))}, {sizes['bytes'].sum() / 2**20:,.1f} MiB"


def _table(title: str, frame: "pl.DataFrame") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for name, dtype in frame.schema.items():
        table.add_column(name.replace("_", " "), justify="right" if dtype.is_numeric() else "left")
    for row in frame.iter_rows():
        shown = (
            (f"{value:,.1f}" if isinstance(value, float) else f"{value:,}") if isinstance(value, int | float) else value
            for value in row
        )
        table.add_row(*(escape(value or "") for value in shown))
    return table
