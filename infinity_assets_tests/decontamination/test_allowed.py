"""The allow-list: what is shipped, and what a user adds."""

from pathlib import Path

import pytest

from infinity_assets.decontamination.allowed import ALLOWED, SHIPPED, allowed_texts
from infinity_assets.errors import InfinityError


def test_what_is_shipped_is_read_and_long_enough_to_excuse_anything(tmp_path: Path) -> None:
    texts = allowed_texts(tmp_path)
    assert texts.schema == ALLOWED
    assert set(texts["file"]) == {SHIPPED.name}
    assert texts.select("name", "text").is_unique().all()
    assert texts.filter(texts["text"].str.len_chars() < 20).is_empty()
    assert any(
        "natural number greater than 1" in text for text in texts.filter(texts["name"] == "prime number")["text"]
    )


def test_a_users_own_texts_come_on_top(tmp_path: Path) -> None:
    (tmp_path / "allowed.yaml").write_text("oath: I promise to tell what I saw.\nsongs: [one line, another line]\n")
    own = allowed_texts(tmp_path)[allowed_texts(tmp_path / "none").height :]
    assert own.select("name", "text").rows() == [
        ("oath", "I promise to tell what I saw."),
        ("songs", "one line"),
        ("songs", "another line"),
    ]


@pytest.mark.parametrize("content", ["- a list", "name: {deep: text}", "name: 5", "name: [1]", "a: [", "just words"])
def test_what_is_no_allow_list_is_said_in_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "allowed.yaml").write_text(content)
    with pytest.raises(InfinityError, match=r"allowed\.yaml"):
        allowed_texts(tmp_path)


def test_an_empty_file_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "allowed.yaml").write_text("")
    assert allowed_texts(tmp_path).equals(allowed_texts(tmp_path / "none"))
