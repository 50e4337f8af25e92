"""Formats for trainers. Schemas must be equal in all releases: a column of nulls in one of them breaks a loader."""

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.schema import MESSAGES
from infinity_assets.rows.writers import (
    alpaca,
    cut_masked,
    infinity_instruct,
    infinity_preference,
    openai_messages,
    sharegpt,
    write_lines,
)
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets_tests.frames import pool
from infinity_assets_tests.properties import examples

ROWS = pool(
    ("alpha", "a.json", 0, [("system", "s"), ("user", "q"), ("assistant", "a")]),
    ("alpha", "a.json", 1, [("user", "q"), ("assistant", "b")]),
)
CONVERSATIONS = [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
FINE = {"tort": "侵权"}
LABELLED = ROWS.with_columns(
    cate_ability=pl.Series([["law", "other"], None], dtype=pl.List(pl.String)),
    ability=pl.Series([["tort", "fees"], None], dtype=pl.List(pl.String)),
)


MASKED = pool(
    *(
        ("alpha", "a.json", n, [("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", 'x,"weight":null')])
        for n in range(3)
    )
).with_columns(masked_turns=pl.Series([None, [1], [3]], dtype=pl.List(pl.Int64)))


def test_masked_turns_have_no_weight_where_the_format_allows_it() -> None:
    for written, key in ((openai_messages(MASKED), "messages"), (sharegpt(MASKED), "conversations")):
        lines = [json.loads(line)[key] for line in write_lines(written).splitlines()]
        assert [[turn.get("weight") for turn in line] for line in lines] == [
            [None] * 4, [None, 0, None, None], [None, None, None, 0],
        ]  # fmt: skip
        assert all(list(line[3].values())[1] == 'x,"weight":null' for line in lines)
        assert "weight" not in lines[0][1]


def test_elsewhere_rows_end_before_a_masked_turn_or_are_left_out() -> None:
    assert [len(turns) for turns in cut_masked(MASKED)["messages"]] == [4, 2]
    assert cut_masked(MASKED, drop=True).height == 1
    assert cut_masked(ROWS.with_columns(masked_turns=pl.lit(None, pl.List(pl.Int64)))).height == ROWS.height


def test_rows_are_written_in_infinity_instructs_schema() -> None:
    one, other = infinity_instruct(LABELLED, FINE, ABILITIES).to_dicts()
    assert one == {
        "id": ROWS["row_id"][0],
        "conversations": CONVERSATIONS,
        "label": {
            "ability_en": ["tort", "fees"],
            "ability_zh": ["侵权", "fees"],
            "cate_ability_en": ["law", "other"],
            "cate_ability_zh": ["法律", "其他"],
        },
        "langdetect": "en",
        "source": "alpha",
        "reward": None,
        "licence": "MIT",
    }
    assert other["label"] == {"ability_en": [], "ability_zh": [], "cate_ability_en": [], "cate_ability_zh": []}


@settings(max_examples=examples(50), deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[st.none() | st.lists(st.sampled_from([*ABILITIES, "tort", "x"]), max_size=4)] * 2),
        min_size=1,
        max_size=5,
    ),
    names=st.dictionaries(st.sampled_from(["tort", "x", "law"]), st.sampled_from(["侵权", "法", "tort"])),
)
def test_chinese_lists_are_as_long_as_english_ones(rows: list, names: dict[str, str]) -> None:
    lists = pl.List(pl.String)
    columns = {
        name: pl.Series([row[at] for row in rows], dtype=lists) for at, name in enumerate(("ability", "cate_ability"))
    }
    frame = pl.concat([ROWS.head(1)] * len(rows)).with_columns(**columns)
    for label in infinity_instruct(frame, names, ABILITIES)["label"].to_list():
        assert len(label["ability_en"]) == len(label["ability_zh"])
        assert len(label["cate_ability_en"]) == len(label["cate_ability_zh"])


def test_the_schema_is_the_same_with_no_rows_and_no_labels() -> None:
    schema = infinity_instruct(LABELLED, FINE, ABILITIES).schema
    assert infinity_instruct(LABELLED.clear(), FINE, ABILITIES).schema == schema
    assert infinity_instruct(LABELLED.tail(1), FINE, ABILITIES).schema == schema
    rewarded = infinity_instruct(LABELLED.with_columns(reward=pl.lit(-5.66)), FINE, ABILITIES)
    assert (rewarded.schema, rewarded["reward"].to_list()) == (schema, [-5.66, -5.66])


def test_pairs_have_both_answers_after_the_request() -> None:
    pairs = ROWS.tail(1).select("row_id", "licence", prompt=pl.lit("q"), chosen="messages", rejected="messages")
    written = infinity_preference(pairs)
    assert written.schema == {"id": pl.String, "prompt": pl.String, "chosen": MESSAGES, "rejected": MESSAGES}
    assert written["rejected"].to_list() == [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]]


def test_openais_format_keeps_the_messages_unchanged() -> None:
    written = openai_messages(LABELLED)
    assert written.schema == {"id": pl.String, "messages": MESSAGES}
    assert written["messages"].to_list() == ROWS["messages"].to_list()


def test_sharegpts_format_renames_the_roles() -> None:
    assert sharegpt(ROWS).row(0, named=True) == {
        "id": ROWS["row_id"][0],
        "conversations": CONVERSATIONS,
    }


def test_alpacas_format_holds_earlier_turns_as_history() -> None:
    turns = [turn for n in (1, 2, 3) for turn in (("user", f"q{n}"), ("assistant", f"a{n}"))]
    several = pool(("alpha", "a.json", 2, turns))
    one, other = alpaca(pl.concat([ROWS.head(1), several])).drop("id").to_dicts()
    assert one == {"instruction": "q", "input": "", "output": "a", "system": "s", "history": []}
    history = [["q1", "a1"], ["q2", "a2"]]
    assert other == {"instruction": "q3", "input": "", "output": "a3", "system": "", "history": history}
    assert alpaca(ROWS.clear()).schema == alpaca(several).schema


def test_rows_without_labels_fit_infinity_instructs_schema() -> None:
    assert infinity_instruct(ROWS, FINE, ABILITIES).schema == infinity_instruct(LABELLED, FINE, ABILITIES).schema
