"""The `infinity sources` commands."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infinity_assets.cli.options import FOLDER, NEW_FILE
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir
from infinity_assets.rows.domains import DOMAINS

if TYPE_CHECKING:
    from infinity_assets.reading.preview import Unknown
    from infinity_assets.reading.sources import File, Source
    from infinity_assets.reading.suggest import Suggestion


@click.group()
def sources() -> None:
    """Manage the sources of the pool.

    \b
    infinity sources add ~/downloads/alpaca --licence CC-BY-NC-4.0
    infinity sources add hf://datasets/openai/gsm8k --config main --domain math
    infinity sources preview ~/downloads/faq --layout alpaca --field instruction=ask
    infinity sources suggest ~/downloads/faq
    infinity sources list
    infinity sources raw alpaca
    infinity sources remove alpaca
    """


@sources.command()
@click.argument("what", metavar="PATH|hf://datasets/OWNER/NAME[@REVISION][/PATH]")
@click.option("--name", help="Name of the source. Default: the name of the folder, file or dataset.")
@click.option("--licence", help="SPDX id, for example CC-BY-4.0. Default for the Hub: from the dataset card.")
@click.option("--domain", type=click.Choice(DOMAINS), help="Domain of all rows. Default: determined per row.")
@click.option(
    "--language",
    help="BCP 47 tag of all rows, for example en. Default: from the card if it names one language, else per row.",
)
@click.option("--layout", help="Layout of every record, for example alpaca. Default: determined by the keys.")
@click.option("--as-suggested", is_flag=True, help="Paths only: write the lines that preview suggests to source.yaml.")
@click.option("--copy", is_flag=True, help="Paths only: copy the files. Default: link them.")
@click.option("--config", help="Hub only: the configuration. Default: the dataset's default.")
@click.option("--split", help="Hub only: the split. Default: train, or the only one.")
def add(
    what: str,
    name: str | None,
    as_suggested: bool,
    copy: bool,
    config: str | None,
    split: str | None,
    **options: str | None,
) -> None:
    """Add a folder, a file or a dataset of the Hugging Face Hub as a source.

    \b
    infinity sources add ~/downloads/alpaca
    infinity sources add faq.jsonl --licence CC0-1.0 --language en
    infinity sources add ~/downloads/tickets --as-suggested
    infinity sources add hf://datasets/openai/gsm8k --config main --split train
    infinity sources add hf://datasets/owner/name@v1.0 --name name_v1
    infinity sources add https://huggingface.co/datasets/owner/name/tree/main/algebra

    A folder is linked, so files that you add to it later belong to the source. With --licence, --domain, --language or
    --layout, the source is a new folder with its own source.yaml and links to the present files; your folder is not
    changed. So it is with --as-suggested, for records of unknown layout: the lines that `infinity sources preview`
    suggests are written if they read nearly all records.

    From the Hub, only the files of the configuration and the split are downloaded, or of a folder or file if the
    address names one. The URL of a dataset's page works, too. The commit, the license and the
    languages are written to source.yaml. After an interruption, run the command again: complete files are kept. A gated
    dataset needs a token in HF_TOKEN.
    """
    from infinity_assets.reading import folders, hub
    from infinity_assets.reading.preview import find_advice
    from infinity_assets.rows import licences

    root = _root()
    fields: dict[str, object] = {key: value for key, value in options.items() if value is not None}
    if "licence" in fields:
        fields["licence"] = licences.spdx(str(fields["licence"])) or fields["licence"]
    if not hub.is_hub(what) and (Path(what).exists() or not hub.is_page(what)):
        if config or split:
            raise InfinityError("--config and --split are for datasets of the Hub, hf://datasets/OWNER/NAME.")
        if not Path(what).exists():
            raise InfinityError(f"There is no {what}; the address of a dataset of the Hub is hf://datasets/OWNER/NAME.")
        advice = find_advice(*_previewed(what)) if as_suggested else {}
        folder = folders.add(root, Path(what), name, fields | advice, copy)
        files, licence = len(folders.data_files(folder)), folders.load_source(folder).licence
        click.echo(f"{folder.name}: {files} files, licence {licence}. `infinity run` reads them.")
        if as_suggested:
            lines = "\n".join(f"  {line}" for line in hub.to_yaml(advice).splitlines())
            click.echo(f"In source.yaml, as suggested:\n{lines}" if advice else "No lines are needed to read them.")
        return
    if as_suggested:
        raise InfinityError("--as-suggested is for folders and files: preview a dataset of the Hub after adding it.")
    if copy:
        raise InfinityError("--copy is for folders and files; files from the Hub are always copied.")
    at = hub.parse_address(what)
    folder = root / (name or at.repo.split("/")[1])
    folders.check_new(root, folder.name)
    folders.check_layout(fields)
    plan = hub.resolve(at.repo, at.revision, config or at.config, split or at.split, at.path)
    if _run_with_progress(folder.name, lambda progress: hub.add(folder, plan, at.url, fields, progress)):
        click.echo(_described(folder, plan))
    else:
        click.echo(f"{folder.name} exists already, at {hub.shorten(plan.commit)}.")


@sources.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--sources", "root", type=FOLDER, help="Folder of the sources, as for run.")
def fetch(names: tuple[str, ...], root: Path | None) -> None:
    """Download the files of sources that consist of a source.yaml only. Complete sources need no network.

    \b
    mkdir data/sources/gsm8k
    printf 'url: hf://datasets/openai/gsm8k\\nconfig: main\\n' > data/sources/gsm8k/source.yaml
    infinity sources fetch gsm8k
    infinity sources fetch && infinity run        in CI, with small source.yaml files in the repository

    If source.yaml names no commit, the downloaded one is written there, so that later downloads get the same files.
    """
    from infinity_assets.reading import folders, hub

    root = root.absolute() if root else _root()
    for name in names:
        folders.find_existing(root, name)
    waiting = [folder for folder in hub.pending_folders(root) if not names or folder.name in names]
    for folder in waiting:
        fetch_files(folder)
    if not waiting:
        click.echo("Nothing to fetch.")


@sources.command()
@click.argument("name")
@click.option("--revision", help="Branch, tag or commit. Default: the one in the source's url, or main.")
def update(name: str, revision: str | None) -> None:
    """Update a source of the Hub to the newest commit of its branch.

    \b
    infinity sources update gsm8k
    infinity sources update gsm8k --revision v1.1

    Unchanged files are kept; files that the dataset no longer has are deleted. The next run reads the changed files.
    """
    from infinity_assets.reading import folders, hub
    from infinity_assets.reading.sources import load_source

    folder = folders.find_existing(_root(), name)
    before = load_source(folder)
    plan = _run_with_progress(name, lambda progress: hub.update(folder, revision, progress))
    if not plan:
        click.echo(f"{name} is at {hub.shorten(before.revision)} already.")
        return
    click.echo(_described(folder, plan))
    if plan.card["licence"] != before.licence:
        click.echo(
            f"The licence in the card is {plan.card['licence']}, in source.yaml {before.licence}: "
            "change source.yaml if the card is right."
        )


@sources.command()
@click.argument("name")
@click.option("--delete", is_flag=True, help="Also delete data files in the folder itself.")
def remove(name: str, delete: bool) -> None:
    """Remove a source from the pool. The next run removes its rows and the rows made from them.

    \b
    infinity sources remove alpaca              a link, or a folder of links
    infinity sources remove gsm8k --delete      a folder with its own files

    Files that links point to are never deleted.
    """
    from infinity_assets.reading import folders

    folders.remove(_root(), name, delete)
    click.echo(f"{name} is removed from the pool; its rows leave the lake at the next run.")


@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_sources(as_json: bool) -> None:
    """List the sources with their numbers of rows and files, license, domain, layout and location.

    \b
    infinity sources list
    infinity sources list --json | jq -r 'select(.licence == "unknown") | .name'
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.reading import hub
    from infinity_assets.reading.pool import Pool
    from infinity_assets.reading.sources import data_files, load_source

    data = data_dir()
    pool = Pool.load(data)
    lake = Lake(data)
    awaited = {path.name: path for path in hub.pending_folders(pool.sources) if not pool.only or path.name in pool.only}
    if not as_json:
        click.echo(f"{pool.sources}")
    for name, folder in sorted((pool.source_folders() | awaited).items()):
        source = load_source(folder)
        manifest = lake.manifest("raw_pool", name)
        files = len(data_files(folder))
        rows = manifest.rows_out if manifest else None
        if as_json:
            facts = source.model_dump(mode="json", exclude={"path"})
            facts |= {"folder": str(folder), "files": files, "rows": rows, "fetched": name not in awaited}
            click.echo(json.dumps(facts, ensure_ascii=False))
            continue
        state = "not fetched" if name in awaited else f"{rows:,} rows" if rows is not None else "not read yet"
        where = source.url or (f"-> {folder.readlink()}" if folder.is_symlink() else "")
        where += f"@{hub.shorten(source.revision)}" if source.revision else ""
        click.echo(
            f"  {name:<28} {state:>14}  {files:>5} files  {source.licence:<18} {source.domain or 'domain by rule':<15} "
            f"{source.layout or 'layout by keys':<15} {where}".rstrip()
        )


