"""What a user says of labels is judged before it counts."""

from pathlib import Path

import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.scoring.by_hand import FILE, Said, read


def test_what_is_said(tmp_path: Path) -> None:
    assert read(tmp_path) == {}
    (tmp_path / FILE).write_text("tort: {label_zh: 侵权, cate_ability: [law]}\n2: {into: two}\n", encoding="utf-8")
    assert read(tmp_path) == {"tort": Said(label_zh="侵权", cate_ability=("law",)), "2": Said(into="two")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tort: {cate_ability: [juggling]}", "there is no coarse ability juggling"),
        ("tort: {chinese: 侵权}", "chinese: Extra inputs are not permitted"),
        ("tort: law", "labels.yaml"),
        ("- tort", "must hold"),
        ("tort: {", "must hold"),
    ],
)
def test_what_cannot_be_said(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InfinityError, match=sentence):
        read(tmp_path)
