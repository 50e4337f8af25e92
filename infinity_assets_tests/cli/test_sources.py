"""`infinity sources`: folders of the user are never written to or deleted, and an error is one sentence."""

import json
import os
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import pytest

from infinity_assets.reading.sources import data_files, load_source
from infinity_assets_tests.cli.commands import done, infinity, refused
from infinity_assets_tests.hub_server import Hub, serving
from infinity_assets_tests.reading.in_memory import read

ROWS = '{"instruction": "Name a river.", "output": "The Aare is a river."}\n'
URL = "hf://datasets/someone/some_data"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the sources, which does not exist yet."""
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "data" / "sources"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of the user."""
    folder = tmp_path / "downloads" / "rivers"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jsonl").write_text(ROWS)
    (folder / "deep" / "b.jsonl").write_text(ROWS)
    (folder / "notes.md").write_text("mine")
    return folder


@pytest.fixture
def server() -> Iterator[Hub]:
    with serving() as running:
        yield running


def listed(*fields: str) -> list[tuple]:
    return [itemgetter(*fields)(json.loads(line)) for line in done("list", "--json").splitlines()]


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "command", ["add", "fetch", "update", "remove", "list", "register", "preview", "suggest", "raw"]
)
def test_help_teaches_with_an_example(command: str) -> None:
    assert f"infinity sources {command}" in done(command, "--help").split("Usage", 1)[1].split("\n", 1)[1]


def test_a_folder_is_linked_and_unlinked(sources: Path, mine: Path) -> None:
    before = state(mine)
    done("add", str(mine))
    assert (sources / "rivers").is_symlink()
    (mine / "later.jsonl").write_text(ROWS)
    assert len(data_files(sources / "rivers")) == 3, "files added to the folder later belong to the source"
    (mine / "later.jsonl").unlink()
    assert "at the next run" in done("remove", "rivers")
    assert state(mine) == before
    assert list(sources.iterdir()) == []


def test_suggested_lines_are_written_if_they_read_the_records(sources: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tickets"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"customer wrote": "Where is my hat?", "the reply": "In the post."}\n' * 3)
    assert "output: the reply" in done("add", str(folder), "--as-suggested", "--licence", "MIT")
    source = load_source(sources / "tickets")
    assert (source.licence, source.fields["instruction"]) == ("MIT", "customer wrote")
    assert read(source).rows.height == 3
    assert not (folder / "source.yaml").exists()


def test_nothing_is_written_if_nothing_plausible_can_be_suggested(sources: Path, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text('{"where": {"x": 1, "y": 2}}\n')
    assert "no plausible suggestion" in refused("add", "odd.jsonl", "--as-suggested")
    assert not (sources / "odd").exists()
    assert "No lines are needed" in done("add", str(mine), "--as-suggested")
    assert "preview a dataset" in refused("add", URL, "--as-suggested")


def test_suggest_prints_lines_that_were_tried(sources: Path, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "tickets.jsonl").write_text('{"customer wrote": "Where is my hat?", "the reply": "In the post."}\n' * 3)
    text = done("suggest", "tickets.jsonl")
    assert 'output: "the reply"' in text
    assert "In the post." in text
    (tmp_path / "odd.jsonl").write_text('{"where": {"x": 1, "y": 2}}\n')
    odd = infinity("sources", "suggest", "odd.jsonl")
    assert odd.exit_code == 1
    assert "#   where.x: " in odd.output
    assert "--model asks" in odd.output
    assert "without help" in done("suggest", str(mine))
    assert not sources.exists()


def test_options_do_not_write_to_the_folder_of_the_user(sources: Path, mine: Path) -> None:
    before = state(mine)
    options = "--name water --licence cc-by-4.0 --domain knowledge --language en"
    done("add", "downloads/rivers", *options.split())
    source = load_source(sources / "water")
    assert (source.licence, source.domain, source.language) == ("CC-BY-4.0", "knowledge", "en")
    assert read(source).rows.height == 2
    assert all(Path(file.path).is_symlink() for file in data_files(sources / "water"))
    done("remove", "water")
    assert state(mine) == before


def test_the_source_yaml_of_a_folder_is_kept(sources: Path, mine: Path) -> None:
    (mine / "source.yaml").write_text("name: rivers\nlicence: MIT\ndescription: Rivers\nfields: {output: o}\n")
    done("add", str(mine), "--domain", "knowledge", "--name", "other")
    source = load_source(sources / "other")
    assert (source.licence, source.domain, source.description) == ("MIT", "knowledge", "Rivers")
    assert source.fields == {"output": "o"}
    assert "set `name: third`" in refused("add", str(mine), "--name", "third")
    assert not os.path.lexists(sources / "third")


def test_a_file_is_linked_and_a_folder_copied(sources: Path, mine: Path) -> None:
    done("add", str(mine / "a.jsonl"), "--licence", "our own")
    assert (sources / "a" / "a.jsonl").is_symlink()
    assert load_source(sources / "a").licence == "our own"
    done("add", str(mine), "--copy")
    assert not any(path.is_symlink() for path in (sources / "rivers").rglob("*"))
    assert "holds 2 files that exist only there" in refused("remove", "rivers")
    done("remove", "rivers", "--delete")
    done("remove", "a")
    assert state(mine)["a.jsonl"] == ROWS.encode()
    assert list(sources.iterdir()) == []


def test_remove_never_follows_a_link(sources: Path, mine: Path, tmp_path: Path) -> None:
    before = state(mine)
    folder = sources / "mixed"
    folder.mkdir(parents=True)
    (folder / "linked").symlink_to(mine, target_is_directory=True)
    (folder / "own.jsonl").write_text(ROWS)
    refused("remove", "mixed")
    done("remove", "mixed", "--delete")
    assert state(mine) == before
    (sources / "gone").symlink_to(tmp_path / "nowhere")
    done("remove", "gone")
    for name in ("../sources", ".", "..", "nothing", str(mine)):
        for command in (["remove", "--delete"], ["update"], ["fetch"]):
            assert "There is no source" in refused(*command, name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "There is no nowhere"),
        (["downloads/rivers", "--name", "taken"], "a source taken in"),
        (["downloads/rivers", "--name", "a/b"], "cannot be called 'a/b'"),
        (["downloads/rivers", "--name", ".a"], "cannot be called '.a'"),
        (["downloads/rivers", "--name", "a...b"], "cannot be called 'a...b'"),
        (["downloads/rivers", "--layout", "nonsense"], "There is no layout nonsense; the layouts are "),
        (["downloads/rivers", "--split", "train"], "are for datasets of the Hub"),
        (["empty"], "holds no data; data files end in .json"),
        (["downloads/rivers/notes.md"], "holds no data"),
        (["."], "cannot be a source"),
        ([URL, "--copy"], "--copy is for folders and files"),
        (["hf://models/x/y"], "must read hf://datasets/owner/name"),
        ([URL, "--layout", "nonsense"], "There is no layout nonsense"),
    ],
)
def test_an_invalid_source_is_refused(
    sources: Path, mine: Path, tmp_path: Path, server: Hub, arguments: list[str], says: str
) -> None:
    (sources / "taken").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    assert says in refused("add", *arguments)
    assert os.listdir(sources) == ["taken"]
    assert server.requests == 0


