"""Row ids, the keys of every join: they depend on the whole conversation, and on nothing else."""

import unicodedata

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from infinity_assets.rows.ids import add_row_ids, draw, row_id, shard_names, shard_of
from infinity_assets.rows.schema import MESSAGES

Turns = list[tuple[str, str]]


def ids(*conversations: Turns) -> list[str]:
    messages = [[{"role": role, "content": content} for role, content in turns] for turns in conversations]
    return add_row_ids(pl.DataFrame({"messages": pl.Series(messages, dtype=MESSAGES)}))["row_id"].to_list()


ROLES = st.sampled_from(["system", "user", "assistant"])
CONTENT = st.text(max_size=6) | st.text("1:\nuser", max_size=6)
CONVERSATIONS = st.lists(st.tuples(ROLES, CONTENT), min_size=1, max_size=4)


def test_the_id_of_a_known_conversation_never_changes() -> None:
    assert ids([("user", "Grüße"), ("assistant", "你好")]) == ["b9f2458cdb03558e1effbad80df31ed5"]
    assert ids() == []


@given(turns=CONVERSATIONS)
@example(turns=[("user", unicodedata.normalize("NFD", "Grüße"))])
def test_a_single_conversation_has_the_id_that_it_has_in_a_frame(turns: Turns) -> None:
    roles, contents = zip(*turns, strict=True)
    assert row_id(roles, contents) == ids(turns)[0]


@given(turns=CONVERSATIONS)
def test_composed_and_decomposed_characters_give_equal_ids(turns: Turns) -> None:
    forms = [[(role, unicodedata.normalize(form, content)) for role, content in turns] for form in ("NFC", "NFD")]
    assert len(set(ids(turns, *forms))) == 1


@given(one=CONVERSATIONS, other=CONVERSATIONS)
def test_different_conversations_have_different_ids(one: Turns, other: Turns) -> None:
    def normal(turns: Turns) -> Turns:
        return [(role, unicodedata.normalize("NFC", content)) for role, content in turns]

    assert (len(set(ids(one, other))) == 1) == (normal(one) == normal(other))


@given(text=st.text("ab:1\n", min_size=2, max_size=8), cut=st.integers(1, 7))
def test_the_ends_of_turns_and_their_roles_change_the_id(text: str, cut: int) -> None:
    whole, split = [("user", text)], [("user", text[:cut]), ("user", text[cut:])]
    other_role = [("assistant", text)]
    embedded = [("user", f"{text[:cut]}\nuser:{len(text[cut:])}:{text[cut:]}")]
    assert len(set(ids(whole, split, other_role, embedded))) == 4


def test_rows_spread_evenly_over_shards() -> None:
    rows = pl.DataFrame({"row_id": ids(*([("user", str(n))] for n in range(4000)))})
    counts = dict(rows.group_by(shard_of(4).alias("shard")).len().iter_rows())
    assert sorted(counts) == shard_names(4)
    assert all(900 < count < 1100 for count in counts.values())


def test_a_draw_depends_on_stage_and_row_alone() -> None:
    rows = pl.Series([f"{n:032x}" for n in range(2000)])
    numbers = draw("sample", rows)
    assert numbers.to_list() == draw("sample", rows.reverse()).reverse().to_list()
    assert numbers.to_list() != draw("other", rows).to_list()
    assert numbers.is_between(0, 1, closed="left").all()
    assert numbers.n_unique() == 2000
