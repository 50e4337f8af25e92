"""What trainers read. Arrow hands schemas to them as they are: a column that is null in one release and a list in the next breaks a loader."""

import polars as pl

from infinity_assets.rows.schema import MESSAGES
from infinity_assets.rows.writers import infinity_instruct, openai_messages
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets_tests.frames import pool

ROWS = pool(
    ("alpha", "a.json", 0, [("system", "s"), ("user", "q"), ("assistant", "a")]),
    ("alpha", "a.json", 1, [("user", "q"), ("assistant", "b")]),
)
LABELLED = ROWS.with_columns(
    cate_ability=pl.Series(["law", None], dtype=pl.String), ability=pl.Series([["tort"], None], dtype=pl.List(pl.String))
)


def test_infinity_instructs_own_schema() -> None:
    one, other = infinity_instruct(LABELLED, ABILITIES).to_dicts()
    assert one == {
        "id": ROWS["row_id"][0],
        "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
        "label": {"ability_en": ["tort"], "cate_ability_en": ["law"], "cate_ability_zh": ["法律"]},
        "langdetect": "en",
        "source": "alpha",
        "licence": "MIT",
    }
    assert other["label"] == {"ability_en": [], "cate_ability_en": [], "cate_ability_zh": []}


def test_the_schema_is_the_same_with_no_rows_and_no_labels() -> None:
    schema = infinity_instruct(LABELLED, ABILITIES).schema
    assert infinity_instruct(LABELLED.clear(), ABILITIES).schema == schema
    assert infinity_instruct(LABELLED.tail(1), ABILITIES).schema == schema


def test_openais_form_keeps_the_messages_as_they_are() -> None:
    written = openai_messages(LABELLED)
    assert written.schema == {"id": pl.String, "messages": MESSAGES}
    assert written["messages"].to_list() == ROWS["messages"].to_list()
