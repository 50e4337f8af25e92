"""What is said of labels by hand is judged before it counts."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.scoring.label_overrides import FILE, Said, read
from infinity_assets.scoring.labels import normalise


def test_what_is_said(tmp_path: Path) -> None:
    common = read(tmp_path)
    (tmp_path / FILE).write_text(
        "history: {label_zh: 史学, cate_ability: [research]}\n2: {into: two}\n", encoding="utf-8"
    )
    own = {"history": Said(label_zh="史学", cate_ability=("research",)), "2": Said(into="two")}
    assert read(tmp_path) == {**common, **own}


def test_every_common_label_has_a_name_of_its_own_and_an_ability_or_is_another_one(tmp_path: Path) -> None:
    common = read(tmp_path)
    assert len(common) > 100
    names = [said.label_zh for said in common.values() if not said.into]
    assert len(set(names)) == len(names)
    for label, said in common.items():
        assert (said.into in common) if said.into else (said.label_zh and said.cate_ability)
        assert pl.select(normalise(pl.lit(label))).item() == label


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
