"""Atomic writes: a reader sees the old file or the new one, even if the writer fails."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.atomic import replace_file, write_parquet, write_text


def test_the_folder_is_created_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text("grüße\n", path)
    write_text("你好\n", path)
    assert path.read_bytes() == "你好\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_write_changes_nothing(tmp_path: Path, before: str | None, failure: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    if before:
        path.write_text(before)

    def write() -> None:
        with replace_file(path) as temporary:
            temporary.write_text("half of the n")
            assert not before or path.read_text() == before
            raise failure

    with pytest.raises(failure):
        write()
    assert [file.read_text() for file in tmp_path.iterdir()] == ([before] if before else [])


def test_a_written_frame_can_be_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None], "b": [["x"], []]})
    write_parquet(frame, tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet").equals(frame)
