"""Every command of README.md and docs/, run on a copy of a finished project: page by page, in the order of the page."""

import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl
import pytest
import zstandard

from infinity_assets.defs.registry import find
from infinity_assets.selection.selectors import SELECTORS
from infinity_assets_tests import forks
from infinity_assets_tests.documented_commands import PAGES, Command, commands
from infinity_assets_tests.project import PROJECT, Project
from infinity_assets_tests.test_docs import GLOSSARY

pytestmark = pytest.mark.graph

NOT_RUN = {
    "python -m infinity_assets_tests.benchmarks.*": "minutes to hours, on data that the repository does not hold",
    "python -m infinity_assets_tests.defs.code_digests": "writes into the checkout",
    "python -m pytest *": "starts the tests",
    "infinity sources add hf://*": "network",
    "infinity sources add https://*": "network",
    "infinity sources update gsm8k": "network",
    "infinity sources fetch --sources sources": "network",
    "infinity run --sources sources": "needs the sources of the command before",
    "infinity plan": "asks models about a sample of the whole graph, as `test_planner` does",
    "INFINITY_* infinity plan": "likewise",
    "infinity run": "makes the graph again, as `test_whole_graph` does",
    "infinity run --until *": "ten seconds for each; `test_docs` knows the assets",
    "INFINITY_* infinity run": "makes half of the graph again",
    "dagster asset materialize * --select 'deduped[*]' *": "as the command before it, for all assets downstream",
    "infinity export deduped --layout synthesizer *": "no sample source has questions about texts",
}
"""Patterns of commands that are not run, with the reason. Their names and options are checked in `test_docs`."""

EXAMPLES = {
    "ROW": "select row_id from inf_instruct_g limit 1",
    "3fa9": "select row_id from inf_instruct_g limit 1",
    "491a82": "select row_id from inf_instruct_g limit 1",
    "word problem": "select label from tag_vocabulary limit 1",
    "PATH": "select '~/downloads/faq'",
    "my_source": "select 'nature_notes'",
    "mistralai/Mistral-7B-v0.1": "select 'smollm2-135m-instruct'",
    "shard-00...shard-03": "select 'shard-00...shard-01'",
    "2000": "select 40",
}
"""Words that stand for something of the reader's own, or a larger project, and queries for their values in the copy."""


def reason_not_to_run(command: Command) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if fnmatchcase(command.line, pattern)), None)


RUN = {
    str(page.relative_to(PROJECT)): list(
        dict.fromkeys(found for found in commands(page) if not found.is_mention and not reason_not_to_run(found))
    )
    for page in PAGES
}
"""Commands to run, by page."""


def test_no_reason_and_no_example_is_left_over() -> None:
    lines = [command.line for page in PAGES for command in commands(page)]
    assert [pattern for pattern in NOT_RUN if not any(fnmatchcase(line, pattern) for line in lines)] == []
    words = {word for page in RUN.values() for command in page for word in command.words}
    assert [word for word in EXAMPLES if word not in words] == []


def test_every_asset_after_until_exists() -> None:
    lines = [command.words for page in PAGES for command in commands(page)]
    for asset in {words[words.index("--until") + 1] for words in lines if "--until" in words}:
        find(asset)


def test_the_glossary_defines_every_reason_in_the_lake(project: Project) -> None:
    query = "select unnest(string_split(reason, '+')) as code from decisions union select error from generations"
    found = set(project.sql(f"select code from ({query}) where code is not null")["code"])
    for asset in project.lake.assets():
        rows = project.lake.scan(asset)
        for column in rows.collect_schema().names():
            if column.endswith("_error"):
                found |= set(rows.select(pl.col(column).drop_nulls().unique()).collect().to_series())
    assert sorted(found - set(GLOSSARY) - set(SELECTORS)) == []


@pytest.fixture(scope="module")
def values(project: Project) -> dict[str, str]:
    """The values of `EXAMPLES` in the project."""
    return {word: str(project.sql(query).item()) for word, query in EXAMPLES.items()}


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Path:
    """A folder with a copy of the project, and a home folder with the datasets of the pages."""
    shutil.copytree(project.data, tmp_path / "data", symlinks=True)
    (tmp_path / "data" / "pool.json").unlink()  # the sources are in the copy, too
    home = tmp_path / "home"
    for source, target in (
        ("sources", tmp_path / "data" / "sources"),
        ("benchmarks", tmp_path / "data" / "benchmarks"),
        ("sources", home / "datasets"),
        ("benchmarks", home / "benchmarks"),
        ("sources/everyday_tasks", home / "downloads" / "alpaca"),
        ("sources/word_problems", home / "downloads" / "sums"),
    ):
        shutil.copytree(PROJECT / "data" / source, target)
    for name in ("alpaca", "sums"):
        (home / "downloads" / name / "source.yaml").unlink()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    project.environment()  # writes the settings
    shutil.copy(project.folder / "settings.yaml", tmp_path / "infinity.yaml")
    record = {
        "title": "Tea",
        "body": "Is green tea a herb?",
        "ask": "Which tea is green?",
        "meta": {"reply": ["Sencha."]},
    }
    (home / "downloads" / "tickets").mkdir()
    tickets = [
        {
            "ticket": n,
            "customer_asks": f"Why is lamp {n} dark after the rain?",
            "our_reply": f"Please dry its plug and call us about lamp {n} again.",
        }
        for n in range(6)
    ]
    (home / "downloads" / "tickets" / "tickets.jsonl").write_text("\n".join(map(json.dumps, tickets)))
    (home / "downloads" / "faq").mkdir()
    (home / "downloads" / "faq" / "train.jsonl.zst").write_bytes(zstandard.compress(json.dumps(record).encode()))
    (tmp_path / "faq.jsonl").write_text(json.dumps(record), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", [name for name, found in RUN.items() if found])
def test_the_commands_of_a_page_succeed(project: Project, values: dict[str, str], copy: Path, page: str) -> None:
    environment = {
        **{name: value for name, value in project.environment().items() if name != "INFINITY_SETTINGS"},
        "INFINITY_DATA": str(copy / "data"),
        "HOME": str(copy / "home"),
        "PWD": str(copy),
    }
    results = copy / "results.json"
    forks.start_commands(RUN[page], values, copy, environment, results).join()
    for line, code, seconds, output in (outcomes := json.loads(results.read_text(encoding="utf-8"))):
        print(f"{line}\nstatus {code}, {seconds:.1f} s\n{output}")
    assert [line for line, code, *_ in outcomes if code] == []
