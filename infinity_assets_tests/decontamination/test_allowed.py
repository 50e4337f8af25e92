"""The allow-list: the shipped texts, and the user's."""

from pathlib import Path

import pytest

from infinity_assets.decontamination.allowed import ALLOWED, SHIPPED, read_allowed_texts
from infinity_assets.errors import InfinityError


def test_shipped_texts_are_distinct_and_long_enough_to_excuse_a_hit(tmp_path: Path) -> None:
    texts = read_allowed_texts(tmp_path)
    assert texts.schema == ALLOWED
    assert set(texts["file"]) == {SHIPPED.name}
    assert texts.select("name", "text").is_unique().all()
    assert texts.filter(texts["text"].str.len_chars() < 20).is_empty()
    assert texts.filter(name="prime number")["text"].str.contains("natural number greater than 1").any()


def test_a_users_texts_are_added_to_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "allowed.yaml").write_text("oath: I promise to tell what I saw.\nsongs: [one line, another line]\n")
    own = read_allowed_texts(tmp_path)[read_allowed_texts(tmp_path / "none").height :]
    assert own.select("name", "text").rows() == [
        ("oath", "I promise to tell what I saw."),
        ("songs", "one line"),
        ("songs", "another line"),
    ]


@pytest.mark.parametrize("content", ["- a list", "name: {deep: text}", "name: 5", "name: [1]", "a: [", "just words"])
def test_an_invalid_allow_list_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "allowed.yaml").write_text(content)
    with pytest.raises(InfinityError, match=r"allowed\.yaml"):
        read_allowed_texts(tmp_path)


def test_an_empty_file_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "allowed.yaml").write_text("")
    assert read_allowed_texts(tmp_path).equals(read_allowed_texts(tmp_path / "none"))
