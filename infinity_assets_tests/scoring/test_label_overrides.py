"""Label overrides are merged and validated."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.scoring.label_overrides import FILE, Override, read
from infinity_assets.scoring.labels import normalise


def test_a_users_override_replaces_the_common_one(tmp_path: Path) -> None:
    common = read(tmp_path)
    (tmp_path / FILE).write_text(
        "history: {label_zh: 史学, cate_ability: [research]}\n2: {into: two}\n", encoding="utf-8"
    )
    own = {"history": Override(label_zh="史学", cate_ability=("research",)), "2": Override(into="two")}
    assert read(tmp_path) == {**common, **own}


def test_a_common_label_has_a_unique_name_and_an_ability_or_is_a_synonym(tmp_path: Path) -> None:
    common = read(tmp_path)
    assert len(common) > 100
    names = [override.label_zh for override in common.values() if not override.into]
    assert len(set(names)) == len(names)
    for label, override in common.items():
        assert (override.into in common) if override.into else (override.label_zh and override.cate_ability)
        assert pl.select(normalise(pl.lit(label))).item() == label


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tort: {cate_ability: [juggling]}", "there is no coarse ability juggling"),
        ("tort: {chinese: 侵权}", "chinese: Extra inputs are not permitted"),
        ("tort: law", "labels.yaml"),
        ("- tort", "must consist of"),
        ("tort: {", "must consist of"),
    ],
)
def test_an_invalid_override_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InfinityError, match=sentence):
        read(tmp_path)
