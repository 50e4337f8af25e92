"""`infinity prompts`: prompts are shown as the model gets them, and a user's folder is checked before anything runs."""

from functools import partial
from pathlib import Path

import pytest

from infinity_assets import prompts
from infinity_assets_tests.catalog.lakes import BAKERY3, TEA, make, row_id
from infinity_assets_tests.cli.commands import fail, infinity, succeed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


show, refused = partial(succeed, "prompts"), partial(fail, "prompts")


@pytest.mark.parametrize("command", ["list", "show", "copy"])
def test_help_teaches_with_an_example(command: str) -> None:
    assert f"infinity prompts {command}" in show(command, "--help").split("Usage", 1)[1].split("\n", 1)[1]


def test_all_prompts_are_listed(here: Path) -> None:
    lines = show("list").splitlines()
    assert [line.split()[0] for line in lines] == [
        f"{name}.{language}" for name in prompts.names() for language in prompts.languages(name)
    ]
    for line, prompt in zip(
        lines, (prompt for name in prompts.names() for prompt in prompts.load_all(name)), strict=True
    ):
        assert line.split()[1:6] == ["version", str(prompt.version), prompt.hash, "built", "in"]
        assert line.endswith(prompt.purpose)


def test_a_prompt_is_shown_with_its_variables(here: Path) -> None:
    shown = show("show", "tag", "--language", "zh")
    prompt = prompts.load("tag", "zh")
    assert shown.startswith(f"tag.zh: version {prompt.version}, {prompt.hash}, built in\n{prompt.purpose}\n")
    assert all(meaning in shown for meaning in prompt.variables.values())
    assert shown.endswith("## user\n请求：$request\n")
    assert show("show", "tag").startswith("tag.en:")
    assert "There is no prompt tags" in refused("show", "tags")


def test_the_texts_of_a_row_fill_the_variables(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(here / "data")
    tea = row_id(TEA)
    assert show("show", "judge_answer", "--row", tea).endswith(
        "Request: How is tea made?\nAnswer: With leaves and hot water.\nGrade:\n"
    )
    monkeypatch.setenv("INFINITY_SCORING__MAX_CHARS", "8")
    monkeypatch.setenv("INFINITY_SCORING__MAX_LABELS", "5")
    tagged = show("show", "tag", "--row", tea[:12])
    assert "one to 5 short labels" in tagged
    assert tagged.endswith("Request: How is t\n")
    assert "How is tea made?" in show("show", "evolve_deepen", "--row", tea, "--language", "zh")
    assert show("show", "same_request", "--row", row_id(BAKERY3)).endswith("without wheat.\nSecond: $other\nSame:\n")
    assert "No row id begins with 00zz" in refused("show", "tag", "--row", "00zz")


def test_a_changed_copy_is_in_force(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert show("copy", "tag", "mine").splitlines() == ["mine/tag.en.md", "mine/tag.zh.md"]
    assert "mine/tag.zh.md exists already." in refused("copy", "tag", "mine", "--language", "zh")
    (here / "infinity.yaml").write_text("prompts_dir: mine\n")
    before = dict(line.split()[0::3][:2] for line in show("list").splitlines())
    file = here / "mine" / "tag.zh.md"
    file.write_text(file.read_text("utf-8").replace("小写英文", "英文小写"), "utf-8")
    after = dict(line.split()[0::3][:2] for line in show("list").splitlines())
    assert {label for label in before if before[label] != after[label]} == {"tag.zh"}
    assert ", mine/tag.zh.md\n" in show("show", "tag", "--language", "zh")
    assert show("copy", "judge_answer", "mine", "--language", "en").splitlines() == ["mine/judge_answer.en.md"]


def test_an_invalid_prompts_folder_stops_every_command(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_PROMPTS_DIR", "mine")
    assert "Setting `prompts_dir`: mine is not a folder." in refused("list")
    monkeypatch.delenv("INFINITY_PROMPTS_DIR")
    show("copy", "tag", "mine", "--language", "en")
    monkeypatch.setenv("INFINITY_PROMPTS_DIR", "mine")
    file = here / "mine" / "tag.en.md"
    file.write_text(file.read_text().replace("$request", "$question"))
    (here / "data" / "sources" / "small").mkdir(parents=True)
    (here / "data" / "sources" / "small" / "rows.txt").write_text("A river.\n")
    for command in (["prompts", "list"], ["run"], ["settings"]):
        says = (
            "Error: mine/tag.en.md: its text uses the variables max_labels, question, "
            "but its head describes max_labels, request."
        )
        result = infinity(*command)
        assert result.exit_code == 1
        assert result.output.strip().splitlines()[-1] == says
