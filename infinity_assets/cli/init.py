"""`infinity init`."""

import shutil
from pathlib import Path

import click

from infinity_assets.cli.options import NEW_FOLDER
from infinity_assets.errors import InfinityError

_PACKAGED = Path(__file__).parents[1] / "project"
"""The folder with the files of a new project, in an installed package."""
_CHECKOUT = Path(__file__).parents[2]
"""The folder with these files in a checkout of the repository."""
_CONFIGURATION = ("dagster.yaml", "workspace.yaml")
_SAMPLES = ("data/sources", "data/benchmarks")
_SETTINGS = Path(__file__).with_name("infinity_template.yaml")


@click.command()
@click.argument("folder", type=NEW_FOLDER)
@click.option("--samples", is_flag=True, help="Copy the sample sources and benchmarks, too.")
def init(folder: Path, samples: bool) -> None:
    """Create a project: a settings file, configuration for Dagster, and folders for sources and benchmarks.

    \b
    infinity init my_project --samples
    cd my_project
    infinity models fetch      download the embedded models, 0.3 GB
    infinity run
    DAGSTER_HOME=$PWD dagster dev

    Existing configuration files are not changed.
    """
    template = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    for name in _SAMPLES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        if samples:
            if any((folder / name).iterdir()):
                raise InfinityError(f"{folder / name} is not empty: the samples would be mixed with other data.")
            shutil.copytree(template / name, folder / name, dirs_exist_ok=True)
    texts = {name: (template / name).read_text(encoding="utf-8") for name in _CONFIGURATION}
    for name, text in {"infinity.yaml": _SETTINGS.read_text(encoding="utf-8"), **texts}.items():
        if (folder / name).exists():
            click.echo(f"{folder / name} is there already")
        else:
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(f"{folder / name}")
    click.echo(f"Put source folders into {folder / 'data' / 'sources'}, then: cd {folder} && infinity run")