@sources.command()
@click.argument("what", metavar="PATH|NAME")
@click.option("--rows", "-n", default=5, show_default=True, type=click.IntRange(0), help="Number of rows to show.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1), help="Records to read per file.")
@click.option("--all", "everything", is_flag=True, help="Read all records of all files.")
@click.option("--file", "glob", metavar="GLOB", help="Read these files only.")
@click.option("--layout", help="Try this layout for every record, for example alpaca.")
@click.option("--field", "fields", metavar="NAME=PATH", multiple=True, help="Try this line of `fields`. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
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
    """Show some rows that a run would read from a source. Nothing is written.

    \b
    infinity sources preview ~/downloads/faq                             a folder, with or without a source.yaml
    infinity sources preview ~/downloads/faq/train.jsonl.zst             a file
    infinity sources preview faq                                         a source of the pool
    infinity sources preview faq --layout alpaca --field instruction=ask --field output=meta.reply.0
    infinity sources preview faq --all --json | jq '.dropped'

    The preview shows the format of each file, the files that are not read, and some rows. For records of unknown layout
    it proposes lines for source.yaml that map them to a known one. --layout and --field try such lines without writing.

    Even a large source is quick: only the first records of up to 50 files, and of up to 50 files per archive, are read.
    The exit status is 1 if no record could be read.
    """
    import orjson

    from infinity_assets.reading.folders import check_layout
    from infinity_assets.reading.guess import find_guess
    from infinity_assets.reading.hub import to_yaml
    from infinity_assets.reading.preview import Limits
    from infinity_assets.reading.preview import preview as look
    from infinity_assets.report.preview import show, show_lines
    from infinity_assets.report.terminal import open_console
    from infinity_assets.scoring.content import fill_language_and_domain
    from infinity_assets.settings import Settings

    source, files = _previewed(what)
    tried: dict[str, Any] = {"layout": layout} if layout else {}
    check_layout(tried)
    if fields:
        tried["fields"] = {**source.fields, **dict(map(_field, fields))}
    source = type(source)(**(source.model_dump() | tried))  # which checks the fields
    if glob is not None:
        source = source.model_copy(update={"include": (glob,)})
        files = [path for path in (source.files() if files is None else files) if source.wants(path.name)]
    limits = Limits(None, None) if everything else Limits(records=limit)
    mode = Settings().ingest.guess
    guess = None if mode == "off" else find_guess(source)
    seen = look(
        source, files=files, rows=rows, limits=limits, complete=fill_language_and_domain, guess=guess,
        apply_guess=mode == "sure" and guess is not None and guess.is_sure,
    )  # fmt: skip
    if as_json:
        click.echo(orjson.dumps(seen.as_json(), option=orjson.OPT_INDENT_2))
    else:
        console = open_console()
        show(seen, console)
        if tried:
            console.print("Lines tried, for source.yaml:", highlight=False)
            show_lines(to_yaml(tried), console)
    if not seen.readable:
        data_file = f"data file that matches {glob}" if glob else "data file"
        raise InfinityError(f"Nothing could be read: {what} holds no {data_file} with a record that can be parsed.")


@sources.command()
@click.argument("what", metavar="PATH|NAME")
@click.option("--model", is_flag=True, help="Ask the model of `models.judge` if no plausible mapping is found.")
def suggest(what: str, model: bool) -> None:
    """Print lines for source.yaml that read the most frequent records of unknown layout. Nothing is written.

    \b
    infinity sources suggest ~/downloads/tickets
    infinity sources suggest ~/downloads/tickets --model

    The lines are tried on the records, and the first row that they make is shown. With --model, the configured judge is
    asked if nothing plausible was found; its answer is tried on the records, too, and dropped if it does not make
    plausible rows of nearly all. The exit status is 1 if there is no suggestion.
    """
    from infinity_assets.reading.preview import preview as look
    from infinity_assets.report.preview import show_lines, show_row
    from infinity_assets.report.terminal import open_console

    source, files = _previewed(what)
    unknown = look(source, files=files, rows=0).unknown
    if not unknown:
        click.echo(f"{source.name}: every record is read without help.")
        return
    found: Unknown | Suggestion = unknown[0]
    if model and not found.rows:
        found = _ask_model(unknown[0].sample) or found
    console = open_console()
    show_lines(found.lines, console)
    if not found.rows:
        raise InfinityError(
            f"{source.name}: neither the fields nor the model give a plausible mapping."
            if model
            else f"{source.name}: the fields do not give a plausible mapping; --model asks the configured model."
        )
    show_row(found.rows[0], "The first row that these lines make", console)


def _ask_model(sample: list[object]) -> "Suggestion | None":
    """Return the mapping that the configured judge suggests for a sample of records, if it was tried with success."""
    from infinity_assets.inference.client import Inference
    from infinity_assets.inference.engines.pool import EnginePool
    from infinity_assets.inference.responses.store import ResponseStore
    from infinity_assets.locations import models_dir
    from infinity_assets.runs.model_advice import ask_mapping
    from infinity_assets.settings import Settings

    inference = Inference(ResponseStore(data_dir() / "responses"), EnginePool(models_dir()))
    try:
        return ask_mapping(inference, Settings(), sample)
    finally:
        inference.release()


@sources.command()
@click.argument("name")
@click.argument("file", required=False)
@click.argument("position", required=False, type=int)
@click.option("--out", type=NEW_FILE, help="File to write the bytes to. Default: standard output.")
def raw(name: str, file: str | None, position: int | None, out: Path | None) -> None:
    """Print the bytes of a record that was dropped or repaired when a source was read.

    \b
    infinity sources raw faq                                 count such records by file and reason
    infinity sources raw faq train.jsonl                     list such records of one file
    infinity sources raw faq train.jsonl 1740 > record.json  the bytes of the record at position 1740
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
        raise InfinityError("--out needs a record: NAME FILE POSITION.")
    quarantined = quarantined_files(lake, name) if file is None else quarantined_records(lake, name, file)
    if quarantined.is_empty():
        click.echo(f"No record of {name if file is None else f'{file} in {name}'} was dropped or repaired.")
        return
    with pl.Config(
        tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=200, tbl_width_chars=1000, tbl_formatting="NOTHING",
        tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
    ):  # fmt: skip
        click.echo(quarantined)


@sources.command()
def register() -> None:
    """Make the `source` partitions in Dagster equal to the folders of the pool.

    \b
    infinity sources register
    dagster asset materialize -m infinity_assets.definitions --select raw_pool --partition my_source
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
    """Return a source, named by its path or its name in the pool, and the files to read (`None` for all).

    Raises:
        InfinityError: There is no such path or source, or a run would not read the file.
    """
    from infinity_assets.reading import folders
    from infinity_assets.reading.sources import File, load_source

    path = Path(os.path.abspath(what))
    if not path.exists():
        root = _root()
        if Path(what).name != what or not (root / what).is_dir():
            raise InfinityError(f"There is no path {what}, and no source of that name in {root}.")
        path = folders.find_existing(root, what)
    if path.is_dir():
        return load_source(path), None
    source = load_source(path.parent)
    if not source.wants(path.name):
        raise InfinityError(f"{what} would not be read: {source.reason_to_skip(path.name)}.")
    return source, [File(path.name, str(path))]


def _field(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise InfinityError(f"--field {text}: write NAME=PATH, for example output=meta.reply.0.")
    return name, path


def _root() -> Path:
    """Return the folder whose subfolders are the sources."""
    from infinity_assets.reading.pool import Pool

    return Pool.load(data_dir()).sources


def _run_with_progress(name: str, work: Callable[[Callable[[int, int], None]], Any]) -> Any:
    """Run a download and show its progress."""
    from rich.console import Console

    from infinity_assets.report.terminal import TerminalReporter

    with closing(TerminalReporter(Console(stderr=True))) as reporter:
        reporter.begin(f"fetch {name}", "all")
        return work(lambda done, total: reporter.advance(done >> 20, total >> 20, "MiB"))


def fetch_files(folder: Path) -> None:
    """Download the missing files of a source, and print a summary."""
    from infinity_assets.reading import hub

    plan = _run_with_progress(folder.name, lambda progress: hub.fetch(folder, progress))
    if plan:
        click.echo(_described(folder, plan))


def _described(folder: Path, plan: Any) -> str:
    """Return a summary of a download from the Hub."""
    from infinity_assets.reading.hub import shorten
    from infinity_assets.reading.sources import load_source

    size = sum(file.size for file in plan.files.values())
    left_out = f"; {plan.left_out} files of other formats were left out" if plan.left_out else ""
    return (
        f"{folder.name}: {plan.repo}@{shorten(plan.commit)}, {plan.config}, {plan.split}: {len(plan.files)} files, "
        f"{size / 1e6:,.1f} MB, licence {load_source(folder).licence}{left_out}."
    )
