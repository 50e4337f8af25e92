"""`infinity init`."""

import shutil
from pathlib import Path

import click

from infinity_assets.cli.errors import report_errors
from infinity_assets.errors import InfinityError

_PACKAGED = Path(__file__).parents[1] / "project"
"""The files of a project in an installed package."""
_CHECKOUT = Path(__file__).parents[2]
"""The folder of these files in a checkout."""
_CONFIGURATION = ("dagster.yaml", "workspace.yaml")
_SAMPLES = ("data/sources", "data/benchmarks")
_SETTINGS = """\
# The settings of this project. `infinity settings` lists all of them, with defaults, units and sources.
# Every setting can also be an environment variable: INFINITY_CHAT__SEEDS__MAX_SEEDS=200.

# scoring:
#   max_rows: 200            # rows that models score; 0 for all

# models:
#   generator:
#     model: Qwen/Qwen2.5-7B-Instruct     # a Hub id, a folder, or a model of a server

# release:
#   denied_licences: [CC-BY-NC-4.0]
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--samples", is_flag=True, help="Copy the sample sources and benchmarks, too.")
@report_errors
def init(folder: Path, samples: bool) -> None:
    """Create a project: settings, the configuration of Dagster, and folders for sources and benchmarks.

    \b
    infinity init my_project --samples
    cd my_project
    infinity models fetch      the embedded models, 0.3 GB
    infinity run
    DAGSTER_HOME=$PWD dagster dev

    Files that are there already are left alone.
    """
    template = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    for name in _SAMPLES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        if samples:
            if any((folder / name).iterdir()):
                raise InfinityError(f"{folder / name} is not empty: the samples would be mixed with other data.")
            shutil.copytree(template / name, folder / name, dirs_exist_ok=True)
    texts = {name: (template / name).read_text(encoding="utf-8") for name in _CONFIGURATION}
    for name, text in {"infinity.yaml": _SETTINGS, **texts}.items():
        if (folder / name).exists():
            click.echo(f"{folder / name} is there already")
        else:
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(f"{folder / name}")
    click.echo(f"Put source folders into {folder / 'data' / 'sources'}, then: cd {folder} && infinity run")
