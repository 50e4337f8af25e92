"""Whatever a person drops into the sources folder must be found, named and noticed when it changes; nothing else may be."""

import os
from pathlib import Path

import pytest

from infinity_assets.rows.sources import SourceError, data_files, find_sources, fingerprint, load_source, relative


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "is_data"),
    [
        ("a.json", True),
        ("a.jsonl", True),
        ("a.ndjson.gz", True),
        ("a.CSV", True),
        ("deep/er/a.yaml.zst", True),
        ("a.yml", True),
        ("a.txt", True),
        ("中文.json", True),
        ("license_questions.json", True),
        ("source.yaml", False),
        ("dataset_info.json", False),
        ("LICENSE.txt", False),
        ("DATA_LICENSE.txt", False),
        ("README.txt", False),
        ("a.parquet", False),
        ("a.tar.zst", False),
        ("a.gz", False),
        (".hidden.json", False),
        (".cache/a.json", False),
    ],
)
def test_data_files(tmp_path: Path, name: str, is_data: bool) -> None:
    write(tmp_path / name)
    assert [relative(path, tmp_path) for path in data_files(tmp_path)] == ([name] if is_data else [])


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b.json", "a/z.json", "a.json", "a/b/c.json"]
    for name in names:
        write(tmp_path / name)
    assert [relative(path, tmp_path) for path in data_files(tmp_path)] == sorted(names)


def test_a_broken_link_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere.json")
    assert data_files(tmp_path) == []


def test_a_file_name_that_is_not_utf8_can_be_written_down(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xd6\xd0.json"))
    path.write_text("[]")
    assert [relative(found, tmp_path) for found in data_files(tmp_path)] == ["\ufffd\ufffd.json"]


def test_a_source_without_source_yaml_is_called_what_its_folder_is_called(tmp_path: Path) -> None:
    source = load_source(tmp_path / "alpaca")
    assert (source.name, source.licence, source.domain, source.language) == ("alpaca", "unknown", None, None)


def test_source_yaml_is_read_as_text(tmp_path: Path) -> None:
    said = "licence: CC-BY-NC-4.0\ndomain: math\nlanguage: no\nrevision: 2024-01-01\nurl:\nlayout: alpaca\n"
    write(tmp_path / "source.yaml", said)
    source = load_source(tmp_path)
    assert (source.licence, source.domain, source.language) == ("CC-BY-NC-4.0", "math", "no")
    assert (source.revision, source.url, source.layout) == ("2024-01-01", None, "alpaca")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("license: MIT", "unknown key `license`"),
        ("domain: cooking", "`domain`"),
        ("layout: nonsense", "no layout of that name"),
        ("name: other", "or leave `name` and `path` out"),
        ("- a list", "must hold"),
        ("a: [", "not valid YAML"),
        ("licence: [MIT]", "`licence`"),
    ],
)
def test_a_bad_source_yaml_is_one_sentence_that_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "source.yaml", text)
    with pytest.raises(SourceError) as raised:
        load_source(tmp_path)
    message = str(raised.value)
    assert message.startswith(str(file))
    assert said in message
    assert "\n" not in message


def test_the_fingerprint_tells_each_change_and_nothing_else(tmp_path: Path) -> None:
    data = write(tmp_path / "a.json", "[1]")
    first = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == first

    write(tmp_path / "README.md")
    assert fingerprint(tmp_path) == first

    stat = data.stat()
    data.write_text("[2]")
    os.utime(data, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    second = fingerprint(tmp_path)
    write(tmp_path / "source.yaml", "licence: MIT")
    third = fingerprint(tmp_path)
    data.rename(tmp_path / "b.json")
    assert len({first, second, third, fingerprint(tmp_path)}) == 4


def test_find_sources(tmp_path: Path) -> None:
    write(tmp_path / "root/b/deep/a.json")
    write(tmp_path / "root/empty/README.md")
    write(tmp_path / "root/.hidden/a.json")
    write(tmp_path / "root/loose.json")
    write(tmp_path / "elsewhere/a.json")
    (tmp_path / "root/a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [path.name for path in find_sources(tmp_path / "root")] == ["a", "b"]
    assert find_sources(tmp_path / "nowhere") == []
