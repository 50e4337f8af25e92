"""The command: help that teaches, and one sentence where something is wrong."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infinity_assets.cli import main
from infinity_assets.settings import Settings


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sources" / "small"
    folder.mkdir(parents=True)
    (folder / "rows.json").write_text(json.dumps([{"instruction": "Name a river.", "output": "The Aare is a river."}]))
    return tmp_path


def infinity(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["explain"], ["funnel"], ["sql"], ["check"], ["settings"], ["models"], ["sources", "list"]]
)
def test_every_command_has_help(arguments: list[str]) -> None:
    result = infinity(*arguments, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) >= 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--until", "inf_instruct_x"], "There is no asset `inf_instruct_x`"),
        (["run", "--only", "large"], "no source named large"),
        (["explain", "abc"], "No row id begins with abc"),
        (["sql", "select * from nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(data: Path, arguments: list[str], says: str) -> None:
    result = infinity(*arguments)
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_folder_without_sources(data: Path) -> None:
    (data / "empty").mkdir()
    result = infinity("run", "--sources", str(data / "empty"))
    assert result.exit_code == 1
    assert "holds no source" in result.output
    assert not (data / "pool.json").exists(), "a pool that cannot be run is not remembered"


def test_run_until_then_funnel_sql_and_check(data: Path) -> None:
    result = infinity("run", "--until", "decontaminated")
    assert result.exit_code == 0, result.output
    assert "decontaminated" in infinity("funnel").output
    rows = infinity("sql", "select source, position from decontaminated", "--json").output
    assert json.loads(rows) == {"source": "small", "position": 0}
    assert "invariants hold" in infinity("check", "--quiet").output
    assert "small" in infinity("sources", "list").output


def test_printed_settings_are_a_settings_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force = Settings()
    (data / "printed.yaml").write_text(infinity("settings").output)
    monkeypatch.setenv("INFINITY_SETTINGS", str(data / "printed.yaml"))
    assert Settings() == in_force
    assert Settings.model_config.get("extra") == "forbid", "so that every printed name was read"
