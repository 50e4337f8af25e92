"""The `infinity sources` commands."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir
from infinity_assets.rows.domains import DOMAINS

if TYPE_CHECKING:
    from infinity_assets.reading.sources import File, Source


@click.group()
def sources() -> None:
    """The folders that make the pool.

    \b
    infinity sources add ~/downloads/alpaca --licence CC-BY-NC-4.0
    infinity sources add hf://datasets/openai/gsm8k --config main --domain math
    infinity sources preview ~/downloads/faq --layout alpaca --field instruction=ask
    infinity sources list
    infinity sources raw alpaca
    infinity sources remove alpaca
    """


@sources.command()
@click.argument("what", metavar="PATH|hf://datasets/OWNER/NAME[@REVISION]")
@click.option("--name", help="What to call it. Default: the name of the folder, file or dataset.")
@click.option("--licence", help="An SPDX id such as CC-BY-4.0. Default for the Hub: the dataset card's.")
@click.option("--domain", type=click.Choice(DOMAINS), help="The domain of all rows. Default: told row by row.")
@click.option(
    "--language",
    help="The BCP 47 tag of all rows, such as en. Default: the card's if it names one, else told row by row.",
)
@click.option("--layout", help="The layout of every record, such as alpaca. Default: told by the keys.")
@click.option("--copy", is_flag=True, help="A path: copy the files. Default: link them.")
@click.option("--config", help="The Hub: which configuration. Default: the dataset's default.")
@click.option("--split", help="The Hub: which split. Default: train, or the only one.")
@sentences
def add(what: str, name: str | None, copy: bool, config: str | None, split: str | None, **options: str | None) -> None:
    """Make a folder, a file or a dataset of the Hugging Face Hub a source.

    \b
    infinity sources add ~/downloads/alpaca
    infinity sources add faq.jsonl --licence CC0-1.0 --language en
    infinity sources add hf://datasets/openai/gsm8k --config main --split train
    infinity sources add hf://datasets/owner/name@v1.0 --name name_v1

    A folder is linked: files that come to it later belong to the source. With --licence, --domain, --language or --layout a folder of links
    to its files of today is made, with a source.yaml of its own; yours is not written to.

    Of the Hub, only the files of the configuration and split come; the commit, the licence and the languages are written into source.yaml.
    If it breaks off, run it again: files that came are not asked for again. A gated dataset wants a token in HF_TOKEN.
    """
    from infinity_assets.reading import folders, hub
    from infinity_assets.reading.pool import Pool
    from infinity_assets.rows import licences

    root = Pool.load(data_dir()).sources
    said: dict[str, object] = {key: value for key, value in options.items() if value is not None}
    if "licence" in said:
        said["licence"] = licences.spdx(str(said["licence"])) or said["licence"]
    if not hub.is_hub(what):
        if config or split:
            raise InfinityError("--config and --split are for datasets of the Hub, hf://datasets/OWNER/NAME.")
        if not Path(what).exists():
            raise InfinityError(f"There is no {what}; a dataset of the Hub is written hf://datasets/OWNER/NAME.")
        folder = folders.add(root, Path(what), name, said, copy)
        source = folders.load_source(folder)
        click.echo(
            f"{folder.name}: {len(folders.data_files(folder))} files, licence {source.licence}. `infinity run` reads them."
        )
        return
    if copy:
        raise InfinityError("--copy is for folders and files; what comes from the Hub is copied in any case.")
    at = hub.address(what)
    folder = root / (name or at.repo.split("/")[1])
    folders.check_new(root, folder.name)
    folders.check_layout(said)
    plan = hub.resolve(at.repo, at.revision, config, split)
    came = _shown(folder.name, lambda progress: hub.add(folder, plan, at.url, said, progress))
    click.echo(_described(folder, plan) if came else f"{folder.name} is there already, at {hub.short(plan.commit)}.")


@sources.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--sources",
    "root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the sources, as for run.",
)
@sentences
def fetch(names: tuple[str, ...], root: Path | None) -> None:
    """Bring the files of sources that are only a source.yaml so far. What is there costs nothing and needs no network.

    \b
    mkdir data/sources/gsm8k
    printf 'url: hf://datasets/openai/gsm8k\\nconfig: main\\n' > data/sources/gsm8k/source.yaml
    infinity sources fetch gsm8k
    infinity sources fetch && infinity run        in CI, with small source.yaml files in the repository

    The commit is written into source.yaml where it names none, so that the next fetch, on any machine, brings the same files.
    """
    from infinity_assets.reading import folders, hub

    root = root.absolute() if root else _root()
    for name in names:
        folders.existing(root, name)
    waiting = [folder for folder in hub.waiting(root) if not names or folder.name in names]
    for folder in waiting:
        bring(folder)
    if not waiting:
        click.echo("Nothing to fetch.")


@sources.command()
@click.argument("name")
@click.option("--revision", help="Branch, tag or commit. Default: the one in the source's url, or main.")
@sentences
def update(name: str, revision: str | None) -> None:
    """Move a source of the Hub to the newest commit of its branch.

    \b
    infinity sources update gsm8k
    infinity sources update gsm8k --revision v1.1

    Files that did not change are kept, those that are gone from the dataset go here too. The next run reads what changed.
    """
    from infinity_assets.reading import folders, hub
    from infinity_assets.reading.sources import load_source

    folder = folders.existing(_root(), name)
    before = load_source(folder)
    plan = _shown(name, lambda progress: hub.update(folder, revision, progress))
    if not plan:
        click.echo(f"{name} is at {hub.short(before.revision)} already.")
        return
    click.echo(_described(folder, plan))
    if plan.card["licence"] != before.licence:
        click.echo(
            f"The card says licence {plan.card['licence']}, source.yaml says {before.licence}: change it there if the card is right."
        )


@sources.command()
@click.argument("name")
@click.option("--delete", is_flag=True, help="Also delete files of data that lie in the folder itself.")
@sentences
def remove(name: str, delete: bool) -> None:
    """Take a source out of the pool. Its rows leave the lake, and all that came of them, at the next run.

    \b
    infinity sources remove alpaca              a link, or a folder of links
    infinity sources remove gsm8k --delete      a folder with files of its own

    What a link points to is never touched.
    """
    from infinity_assets.reading import folders

    folders.remove(_root(), name, delete)
    click.echo(f"{name} is out of the pool; its rows leave the lake at the next run.")


@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@sentences
def list_sources(as_json: bool) -> None:
    """The sources, as their folders and source.yaml files say: rows, files, licence, domain, layout, where from.

    \b
    infinity sources list
    infinity sources list --json | jq -r 'select(.licence == "unknown") | .name'
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.reading import hub
    from infinity_assets.reading.pool import Pool
    from infinity_assets.reading.sources import data_files, load_source

    data = data_dir()
    pool, lake = Pool.load(data), Lake(data)
    awaited = {path.name: path for path in hub.waiting(pool.sources) if not pool.only or path.name in pool.only}
    if not as_json:
        click.echo(f"{pool.sources}")
    for name, folder in sorted((pool.source_folders() | awaited).items()):
        source, manifest = load_source(folder), lake.manifest("raw_pool", name)
        files, rows = len(data_files(folder)), manifest.rows_out if manifest else None
        if as_json:
            facts = source.model_dump(mode="json", exclude={"path"})
            click.echo(
                json.dumps(
                    {**facts, "folder": str(folder), "files": files, "rows": rows, "fetched": name not in awaited},
                    ensure_ascii=False,
                )
            )
            continue
        state = "not fetched" if name in awaited else f"{rows:,} rows" if rows is not None else "not read yet"
        where = source.url or (f"-> {folder.readlink()}" if folder.is_symlink() else "")
        where += f"@{hub.short(source.revision)}" if source.revision else ""
        click.echo(
            f"  {name:<28} {state:>14}  {files:>5} files  {source.licence:<18} {source.domain or 'domain by rule':<15} "
            f"{source.layout or 'layout by keys':<15} {where}".rstrip()
        )


