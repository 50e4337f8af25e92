from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows import conversation
from infinity_assets_tests.frames import conversations
from infinity_assets_tests.properties import examples

TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text("ab\n:", max_size=3)), max_size=5)


@settings(max_examples=examples(60), deadline=None)
@given(rows=st.lists(TURNS, max_size=4))
def test_the_expressions_agree_with_a_loop_over_the_turns(rows: list) -> None:
    def texts(turns: list, *roles: str) -> list[str]:
        return [content for role, content in turns if role in roles]

    found = conversations(*rows).to_frame().select(
        conversation.content_of("system", "user").alias("content_of"), conversation.turns_of("user").alias("turns_of"),
        conversation.instruction().alias("instruction"), conversation.answer().alias("answer"),
        conversation.whole().alias("whole"),
    )  # fmt: skip
    assert found["content_of"].to_list() == ["\n\n".join(texts(turns, "system", "user")) for turns in rows]
    assert found["turns_of"].to_list() == [texts(turns, "user") for turns in rows]
    assert found["instruction"].to_list() == [next(iter(texts(turns, "user")), None) for turns in rows]
    assert found["answer"].to_list() == [next(reversed(texts(turns, "assistant")), None) for turns in rows]
    assert found["whole"].to_list() == ["\n".join(f"{role}: {content}" for role, content in turns) for turns in rows]
