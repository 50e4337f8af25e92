"""`infinity init`, in a checkout and from a wheel that is installed into an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from infinity_assets.cli import main

ROOT = Path(__file__).parents[2]


def test_a_project_has_settings_configuration_and_samples(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / "project"), "--samples"])
    assert result.exit_code == 0
    made = {str(file.relative_to(tmp_path / "project")) for file in (tmp_path / "project").rglob("*") if file.is_file()}
    assert {"infinity.yaml", "dagster.yaml", "workspace.yaml"} <= made
    assert any(name.startswith("data/sources/word_problems/") for name in made)


def test_files_that_are_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "infinity.yaml").write_text("shards: 2\n")
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert "is there already" in result.output
    assert (tmp_path / "infinity.yaml").read_text() == "shards: 2\n"
    (tmp_path / "data" / "sources" / "mine").mkdir()
    result = CliRunner().invoke(main, ["init", str(tmp_path), "--samples"])
    assert result.exit_code == 1
    assert "is not empty" in result.output


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the package, as the wheel installs it, and the loops that are compiled already."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    for kernels in (ROOT / "infinity_assets").rglob("*kernels.py"):  # compiling them again takes half a minute
        copy = folder / "site" / kernels.relative_to(ROOT)
        os.utime(copy, ns=(kernels.stat().st_atime_ns, kernels.stat().st_mtime_ns))  # by which numba knows its source
        (copy.parent / "__pycache__").mkdir(exist_ok=True)
        for compiled in (kernels.parent / "__pycache__").glob(f"{kernels.stem}.*.nb?"):
            shutil.copy2(compiled, copy.parent / "__pycache__")
    return folder / "site"


def test_the_wheel_works_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("INFINITY_", "DAGSTER_"))}

    def infinity(*arguments: str, cwd: Path = tmp_path) -> str:
        command = [sys.executable, "-m", "infinity_assets", *arguments]
        environment["PYTHONPATH"] = str(installed)
        return subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True, text=True).stdout

    infinity("init", "project", "--samples")
    where = subprocess.run(
        [sys.executable, "-c", "import infinity_assets; print(infinity_assets.__file__)"],
        cwd=tmp_path, env={**environment, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(installed))
    assert "raw_pool" in infinity("run", "--until", "raw_pool", cwd=tmp_path / "project")
    assert "truncated_json" in infinity("funnel", cwd=tmp_path / "project")


def test_the_wheel_holds_every_file_of_the_package(installed: Path) -> None:
    def files(root: Path) -> set[str]:
        found = (file.relative_to(root).as_posix() for file in (root / "infinity_assets").rglob("*") if file.is_file())
        return {file for file in found if "__pycache__" not in file and "/project/" not in file}

    assert files(ROOT) == files(installed)