def test_a_dataset_of_the_hub_is_added_updated_and_removed(sources: Path, server: Hub) -> None:
    dataset = server.dataset({"train.jsonl": ROWS, "test.jsonl": ROWS}, card={"license": "mit", "language": "en"})
    assert "1 files" in done("add", URL, "--domain", "knowledge")
    assert "exists already" in done("add", URL)
    folder = sources / "some_data"
    assert (load_source(folder).licence, load_source(folder).domain) == ("MIT", "knowledge")
    assert "Nothing to fetch" in done("fetch")
    assert "already" in done("update", "some_data")

    moved = dataset.commit({"train.jsonl": ROWS * 2, "test.jsonl": ROWS})
    dataset.card = {"license": "cc-by-nc-4.0"}
    assert "`infinity sources update some_data`" in refused("add", URL)
    assert "The licence in the card is CC-BY-NC-4.0, in source.yaml MIT" in done("update", "some_data")
    assert f"{URL}@{moved[:7]}" in done("list")
    assert "--delete" in refused("remove", "some_data")
    done("remove", "some_data", "--delete")
    assert list(sources.iterdir()) == []


def test_an_error_of_the_hub_leaves_no_folder(sources: Path, server: Hub) -> None:
    server.dataset({"train.jsonl": ROWS})
    assert "no split dev; there are train" in refused("add", URL, "--split", "dev")
    assert "has no dataset someone/else" in refused("add", "hf://datasets/someone/else")
    assert not sources.exists()


def test_fetch_downloads_sources_that_have_only_a_yaml(sources: Path, server: Hub, tmp_path: Path) -> None:
    server.dataset({"train.jsonl": ROWS}, card={"license": "mit"})
    for name in ("one", "two"):
        (sources / name).mkdir(parents=True)
        (sources / name / "source.yaml").write_text(f"url: {URL}\n")
    assert listed("name", "fetched", "files") == [("one", False, 0), ("two", False, 0)]
    assert "There is no source three" in refused("fetch", "three")
    done("fetch", "two")
    assert [path.name for path in sources.iterdir() if data_files(path)] == ["two"]
    done("fetch", "--sources", str(sources))
    assert listed("name", "fetched", "files", "licence") == [("one", True, 1, "MIT"), ("two", True, 1, "MIT")]


def test_a_misspelled_field_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"ask": "q", "reply": "a"}\n')
    assert "did you mean `output`?" in refused("preview", str(tmp_path), "--field", "outptu=reply")
