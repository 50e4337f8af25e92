"""Tests that files in the sources folder are found and named, and that their changes are detected."""

import os
from pathlib import Path

import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.reading.pool import Pool
from infinity_assets.reading.sources import (
    Source,
    SourceError,
    content_fingerprint,
    find_ignored,
    find_sources,
    load_source,
    stat_fingerprint,
)


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


DATA = [
    "a.json", "a.jsonl", "a.ndjson.gz", "a.CSV", "deep/er/a.yaml.zst", "a.yml", "a.txt", "中文.json", "license_questions.json",
    "a.parquet", "a.tar.zst", "a.TGZ", "wow!.json",
]  # fmt: skip
NOT_DATA = [
    "source.yaml", "dataset_info.json", "LICENSE.txt", "DATA_LICENSE.txt", "README.txt", "a.gz", "a.bin", "schema.json",
    "__MACOSX/a.json", ".hidden.json", ".cache/a.json",
]  # fmt: skip


def test_data_files_are_recognized_by_name(tmp_path: Path) -> None:
    for name in (*DATA, *NOT_DATA):
        write(tmp_path / name)
    assert [file.name for file in Source(name="s", path=tmp_path).files()] == sorted(DATA)


def test_unread_files_are_listed_with_the_reason(tmp_path: Path) -> None:
    for name in ("a.jsonl", "deep/b.jsonl", "deep/notes.md", ".git/c.jsonl", "LICENSE", "source.yaml", "d.doc.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    source = Source(name="s", path=tmp_path, exclude=("b.*",))
    assert source.find_unread() == {
        ".git/": "a hidden folder or one of the operating system",
        "LICENSE": "a description of the data, by its name",
        "d.doc.gz": ".doc is not a known container",
        "deep/b.jsonl": "named by `exclude`",
        "deep/notes.md": ".md is not a known container",
        "gone.jsonl": "a broken link",
    }
    only_b = source.model_copy(update={"include": ("b.*",), "exclude": ()})
    assert only_b.reason_to_skip("a.jsonl") == "not named by `include`"
    assert [file.name for file in source.files()] == ["a.jsonl"]


def test_a_file_name_that_is_not_utf8_is_replaced(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xd6\xd0.json"))
    path.write_text("[]")
    assert [file.name for file in load_source(tmp_path).files()] == ["\ufffd\ufffd.json"]


def test_a_source_without_source_yaml_has_the_name_of_its_folder(tmp_path: Path) -> None:
    source = load_source(tmp_path / "alpaca")
    assert (source.name, source.licence, source.domain, source.language) == ("alpaca", "unknown", None, None)


def test_source_yaml_is_read_as_text(tmp_path: Path) -> None:
    text_in_message = "licence: CC-BY-NC-4.0\ndomain: math\nlanguage: no\nrevision: 2024-01-01\nurl:\nlayout: alpaca\n"
    write(tmp_path / "source.yaml", text_in_message)
    source = load_source(tmp_path)
    assert (source.licence, source.domain, source.language) == ("CC-BY-NC-4.0", "math", "no")
    assert (source.revision, source.url, source.layout) == ("2024-01-01", None, "alpaca")


@pytest.mark.parametrize(
    ("text", "text_in_message"),
    [
        ("license: MIT", "unknown key `license`"),
        ("domain: cooking", "`domain`"),
        ("layout: nonsense", "there is no such layout"),
        ("name: other", "or leave `name` and `path` out"),
        ("- a list", "must hold"),
        ("a: [", "not valid YAML"),
        ("licence: [MIT]", "`licence`"),
    ],
)
def test_an_invalid_source_yaml_is_an_error_that_names_the_file(
    tmp_path: Path, text: str, text_in_message: str
) -> None:
    file = write(tmp_path / "source.yaml", text)
    with pytest.raises(SourceError) as raised:
        load_source(tmp_path)
    message = str(raised.value)
    assert message.startswith(str(file))
    assert text_in_message in message
    assert "\n" not in message


def rewrite(path: Path, text: str) -> None:
    """Rewrite a file with a different modification time, however fast the test is."""
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before, before + 1))


def test_the_stat_fingerprint_changes_with_every_change(tmp_path: Path) -> None:
    data = write(tmp_path / "a.json", "[1]")
    seen = [stat_fingerprint(tmp_path)]
    assert stat_fingerprint(tmp_path) == seen[0]
    rewrite(data, "[2]")
    seen.append(stat_fingerprint(tmp_path))
    write(tmp_path / "source.yaml", "licence: MIT")
    seen.append(stat_fingerprint(tmp_path))
    data.rename(tmp_path / "b.json")
    seen.append(stat_fingerprint(tmp_path))
    assert len(set(seen)) == 4