@sources.command()
@click.argument("what", metavar="PATH|NAME")
@click.option("--rows", "-n", default=5, show_default=True, type=click.IntRange(0), help="How many rows to show.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1), help="Records to read of each file.")
@click.option("--all", "everything", is_flag=True, help="Read all records of all files.")
@click.option("--file", "glob", metavar="GLOB", help="Look at these files only.")
@click.option("--layout", help="Try this layout for every record, such as alpaca.")
@click.option(
    "--field",
    "fields",
    metavar="NAME=PATH",
    multiple=True,
    help="Try this line of `fields`, such as output=meta.reply.0. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@sentences
def preview(
    what: str,
    rows: int,
    limit: int,
    everything: bool,
    glob: str | None,
    layout: str | None,
    fields: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what the rows of a source would be, before anything runs. Nothing is written.

    \b
    infinity sources preview ~/downloads/faq                             a folder, with a source.yaml or without
    infinity sources preview ~/downloads/faq/train.jsonl.zst             a file
    infinity sources preview faq                                         a source of the pool
    infinity sources preview faq --layout alpaca --field instruction=ask --field output=meta.reply.0
    infinity sources preview faq --all --json | jq '.dropped'

    Shows what each file is, which files are not read, some rows as they would become, and for records in no known layout the lines of a
    source.yaml that would make them fit. --layout and --field try such lines without writing them.

    Only the first records are read, of up to 50 files and as many in an archive, which is quick however large the source is. The exit status
    is 1 if nothing could be read at all.
    """
    import orjson

    from infinity_assets.reading.folders import check_layout
    from infinity_assets.reading.hub import as_yaml
    from infinity_assets.reading.preview import Limits
    from infinity_assets.reading.preview import preview as look
    from infinity_assets.report.preview import show, show_lines
    from infinity_assets.report.terminal import open_console
    from infinity_assets.scoring.content import with_language_and_domain

    source, files = _previewed(what)
    tried: dict[str, Any] = {"layout": layout} if layout else {}
    check_layout(tried)
    if fields:
        tried["fields"] = {**source.fields, **dict(map(_field, fields))}
    source = source.model_copy(update=tried)
    if glob is not None:
        asked = source.model_copy(update={"include": (glob,)})
        files = [path for path in (asked.files() if files is None else files) if asked.wants(path.name)]
        source = asked
    limits = Limits.none() if everything else Limits(records=limit)
    seen = look(source, files=files, rows=rows, limits=limits, complete=with_language_and_domain)
    if as_json:
        click.echo(orjson.dumps(seen.as_json(), option=orjson.OPT_INDENT_2))
    else:
        console = open_console()
        show(seen, console)
        if tried:
            console.print("What was tried, for source.yaml:", highlight=False)
            show_lines(as_yaml(tried), console)
    if not seen.readable:
        named = f" that {glob} names" if glob else ""
        raise InfinityError(
            f"Nothing could be read: {what} holds no file of data{named} with a record in it that can be parsed."
        )


@sources.command()
@click.argument("name")
@click.argument("file", required=False)
@click.argument("position", required=False, type=int)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the bytes to this file. Default: to the standard output.",
)
@sentences
def raw(name: str, file: str | None, position: int | None, out: Path | None) -> None:
    """Get back the bytes of a record that was dropped or repaired when a source was read.

    \b
    infinity sources raw faq                                 the files with such records, by reason
    infinity sources raw faq train.jsonl                     those of one file
    infinity sources raw faq train.jsonl 1740 > record.json  the bytes, as they stood in the file
    """
    import polars as pl

    from infinity_assets.catalog.lake import Lake
    from infinity_assets.catalog.quarantine import quarantined_bytes, quarantined_files, quarantined_records

    lake = Lake(data_dir())
    if file is not None and position is not None:
        data = quarantined_bytes(lake, name, file, position)
        if out:
            out.write_bytes(data)
        else:
            sys.stdout.buffer.write(data)
        return
    if out:
        raise InfinityError("--out wants a record: NAME FILE POSITION.")
    found = quarantined_files(lake, name) if file is None else quarantined_records(lake, name, file)
    if found.is_empty():
        click.echo(f"Nothing of {name if file is None else f'{file} in {name}'} was dropped or repaired.")
        return
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        fmt_str_lengths=200,
        tbl_width_chars=1000,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="NOTHING",
    ):
        click.echo(found)


@sources.command()
@sentences
def register() -> None:
    """Make Dagster's `source` partitions equal to the folders of the pool: a new folder gets one, a removed one loses it.

    \b
    infinity sources register && dagster asset materialize -m infinity_assets.definitions --select raw_pool --partition my_source
    """
    import dagster as dg

    from infinity_assets.catalog.lake import Lake
    from infinity_assets.defs.automation import register_sources
    from infinity_assets.reading.pool import Pool
    from infinity_assets.runs.runner import dagster_home

    data = data_dir()
    os.environ["DAGSTER_HOME"] = str(dagster_home(data))
    with dg.DagsterInstance.get() as instance:
        added, removed = register_sources(instance, Pool.load(data), Lake(data))
    click.echo(f"added: {', '.join(added) or 'none'}; removed: {', '.join(removed) or 'none'}")


def _previewed(what: str) -> "tuple[Source, list[File] | None]":
    """What a path, or else the name of a source in the pool, stands for; and which files of it, if not all that a run reads."""
    from infinity_assets.reading import folders
    from infinity_assets.reading.sources import File, load_source

    path = Path(os.path.abspath(what))
    if not path.exists():
        root = _root()
        if Path(what).name != what or not (root / what).is_dir():
            raise InfinityError(f"There is no {what} here, and no source of that name in {root}.")
        path = folders.existing(root, what)
    if path.is_dir():
        return load_source(path), None
    source = load_source(path.parent)
    if not source.wants(path.name):
        raise InfinityError(f"{what} would not be read: {source.refuses(path.name)}.")
    return source, [File(path.name, str(path))]


def _field(said: str) -> tuple[str, str]:
    name, equals, path = said.partition("=")
    if not equals or not name or not path:
        raise InfinityError(f"--field {said}: write NAME=PATH, such as output=meta.reply.0.")
    return name, path


def _root() -> Path:
    """The folder whose subfolders are the sources."""
    from infinity_assets.reading.pool import Pool

    return Pool.load(data_dir()).sources


def _shown(name: str, work: Callable[[Callable[[int, int], None]], Any]) -> Any:
    """Do a download and show how far it is."""
    from rich.console import Console

    from infinity_assets.report.terminal import TerminalReporter

    reporter = TerminalReporter(Console(stderr=True))
    reporter.begin(f"fetch {name}", "all")
    try:
        return work(lambda done, total: reporter.advance(done >> 20, total >> 20, "MiB"))
    finally:
        reporter.stop()


def bring(folder: Path) -> None:
    """Fetch what a source lacks, and say what came."""
    from infinity_assets.reading import hub

    plan = _shown(folder.name, lambda progress: hub.fetch(folder, progress))
    if plan:
        click.echo(_described(folder, plan))


def _described(folder: Path, plan: Any) -> str:
    """What came from the Hub, in a line."""
    from infinity_assets.reading.hub import short
    from infinity_assets.reading.sources import load_source

    size = sum(file.size for file in plan.files.values())
    spared = f"; {plan.left_out} files of other formats were left out" if plan.left_out else ""
    return (
        f"{folder.name}: {plan.repo}@{short(plan.commit)}, {plan.config}, {plan.split}: {len(plan.files)} files, {size / 1e6:,.1f} MB, "
        f"licence {load_source(folder).licence}{spared}."
    )
