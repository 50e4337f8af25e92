"""Tests that a dataset of the Hub arrives complete, at a recorded commit, and only with the requested files."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading import hub
from infinity_assets.reading.hub import Address, File, HubError
from infinity_assets.reading.sources import data_files, load_source
from infinity_assets_tests.hub_server import Hub, serving
from infinity_assets_tests.reading.in_memory import read

ROWS = '{"question": "What is 2 + 3?", "answer": "It is 5."}\n{"question": "What is 4 + 4?", "answer": "It is 8."}\n'
CARD = {"license": "apache-2.0", "language": ["en"], "pretty_name": "Some  Data"}
REPO = "someone/some_data"
URL = f"hf://datasets/{REPO}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        yield running


def write_source_yaml(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.yaml").write_text(text, encoding="utf-8")
    return folder


def names(folder: Path) -> list[str]:
    return [file.name for file in data_files(folder)]


# --- pinning ----------------------------------------------------------------------------------------------------------


def test_a_source_is_pinned_described_by_its_card_and_read(server: Hub, tmp_path: Path) -> None:
    dataset = server.dataset({"train.jsonl": ROWS, "test.jsonl": ROWS, "README.md": "# Some data"}, card=CARD)
    folder = tmp_path / "some_data"
    assert hub.add(folder, hub.resolve(REPO), URL, {"domain": "math"})
    source = load_source(folder)
    assert (source.url, source.revision, source.split) == (URL, dataset.branches["main"], "train")
    facts = (source.licence, source.language, source.domain, source.description)
    assert facts == ("Apache-2.0", "en", "math", "Some Data")
    assert server.downloads == ["train.jsonl"]
    assert sorted(os.listdir(folder)) == [".hub.json", "source.yaml", "train.jsonl"]
    assert read(source).rows.height == 2


def test_a_second_add_downloads_nothing_and_a_moved_branch_is_refused(server: Hub, tmp_path: Path) -> None:
    dataset = server.dataset({"train.jsonl": ROWS}, card=CARD)
    folder = tmp_path / "some_data"
    first = hub.resolve(REPO)
    assert hub.add(folder, first, URL, {})
    assert not hub.add(folder, hub.resolve(REPO), URL, {})
    assert server.downloads == ["train.jsonl"]
    moved = dataset.commit({"train.jsonl": ROWS * 2})
    pinned = rf"pinned to {first.commit[:7]} and main is at {moved[:7]} now: `infinity sources update some_data`"
    with pytest.raises(HubError, match=pinned):
        hub.add(folder, hub.resolve(REPO), URL, {})
    assert (folder / "train.jsonl").read_text() == ROWS
    with pytest.raises(HubError, match="with other content"):
        hub.add(write_source_yaml(tmp_path / "other", "licence: MIT"), hub.resolve(REPO), URL, {})


def test_an_update_downloads_changed_files_and_deletes_removed_ones(server: Hub, tmp_path: Path) -> None:
    dataset = server.dataset({"train-1.jsonl": ROWS, "train-2.jsonl": ROWS, "train-3.jsonl": ROWS})
    folder = tmp_path / "some_data"
    hub.add(folder, hub.resolve(REPO), URL, {})
    server.downloads.clear()
    moved = dataset.commit({"train-1.jsonl": ROWS, "train-2.jsonl": ROWS * 2, "train-4.jsonl": ROWS})
    plan = hub.update(folder)
    assert plan is not None
    assert plan.commit == load_source(folder).revision == moved
    assert sorted(server.downloads) == ["train-2.jsonl", "train-4.jsonl"]
    assert names(folder) == ["train-1.jsonl", "train-2.jsonl", "train-4.jsonl"]
    assert (folder / "train-2.jsonl").read_text() == ROWS * 2
    assert hub.update(folder) is None
    assert hub.fetch(folder) is None


def test_an_update_follows_the_branch_in_the_url(server: Hub, tmp_path: Path) -> None:
    dataset = server.dataset({"train.jsonl": ROWS})
    folder = tmp_path / "some_data"
    dataset.commit({"train.jsonl": ROWS * 2}, branch="v2")
    hub.add(folder, hub.resolve(REPO, "v2"), hub.parse_address(f"{URL}@v2").url, {})
    newest = dataset.commit({"train.jsonl": ROWS * 3}, branch="v2")
    assert load_source(folder).url == f"{URL}@v2"
    hub.update(folder)
    assert load_source(folder).revision == newest


def test_files_without_a_receipt_are_not_touched(server: Hub, tmp_path: Path) -> None:
    folder = write_source_yaml(tmp_path / "some_data", f"url: {URL}\n")
    (folder / "mine.jsonl").write_text(ROWS)
    assert not hub.is_pending(folder)
    with pytest.raises(HubError, match="not fetched by this command"):
        hub.update(folder)
    with pytest.raises(HubError, match="is not from the Hub"):
        hub.update(write_source_yaml(tmp_path / "local", "licence: MIT"))
    assert server.requests == 0


# --- a source.yaml by hand --------------------------------------------------------------------------------------------

HAND = f"# ours\nurl: {URL}  # the whole of it\ndomain: math\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (HAND, "# the whole of it"),
        (HAND + "revision: main   # moves\n", "# moves"),
        (HAND.rstrip(), "# ours"),
        (f"{{url: {URL}, domain: math}}", ""),
        (f'"url": {URL}\n"revision": "main"\ndomain: math\n', ""),
        (HAND + "licence: MIT  # we asked\nlanguage: de\n", "# we asked"),
    ],
)
def test_fetch_pins_a_source_yaml_and_keeps_the_rest(server: Hub, tmp_path: Path, text: str, kept: str) -> None:
    dataset = server.dataset({"data.jsonl": ROWS}, card=CARD)
    folder = write_source_yaml(tmp_path / "some_data", text)
    assert hub.is_pending(folder)
    assert hub.fetch(folder) is not None
    source = load_source(folder)
    written = (folder / "source.yaml").read_text()
    assert (source.revision, source.split) == (dataset.branches["main"], "train")
    assert (source.domain, source.url) == ("math", URL)
    assert (source.licence, source.language) == (("MIT", "de") if "MIT" in text else ("Apache-2.0", "en"))
    assert kept in written
    assert written.count("revision") == 1 or '"revision"' in text
    requests = server.requests
    assert not hub.is_pending(folder)
    assert hub.fetch(folder) is None
    assert server.requests == requests, "a complete source needs no network"


def test_a_changed_source_yaml_is_fetched_again(server: Hub, tmp_path: Path) -> None:
    server.dataset({"train.jsonl": ROWS, "test.jsonl": ROWS})
    folder = write_source_yaml(tmp_path / "some_data", f"url: {URL}\n")
    hub.fetch(folder)
    text = (folder / "source.yaml").read_text()
    write_source_yaml(folder, text.replace("split: train", "split: test"))
    assert hub.is_pending(folder)
    hub.fetch(folder)
    assert names(folder) == ["test.jsonl"]


def test_a_pinned_source_ignores_later_commits(server: Hub, tmp_path: Path) -> None:
    dataset = server.dataset({"train.jsonl": ROWS})
    pinned = dataset.branches["main"]
    dataset.commit({"train.jsonl": "{}"})
    folder = write_source_yaml(tmp_path / "some_data", f"url: {URL}\nrevision: {pinned}\n")
    hub.fetch(folder)
    assert (folder / "train.jsonl").read_text() == ROWS
    assert load_source(folder).revision == pinned


def test_a_lost_file_is_downloaded_again(server: Hub, tmp_path: Path) -> None:
    server.dataset({"train-1.jsonl": ROWS, "train-2.jsonl": ROWS})
    folder = write_source_yaml(tmp_path / "some_data", f"url: {URL}\n")
    hub.fetch(folder)
    server.downloads.clear()
    (folder / "train-2.jsonl").unlink()
    hub.fetch(folder)
    assert server.downloads == ["train-2.jsonl"]


# --- interruptions ----------------------------------------------------------------------------------------------------


def test_an_interrupted_fetch_is_pending_and_resumes(server: Hub, tmp_path: Path) -> None:
    server.dataset({f"train-{n}.jsonl": ROWS for n in range(4)} | {"deep/er/train [x].jsonl": ROWS})
    server.broken = {"deep/er/train [x].jsonl"}
    folder = tmp_path / "some_data"
    plan = hub.resolve(REPO)
    with pytest.raises(HubError, match="status 501"):
        hub.add(folder, plan, URL, {})
    assert names(folder) == []
    assert hub.is_pending(folder)
    came = list(server.downloads)
    server.broken.clear()
    assert hub.add(folder, plan, URL, {})
    assert sorted(server.downloads) == sorted(plan.files), "each file was sent once"
    assert set(came) <= set(plan.files)
    assert names(folder) == sorted(plan.files)
    assert not hub.is_pending(folder)


def test_a_source_killed_between_two_moves_is_pending(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.dataset({"train-1.jsonl": ROWS, "train-2.jsonl": ROWS})
    folder = tmp_path / "some_data"
    plan = hub.resolve(REPO)
    move = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target) == folder / "train-2.jsonl":
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(hub.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        hub.add(folder, plan, URL, {})
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    assert names(folder) == ["train-1.jsonl"]
    assert hub.is_pending(folder)
    hub.fetch(folder)
    assert names(folder) == ["train-1.jsonl", "train-2.jsonl"]


def test_a_disk_with_too_little_space_is_an_error_before_the_download(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.dataset({"train.jsonl": ROWS})

    class Usage(NamedTuple):
        free: int = 10

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage())
    with pytest.raises(HubError, match=r"needs 0\.0 MB more"):
        hub.fetch(write_source_yaml(tmp_path / "some_data", f"url: {URL}\n"))
    assert server.downloads == []


def run(server: Hub, folder: Path, limit: int = resource.RLIM_INFINITY, **environment: str) -> str:
    """Run `hub.fetch` in its own process and return its output."""
    code = (
        "import sys; from pathlib import Path; from infinity_assets.reading import hub\n"
        "from infinity_assets.errors import InfinityError\n"
        "try: hub.fetch(Path(sys.argv[1]))\n"
        "except InfinityError as error: print(error); sys.exit(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "HF_ENDPOINT": server.endpoint, **environment},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_disk_that_fills_up_leaves_the_source_pending(server: Hub, tmp_path: Path) -> None:
    server.dataset({"train-1.jsonl": ROWS, "train-2.jsonl": ROWS * 5000})
    folder = write_source_yaml(tmp_path / "some_data", f"url: {URL}\n")
    assert "The disk is full" in run(server, folder, limit=100_000)
    assert names(folder) == []
    assert hub.is_pending(folder)


def test_offline_mode_is_an_error(server: Hub, tmp_path: Path) -> None:
    server.dataset({"train.jsonl": ROWS})
    output = run(server, write_source_yaml(tmp_path / "some_data", f"url: {URL}\n"), HF_HUB_OFFLINE="1")
    assert "cannot be fetched while HF_HUB_OFFLINE is set" in output


def test_a_gated_dataset_needs_a_token_which_no_message_contains(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.dataset({"train.jsonl": ROWS}, token="hf_the_right_one")
    folder = write_source_yaml(tmp_path / "some_data", f"url: {URL}\n")
    with pytest.raises(HubError, match=r"is gated: accept its terms at .*, then set HF_TOKEN"):
        hub.fetch(folder)
    assert "hf_a_wrong_one" not in run(server, folder, HF_TOKEN="hf_a_wrong_one")
    monkeypatch.setenv("HF_TOKEN", "hf_the_right_one")
    hub.fetch(folder)
    assert names(folder) == ["train.jsonl"]
    assert not any(b"hf_the_right_one" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"repo": "someone/no_such"}, "The Hub has no dataset someone/no_such, or it is private"),
        ({"revision": "v9"}, "has no revision v9; there are main, v2"),
        ({"revision": "0" * 40}, "there are main, v2"),
        ({"split": "dev"}, "has no split dev; there are train, test"),
        ({"config": "algebra"}, "has no configuration algebra; there are default"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
    server: Hub, asked: dict[str, str], message: str
) -> None:
    dataset = server.dataset({"train.jsonl": ROWS, "test.jsonl": ROWS})
    dataset.commit({"train.jsonl": ROWS}, branch="v2")
    with pytest.raises(HubError) as raised:
        hub.resolve(**{"repo": REPO, **asked})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("files", [{"images.py": "x", "README.md": "x"}, {}, {"sounds.wav": "x"}])
def test_a_dataset_without_data_is_an_error(server: Hub, files: dict[str, str | bytes]) -> None:
    server.dataset(files)
    with pytest.raises(HubError, match=r"holds no data files .*refs/convert/parquet"):
        hub.resolve(REPO)


def test_a_split_without_readable_files_is_an_error(server: Hub) -> None:
    server.dataset(
        {"a.wav": "x", "b.jsonl": ROWS}, card={"configs": [{"config_name": "default", "data_files": "*.wav"}]}
    )
    with pytest.raises(HubError, match=r"None of the 1 files of .* can be read: they are .wav files"):
        hub.resolve(REPO)


def test_an_unreachable_hub_is_an_error(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="The Hub cannot be reached"):
        hub.resolve(REPO)


@pytest.mark.parametrize(
    "url", ["hf://owner/name", "hf://datasets/name", "hf://", "https://example.org/o/n", "https://huggingface.co/o/n"]
)
def test_an_invalid_address_is_an_error(url: str) -> None:
    with pytest.raises(HubError, match="must read hf://datasets/owner/name"):
        hub.parse_address(url)


def test_an_address_is_parsed() -> None:
    assert hub.parse_address("hf://datasets/o/n@refs/pr/1") == Address("o/n", "refs/pr/1")
    assert hub.parse_address("hf://datasets/o/n@" + "a" * 40).url == "hf://datasets/o/n"
    assert not hub.is_hub("https://huggingface.co/datasets/o/n")


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ("", Address("o/n", None)),
        ("/", Address("o/n", None)),
        ("/tree/main", Address("o/n", None)),
        ("/tree/v2/data/en", Address("o/n", "v2", "data/en")),
        ("/tree/refs%2Fconvert%2Fparquet/default", Address("o/n", "refs/convert/parquet", "default")),
        ("/blob/main/data/a.jsonl", Address("o/n", None, "data/a.jsonl")),
        ("/resolve/main/data/a%20b.jsonl?download=true", Address("o/n", None, "data/a b.jsonl")),
        ("/blob/main/README.md", Address("o/n", None)),
        ("/viewer", Address("o/n", None)),
        ("/viewer/algebra/test?row=3", Address("o/n", None, None, "algebra", "test")),
    ],
)
@pytest.mark.parametrize("host", ["https://huggingface.co", "huggingface.co", "https://hf.co"])
def test_the_url_of_a_page_names_a_dataset_or_a_part_of_it(host: str, page: str, address: Address) -> None:
    url = f"{host}/datasets/o/n{page}"
    assert hub.is_page(url)
    assert hub.parse_address(url) == address
    stored = hub.parse_address(address.url)
    assert (stored.repo, stored.revision, stored.path) == (address.repo, address.revision, address.path)


def test_a_path_in_an_address_selects_its_files(server: Hub, tmp_path: Path) -> None:
    server.dataset({"en/train.jsonl": ROWS, "en/test.jsonl": ROWS, "de/train.jsonl": ROWS}, card=CARD)
    folder = write_source_yaml(tmp_path / "part", f"url: {URL}/en")
    hub.fetch(folder)
    assert names(folder) == ["en/train.jsonl"]
    assert not hub.is_pending(folder)
    assert list(hub.resolve(REPO, path="en/test.jsonl").files) == ["en/test.jsonl"]
    with pytest.raises(HubError, match="has no file or folder fr at revision main"):
        hub.resolve(REPO, path="fr")
    with pytest.raises(HubError, match="other content"):
        hub.add(folder, hub.resolve(REPO, path="de"), f"{URL}/de", {})


# --- files of a split -------------------------------------------------------------------------------------------------


def splits(entry: dict, *paths: str) -> dict[str, list[str]]:
    return hub._find_splits(entry, {path: File(1, path) for path in paths})


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("data.jsonl", {"train": ["data.jsonl"]}),
        ("train.csv dev.csv notes.csv", {"train": ["train.csv"], "validation": ["dev.csv"]}),
        ("my_train_file-00001.csv my_test_file_1.csv", {"train": ["my_train_file-00001.csv"], "test": ["my_test_file_1.csv"]}),
        ("trainer.csv contest.csv", {"train": ["contest.csv", "trainer.csv"]}),
        ("train/a.json en-testing/b.json test.json", {"train": ["train/a.json"], "test": ["en-testing/b.json"]}),
        ("data/odd-00000-of-00002.json data/odd-00001-of-00002-ab.json",
         {"odd": ["data/odd-00000-of-00002.json", "data/odd-00001-of-00002-ab.json"]}),
        ("a.jsonl b.json requirements.txt", {"train": ["a.jsonl", "b.json"]}),
        ("a.jsonl config.json dataset_infos.json README.md .x/a.jsonl __pycache__/a.jsonl", {"train": ["a.jsonl"]}),
    ],
)  # fmt: skip
def test_splits_by_the_names_of_folders_and_files(paths: str, expected: dict[str, list[str]]) -> None:
    assert {split: sorted(found) for split, found in splits({}, *paths.split()).items()} == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"data_files": "a/*.csv"}, {"train": ["a/1.csv", "a/2.csv"]}),
        ({"data_files": ["a/1.csv", "b/**"]}, {"train": ["a/1.csv", "b/c/3.csv"]}),
        ({"data_files": [{"split": "x", "path": "a/[!1].csv"}]}, {"x": ["a/2.csv"]}),
        ({"data_files": [{"split": "x", "path": "a/1*"}, {"split": "y", "path": ["**/3.csv"]}]}, {"x": ["a/1.csv"], "y": ["b/c/3.csv"]}),
        ({"data_files": {"dev": "./a/1.csv"}}, {"dev": ["a/1.csv"]}),
        ({"data_dir": "a"}, {"train": ["a/1.csv", "a/2.csv"]}),
        ({"data_dir": "b/c/", "data_files": "*.csv"}, {"train": ["b/c/3.csv"]}),
        ({"data_files": "nothing.csv"}, {}),
    ],
)  # fmt: skip
def test_splits_by_the_card(entry: dict, expected: dict[str, list[str]]) -> None:
    assert splits(entry, "a/1.csv", "a/2.csv", "b/c/3.csv") == expected


@given(path=st.text(alphabet="ab/[]*?.!^-\\", min_size=1, max_size=12))
def test_a_glob_of_literal_characters_matches_them(path: str) -> None:
    literal = "".join(f"[{char}]" if char in "[*?" else char for char in path)
    assert hub._translate_glob(literal).fullmatch(path.removeprefix("./"))
    assert hub._translate_glob("**").fullmatch(path)
    assert bool(hub._translate_glob("*").fullmatch(path)) == ("/" not in path)


def test_a_configuration_is_chosen_by_name_or_default(server: Hub) -> None:
    def entry(name: str, **splits: str) -> dict:
        return {
            "config_name": name,
            "data_files": [{"split": split, "path": path} for split, path in splits.items()],
        }

    entries = [entry("main", train="main/*", test="eval/*"), entry("extra", one="extra/1*", two="extra/2*")]
    dataset = server.dataset(
        {f"{path}.jsonl": ROWS for path in ("main/a", "main/b", "eval/a", "extra/1", "extra/2", "loose")},
        card={"configs": entries},
    )
    several = r"has several configurations: say which with --config or `config:`; there are main, extra\."
    with pytest.raises(HubError, match=several):
        hub.resolve(REPO)
    assert list(hub.resolve(REPO, config="main").files) == ["main/a.jsonl", "main/b.jsonl"]
    assert list(hub.resolve(REPO, config="main", split="test").files) == ["eval/a.jsonl"]
    with pytest.raises(HubError, match=r"has several splits: .* there are one, two\."):
        hub.resolve(REPO, config="extra")
    entries[1]["default"] = True
    assert hub.resolve(REPO, split="two").config == "extra"
    dataset.card = {}
    assert list(hub.resolve(REPO, config="extra").files) == ["extra/1.jsonl", "extra/2.jsonl"], (
        "a folder per configuration"
    )


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"language": "en"}, {"language": "en"}),
        ({"language": ["en", "zh"]}, {"languages": ["en", "zh"]}),
        ({"language": ["en", "code"]}, {"language": "en"}),
        ({"language": [False]}, {"language": "no"}),
        ({"language": "multilingual"}, {}),
        ({}, {}),
    ],
)
def test_languages_of_a_card(server: Hub, tmp_path: Path, card: dict, expected: dict) -> None:
    server.dataset({"train.jsonl": ROWS}, card=card)
    folder = tmp_path / "some_data"
    hub.add(folder, hub.resolve(REPO), URL, {})
    written = yaml.safe_load((folder / "source.yaml").read_text())
    assert {key: written[key] for key in ("language", "languages") if key in written} == expected
    assert written["licence"] == "unknown"
    load_source(folder)
