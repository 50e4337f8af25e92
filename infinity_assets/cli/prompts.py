"""The `infinity prompts` commands."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infinity_assets import prompts as texts
from infinity_assets.cli.options import NEW_FOLDER
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    from infinity_assets.prompts import Prompt
    from infinity_assets.settings import Settings


@click.group()
def prompts() -> None:
    """Show and copy prompts. Each exists in English and in Chinese; rows in Chinese get the Chinese prompt.

    \b
    infinity prompts list
    infinity prompts show tag --language zh
    infinity prompts show evolve_deepen --row 3fa9

    To change a prompt, copy it into a folder of your own, edit it, and name the folder in infinity.yaml:

    \b
    infinity prompts copy tag my_prompts
    echo 'prompts_dir: my_prompts' >> infinity.yaml
    infinity prompts list                    the files in force, or the error in one of them

    The next run repeats only the calls of the changed prompt. docs/prompts.md lists the assets that use it.
    """


@prompts.command("list")
def list_prompts() -> None:
    """List the prompts in force by name and language, with version, hash, file and purpose.

    \b
    infinity prompts list
    infinity sql "select prompt, count(*) from generations group by prompt"      calls per prompt

    The hash covers the version and the text. It is part of the request key of every call with the prompt.
    """
    from infinity_assets.settings import Settings

    folder = Settings().prompts_dir
    for name in texts.names():
        for prompt in texts.load_all(name, folder):
            click.echo(
                f"{prompt.label:<24} version {prompt.version:<3} {prompt.hash}  {_whose(prompt)}  {prompt.purpose}"
            )


@prompts.command()
@click.argument("name")
@click.option("--language", type=click.Choice(texts.LANGUAGES), help="Default: the language of the row, or else en.")
@click.option("--row", "row", metavar="ROW", help="A row id or its first digits: its texts fill the variables.")
def show(name: str, language: "texts.Language | None", row: str | None) -> None:
    """Show the purpose, the variables and the turns of a prompt.

    \b
    infinity prompts show judge_answer
    infinity prompts show judge_answer --language zh
    infinity prompts show tag --row 3fa9          as the model gets it for this row, in the language of the row

    `infinity sql "select row_id from deduped limit 3"` shows some row ids. A variable for which the row has no value
    is not replaced.
    """
    from infinity_assets.settings import Settings

    settings = Settings()
    values = {}
    if row is not None:
        values, tag = _values(name, row, settings)
        language = language or texts.load_bilingual(name).choose(tag).language
    prompt = texts.load(name, language or "en", settings.prompts_dir)
    click.echo(f"{prompt.label}: version {prompt.version}, {prompt.hash}, {_whose(prompt)}\n{prompt.purpose}\n")
    for variable, meaning in prompt.variables.items():
        click.echo(f"  ${variable:<12} {meaning}")
    for turn in prompt.turns:
        click.echo(f"\n## {turn.role}\n{turn.fill(values)}")


@prompts.command()
@click.argument("name")
@click.argument("folder", type=NEW_FOLDER)
@click.option("--language", type=click.Choice(texts.LANGUAGES), help="Default: both.")
def copy(name: str, folder: Path, language: "texts.Language | None") -> None:
    """Copy a built-in prompt into FOLDER, where you can edit it. Existing files are not overwritten.

    \b
    infinity prompts copy tag my_prompts
    infinity prompts copy judge_answer my_prompts --language zh

    You can delete files that you do not change: the built-in prompts are used instead.
    """
    for prompt in texts.load_all(name):
        if language not in (None, prompt.language):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        copied = folder / prompt.file.name
        if copied.exists():
            raise InfinityError(f"{copied} exists already.")
        copied.write_bytes(prompt.file.read_bytes())
        click.echo(copied)


def _whose(prompt: "Prompt") -> str:
    return "built in" if prompt.file.parent == Path(texts.__file__).parent else str(prompt.file)


def _values(name: str, row: str, settings: "Settings") -> tuple[dict[str, str], str]:
    """Return the values of a row for the variables of a prompt, and the language of the row.

    Raises:
        InfinityError: No row id or several begin with `row`, or no asset holds the text of the row.
    """
    from infinity_assets.catalog.explain import find_row, read_content
    from infinity_assets.catalog.views import connect

    with connect(data_dir()) as views:
        row_id = find_row(views, row)
        content = read_content(views, row_id)
    if content is None:
        raise InfinityError(f"No asset holds the text of row {row_id} any more.")
    asked, answers = (
        [turn["content"] for turn in content.messages if turn["role"] == role] for role in ("user", "assistant")
    )
    cut = settings.scoring.max_chars if name in ("tag", "judge_answer", "judge_pair", "find_deficiency") else None
    request = "\n\n".join(asked) if name == "judge_answer" else asked[0]
    values = {"request": request[:cut], "text": asked[0], "max_labels": str(settings.scoring.max_labels)}
    if name != "judge_pair":  # its variable `one` is a student's answer
        values["one"] = asked[0]
    reference = {"judge_pair": "other", "find_deficiency": "reference"}.get(name, "answer")
    return values | ({reference: answers[-1][:cut]} if answers else {}), content.language
