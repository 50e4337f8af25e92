"""The `infinity prompts` commands."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infinity_assets import prompts as texts
from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    from infinity_assets.prompts import Prompt
    from infinity_assets.settings import Settings


@click.group()
def prompts() -> None:
    """What the models are asked: prompts by name, in English and in Chinese. A row is asked in Chinese if its language is.

    \b
    infinity prompts list
    infinity prompts show tag --language zh
    infinity prompts show evolve_deepen --row 3fa9

    To change one, copy it into a folder of yours, edit it there, and name the folder in infinity.yaml:

    \b
    infinity prompts copy tag my_prompts
    echo 'prompts_dir: my_prompts' >> infinity.yaml
    infinity prompts list                    says which files are in force, or what is wrong with one

    The next run makes the calls of that prompt in that language again, and no others. docs/prompts.md says which assets use it.
    """


@prompts.command("list")
@sentences
def list_prompts() -> None:
    """The prompts in force, a line for each name and language: version, hash, whose file it is, what it is for.

    \b
    infinity prompts list
    infinity sql "select prompt, count(*) from generations group by prompt"      the calls that were made with each

    The hash is that of the version and the text, and part of the key of every call made with it.
    """
    from infinity_assets.settings import Settings

    folder = Settings().prompts_dir
    for name in texts.names():
        for prompt in texts.wordings(name, folder):
            click.echo(
                f"{prompt.label:<24} version {prompt.version:<3} {prompt.hash}  {_whose(prompt)}  {prompt.purpose}"
            )


@prompts.command()
@click.argument("name")
@click.option("--language", type=click.Choice(texts.LANGUAGES), help="Default: the row's, or else en.")
@click.option(
    "--row", "row", metavar="ROW", help="A row id, or its first digits: its texts stand where the variables are."
)
@sentences
def show(name: str, language: "texts.Language | None", row: str | None) -> None:
    """A prompt: what it is for, what its variables are, and its turns.

    \b
    infinity prompts show judge_answer
    infinity prompts show judge_answer --language zh
    infinity prompts show tag --row 3fa9          as the model is asked about that row, in the row's language

    `infinity sql "select row_id from deduped limit 3"` shows some row ids. A variable that the row has nothing for stays as it is.
    """
    from infinity_assets.settings import Settings

    settings, values = Settings(), {}
    if row is not None:
        values, tag = _values(name, row, settings)
        language = language or texts.both(name).of(tag).language
    prompt = texts.load(name, language or "en", settings.prompts_dir)
    click.echo(f"{prompt.label}: version {prompt.version}, {prompt.hash}, {_whose(prompt)}\n{prompt.purpose}\n")
    for variable, meaning in prompt.variables.items():
        click.echo(f"  ${variable:<12} {meaning}")
    for turn in prompt.turns:
        click.echo(f"\n## {turn.role}\n{turn.filled(values)}")


@prompts.command()
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--language", type=click.Choice(texts.LANGUAGES), help="Default: both.")
@sentences
def copy(name: str, folder: Path, language: "texts.Language | None") -> None:
    """Copy a built-in prompt into a folder of yours, to be changed there. Files that are there are left alone.

    \b
    infinity prompts copy tag my_prompts
    infinity prompts copy judge_answer my_prompts --language zh

    What you do not change, you may delete again: then ours is used.
    """
    for prompt in texts.wordings(name):
        if language not in (None, prompt.language):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        copied = folder / prompt.file.name
        if copied.exists():
            raise InfinityError(f"{copied} is there already.")
        copied.write_bytes(prompt.file.read_bytes())
        click.echo(copied)


def _whose(prompt: "Prompt") -> str:
    return "built in" if prompt.file.parent == Path(texts.__file__).parent else str(prompt.file)


def _values(name: str, row: str, settings: "Settings") -> tuple[dict[str, str], str]:
    """The variables that a row has something for, and its language."""
    from infinity_assets.catalog.explain import find_row, row_of
    from infinity_assets.catalog.views import connect

    with connect(data_dir()) as views:
        row_id = find_row(views, row)
        found = row_of(views, row_id)
    if found is None:
        raise InfinityError(f"The text of row {row_id} is in no asset any more.")
    asked = [turn["content"] for turn in found.messages if turn["role"] == "user"]
    answers = [turn["content"] for turn in found.messages if turn["role"] == "assistant"]
    cut = settings.scoring.max_chars if name in ("tag", "judge_answer", "judge_pair", "find_deficiency") else None
    request = "\n\n".join(asked) if name == "judge_answer" else asked[0]
    values = {
        "request": request[:cut],
        "text": asked[0],
        "one": asked[0],
        "max_labels": str(settings.scoring.max_labels),
    }
    if name == "judge_pair":  # its `one` is a student's answer
        del values["one"]
    reference = {"judge_pair": "other", "find_deficiency": "reference"}.get(name, "answer")
    return values | ({reference: answers[-1][:cut]} if answers else {}), found.language