def test_the_content_fingerprint_changes_only_with_the_files_read(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    known = tmp_path / "known.json"

    def fingerprint(at: Path = folder) -> str:
        return content_fingerprint(load_source(at).model_copy(update={"name": "source"}), known)

    data = write(folder / "a.json", "[1]")
    first = fingerprint()
    write(folder / "README.md")
    write(folder / "source.yaml", "licence: MIT")
    assert fingerprint() == first
    rewrite(data, "[1]")
    assert fingerprint() == first
    copy = write(tmp_path / "copy/a.json", "[1]").parent
    assert fingerprint(copy) == first

    rewrite(data, "[2]")
    second = fingerprint()
    write(folder / "b.json", "[1]")
    third = fingerprint()
    write(folder / "source.yaml", "exclude: [b.json]")
    assert (len({first, second, third}), fingerprint()) == (3, second)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """A change of content that keeps size and time does not change the stored fingerprint."""
    data = write(tmp_path / "s/a.json", "[1]")
    known = tmp_path / "known.json"
    source = load_source(tmp_path / "s")
    first = content_fingerprint(source, known)
    stat = data.stat()
    data.write_text("[2]")
    os.utime(data, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_fingerprint(source, known) == first
    known.unlink()
    assert content_fingerprint(source, known) != first


@pytest.mark.parametrize(
    ("include", "exclude", "read"),
    [
        ((), (), ["a.json", "b/c.json", "b/d.jsonl"]),
        (("b/*",), (), ["b/c.json", "b/d.jsonl"]),
        (("*.json",), (), ["a.json", "b/c.json"]),
        ((), ("c.json",), ["a.json", "b/d.jsonl"]),
        (("b/*",), ("*.jsonl",), ["b/c.json"]),
    ],
)
def test_include_and_exclude_select_files(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], read: list[str]
) -> None:
    for name in ("a.json", "b/c.json", "b/d.jsonl"):
        write(tmp_path / name)
    source = Source(name="s", path=tmp_path, include=include, exclude=exclude)
    assert [file.name for file in source.files()] == read


def test_include_and_exclude_match_files_in_archives() -> None:
    source = Source(name="s", path=Path("s"), include=("train/*",), exclude=("all.zip!train/b.json",))
    assert source.wants("all.zip")
    assert source.wants("all.zip", "train/a.json")
    assert Source(name="s", path=Path("s")).wants("all.tar", "./deep/../train/a.json")
    assert not Source(name="s", path=Path("s")).wants("all.tar", "./.git/a.json")
    assert not source.wants("all.zip", "train/b.json")
    assert not source.wants("all.zip", "test/a.json")
    assert not source.wants("all.zip", "train/LICENSE.txt")


def test_a_link_to_a_parent_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "s/a.json")
    (tmp_path / "s/again").symlink_to(tmp_path / "s", target_is_directory=True)
    assert [file.name for file in load_source(tmp_path / "s").files()] == ["a.json"]


def test_find_sources_returns_folders_with_data_or_source_yaml(tmp_path: Path) -> None:
    write(tmp_path / "root/b/deep/a.json")
    write(tmp_path / "root/empty/README.md")
    write(tmp_path / "root/.hidden/a.json")
    write(tmp_path / "root/loose.json")
    write(tmp_path / "root/to_fetch/source.yaml", "url: hf://datasets/owner/name")
    write(tmp_path / "elsewhere/a.json")
    (tmp_path / "root/a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [path.name for path in find_sources(tmp_path / "root")] == ["a", "b", "to_fetch"]
    assert find_sources(tmp_path / "nowhere") == []
    (tmp_path / "root/nothing").mkdir()
    write(tmp_path / "root/scans/a.pdf")
    write(tmp_path / "root/README.md")
    assert find_ignored(tmp_path / "root") == {
        "empty/": "no data in files of .md",
        "loose.json": "a file: move it into a folder, whose name becomes the name of the source",
        "nothing/": "no files",
        "scans/": "no data in files of .pdf",
    }
    assert find_ignored(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("names", "only"),
    [
        ("", ()),
        (" ", ()),
        ("a", ("a",)),
        ("a, b", ("a", "b")),
        ("a,", ("a",)),
        ("x, y", ("x, y",)),
        ("b,x, y,a", ("b", "x, y", "a")),
        ("x", ("x",)),
        ("unknown,a", ("unknown", "a")),
        (",", (",",)),
    ],
)
def test_names_of_sources_may_hold_commas(tmp_path: Path, names: str, only: tuple[str, ...]) -> None:
    for name in ("a", "b", "x, y"):
        write(tmp_path / name / "a.json")
    assert Pool(sources=tmp_path, benchmarks=tmp_path).select(names).only == only


def test_a_misspelled_field_is_an_error_that_names_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InfinityError, match=r"`fields\.outptu`: .* did you mean `output`"):
        Source(name="s", path=tmp_path, fields={"outptu": "reply"})
    Source(name="s", path=tmp_path, fields={"Output": "reply", "answer_1": "reply", "Frage": "reply"})
