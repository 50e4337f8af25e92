"""The `infinity responses` commands."""

import sys
import time
from typing import TYPE_CHECKING

import click

from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl

    from infinity_assets.inference.responses.store import ResponseStore

_DAY = 86_400 * 10**9
"""Length of a day in nanoseconds."""


@click.group()
def responses() -> None:
    """Manage the response store: it keeps the answers of models, so that no run requests them a second time.

    \b
    infinity responses stats                   number of stored answers by model and prompt
    infinity responses verify                  find damaged files
    infinity responses verify --move-aside     remove damaged files; the next run requests their answers again
    infinity responses prune --dry-run         count the answers that no materialization has used
    infinity responses compact                 merge small files into large ones

    The store consists of Parquet files in data/responses/<kind>/<model>/. Do not use `prune` during a run; the other
    commands are safe.
    """


@responses.command()
def stats() -> None:
    """Count stored answers, errors and tokens by kind, model and prompt, and files and bytes by kind and model.

    A permanent error (an invalid answer, a prompt that is too long) is stored, and counted by its class. A retriable
    error (a server that is down) is not stored: the next run makes the request again.
    """
    import polars as pl

    from infinity_assets.report.terminal import frame_table, open_console

    store = _store()
    counts = (
        store.stats()
        .with_columns(errors=pl.format("{} {}", "error", "lines"))
        .group_by("kind", "model", "prompt", maintain_order=True)
        .agg(pl.col("lines", "prompt_tokens", "completion_tokens").sum(), pl.col("errors").drop_nulls().str.join(", "))
    )
    sizes = store.sizes().with_columns(pl.col("bytes") / 2**20).rename({"bytes": "MiB"})
    open_console().print(
        frame_table("Stored answers", counts, texts=("kind", "model", "prompt", "errors")),
        frame_table("On disk", sizes, texts=("kind", "model"), floats=",.1f"),
    )


@responses.command()
def compact() -> None:
    """Merge small files into large ones. Answers do not change. Runs also do this themselves.

    Files of 64 MiB or more stay as they are. The command can be used during a run, and it can be killed at any time.
    """
    store = _store()
    before = _described(store.sizes())
    store.compact()
    click.echo(f"{before} before, {_described(store.sizes())} now.")


@responses.command()
@click.option(
    "--move-aside",
    is_flag=True,
    help="Move damaged files to data/responses.damaged: the next run requests their answers again.",
)
def verify(move_aside: bool) -> None:
    """Read every file and list the damaged ones. The exit status is 1 if a file is damaged, even if it was moved.

    The name of a file contains a digest of its bytes, so a single changed bit is detected. Malformed request keys and
    vectors that are not finite also count as damage.

    \b
    infinity responses verify && infinity run
    infinity responses verify --move-aside; infinity run      requests only the answers of damaged files again
    """
    store = _store()
    damages = []
    for damage in store.verify():
        click.echo(f"{damage.path}: {damage.reason}.")
        damages.append(damage)
    if not damages:
        click.echo(f"{_described(store.sizes())}: all as written.")
        return
    if move_aside:
        click.echo(f"Moved to {store.move_aside(damages)}: {_files(len(damages))}.")
    else:
        click.echo(
            f"{_files(len(damages))} of {_described(store.sizes())}: "
            "--move-aside takes them out, and the next run requests their answers again."
        )
    sys.exit(1)


@responses.command()
@click.option("--dry-run", is_flag=True, help="Only show the answers that would be removed.")
@click.option(
    "--latest", is_flag=True, help="Keep only answers that the latest materialization of each partition has used."
)
@click.option(
    "--embeddings", is_flag=True, help="Remove vectors too. Their use is not recorded, so all old ones are removed."
)
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=7,
    show_default=True,
    help="Keep answers that are not older than this.",
)
@click.option(
    "--errors", metavar="CLASSES", help="Remove only errors of these classes, whether used or not, of any age."
)
def prune(dry_run: bool, latest: bool, embeddings: bool, older_than: float, errors: str | None) -> None:
    """Remove the answers that no materialization, latest or earlier, has used.

    \b
    infinity responses prune --dry-run                       count, but remove nothing
    infinity responses prune
    infinity responses prune --latest --older-than 0         keep only the answers used by the present data
    infinity responses prune --errors invalid_request,refused && infinity run --force      request these again

    The ledger table `generations` records the answers that a materialization used. It is written when the
    materialization ends. New answers of a run in progress, or of a killed run, are therefore not yet recorded;
    --older-than keeps them. Older answers that a run in progress reuses may be removed, so do not prune during a run,
    least of all with --older-than 0. The age of a file is that of its youngest answer: older answers in it are kept.

    If a removed answer is needed again, it is requested again, and a model that samples may answer differently.
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.report.terminal import frame_table, open_console

    store = _store()
    removed = "would be removed" if dry_run else "removed"
    if errors:
        click.echo(f"{store.forget([error.strip() for error in errors.split(',')], dry_run):,} answers {removed}.")
        return
    keys = Lake(data_dir()).request_keys(latest)
    if keys.is_empty():
        raise InfinityError(
            f"{data_dir()} holds no materialization with model calls, so the used answers are unknown: "
            "no answer is removed."
        )
    counts = store.prune(keys, time.time_ns() - int(older_than * _DAY), embeddings, dry_run)
    counted = counts.rename({"removed": removed}).drop("freed")
    open_console().print(frame_table("Unused answers", counted, texts=("kind", "model")))
    click.echo(f"{counts['removed'].sum():,} answers {removed}, about {counts['freed'].sum() / 2**20:,.1f} MiB.")
    if young := counts["too_young"].sum():
        click.echo(
            f"{young:,} more are unused, but stored, or merged with answers stored, in the last {older_than:g} days."
        )


def _store() -> "ResponseStore":
    from infinity_assets.inference.responses.store import ResponseStore

    return ResponseStore(data_dir() / "responses")


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"


def _described(sizes: "pl.DataFrame") -> str:
    return f"{_files(int(sizes['segments'].sum()))}, {sizes['bytes'].sum() / 2**20:,.1f} MiB"
