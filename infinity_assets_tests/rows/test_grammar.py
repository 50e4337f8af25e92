"""Invariant 2: repaired conversations have no faults, and the check finds the faults that break trainers."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.rows.grammar import DEBRIS, Rejected, Repaired, find_grammar_faults, repair_roles
from infinity_assets.rows.schema import MESSAGES

REPAIRED = [
    # turns, roles and contents after the repair, repair
    ([("human", " q "), ("gpt", "a\n")], "user:q assistant:a", None),
    ([("system", "s"), ("user", "q"), ("assistant", "a")], "system:s user:q assistant:a", None),
    ([("user", "q"), ("assistant", " ")], "user:q", None),
    ([("system", "s"), ("user", "q"), ("assistant", "")], "system:s user:q", None),
    ([("user", "q"), ("assistant", "a"), ("user", "more")], "user:q assistant:a", "unanswered_last_turn_cut"),
    ([("gpt", "You are X"), ("human", "q"), ("gpt", "a")], "system:You are X user:q assistant:a",
     "system_tagged_as_assistant"),
    ([("gpt", "你是X"), ("human", "q")], "system:你是X user:q", "system_tagged_as_assistant"),
    ([("user", "q"), ("assistant", "a<|im_end|>\n<|endoftext|> ")], "user:q assistant:a", "template_debris"),
    ([("user", "q"), ("assistant", "<|im_end|>")], "user:q", "template_debris"),
    ([("gpt", "You're X [/INST]"), ("human", "q"), ("gpt", "a"), ("human", "m")], "system:You're X user:q assistant:a",
     "template_debris+system_tagged_as_assistant+unanswered_last_turn_cut"),
    ([("system", " "), ("user", "q"), ("assistant", "a")], "user:q assistant:a", "empty_system_removed"),
    ([("assistant", "Hello!"), ("user", "q"), ("assistant", "a")], "user:q assistant:a", "leading_assistant_turn_cut"),
    ([("system", "s"), ("bot", "Hello!"), ("patient", "q"), ("doctor", "a")], "system:s user:q assistant:a",
     "leading_assistant_turn_cut"),
    ([("user", "q"), ("user", "r"), ("bot", "a")], "user:q\n\nr assistant:a", "same_role_turns_merged"),
    ([("user", "q"), ("user", "r")], "user:q\n\nr", "same_role_turns_merged"),
    ([("user", "q"), ("bot", "a"), ("bot", ""), ("bot", "b")], "user:q assistant:a\n\nb", "same_role_turns_merged"),
    ([("user", "q"), ("assistant", "a"), ("user", "")], "user:q assistant:a", "empty_last_turn_cut"),
    ([("user", "q"), ("assistant", "a"), ("user", "m"), ("assistant", "")], "user:q assistant:a",
     "empty_last_turn_cut+unanswered_last_turn_cut"),
    ([("user", "nul \0 and \ufffd"), ("assistant", "a")], "user:nul  and \ufffd assistant:a", "nul_characters"),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "expected", "repair"), REPAIRED)
def test_a_conversation_is_repaired(turns: list, expected: str, repair: str | None) -> None:
    outcome = repair_roles(turns)
    assert isinstance(outcome, Repaired)
    assert " ".join(f"{message['role']}:{message['content']}" for message in outcome.messages) == expected
    assert outcome.repair == repair


REJECTED = [
    ([], "empty_turn"),
    ([("system", "s")], "roles_out_of_order"),
    ([("assistant", "You are X"), ("assistant", "a")], "roles_out_of_order"),
    ([("user", "q"), ("system", "s"), ("assistant", "a")], "roles_out_of_order"),
    ([("user", ""), ("assistant", "a")], "empty_turn"),
    ([("user", "q"), ("assistant", ""), ("user", "m"), ("assistant", "a")], "empty_turn"),
    ([("assistant", "Hello!")], "roles_out_of_order"),
    ([("user", "q"), ("tool", "x")], "unknown_role"),
    ([("user", "q"), (None, "x")], "unknown_role"),
    ([("user", None), ("assistant", "a")], "non_text_content"),
    ([("user", "[INST] q [/INST]"), ("assistant", "a")], "template_debris"),
]


@pytest.mark.parametrize(("turns", "reason"), REJECTED)
def test_a_conversation_is_rejected_with_a_reason(turns: list, reason: str) -> None:
    outcome = repair_roles(turns)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason


def frame(*rows: tuple[str, str]) -> pl.DataFrame:
    """Return rows of (kind, turns), with turns written as `user:q assistant:a`; the row id is the number of the row."""

    def parse(turn: str) -> dict[str, str]:
        role, content = turn.split(":")
        return {"role": role, "content": content}

    messages = [[parse(turn) for turn in turns.split(" ") if turn] for _, turns in rows]
    columns = {"row_id": [str(number) for number in range(len(rows))], "kind": [kind for kind, _ in rows]}
    return pl.DataFrame(columns, schema={"row_id": pl.String, "kind": pl.String}).with_columns(
        messages=pl.Series(messages, dtype=MESSAGES)
    )


@pytest.mark.parametrize(
    ("kind", "turns", "faults"),
    [
        ("conversation", "user:q assistant:a", []),
        ("conversation", "system:s user:q assistant:a user:q assistant:a", []),
        ("instruction", "system:s user:q", []),
        ("text", "user:q", []),
        ("conversation", "user:q", ["wrong_last_role"]),
        ("instruction", "user:q assistant:a", ["wrong_last_role"]),
        ("nonsense", "user:q assistant:a", ["wrong_last_role"]),
        ("conversation", "user:q user:q", ["roles_not_alternating"]),
        ("conversation", "assistant:a", ["roles_not_alternating"]),
        ("conversation", "user:q tool:a", ["roles_not_alternating"]),
        ("conversation", "", ["roles_not_alternating"]),
        ("conversation", "user:q assistant:", ["empty_turn"]),
        ("conversation", "user:q assistant:\u3000", ["empty_turn"]),
        ("conversation", "user:q assistant:x<|im_end|>y", ["template_debris"]),
        ("conversation", "user:[INST]q assistant:", ["empty_turn", "template_debris"]),
        ("conversation", "user:\0 assistant:\ufffd", []),
    ],
)
def test_faults_are_found_by_kind_of_row(kind: str, turns: str, faults: list[str]) -> None:
    rows = frame(("conversation", "user:q assistant:a"), (kind, turns))
    assert find_grammar_faults(rows).rows() == [("1", fault) for fault in faults]


def test_nulls_are_faults() -> None:
    rows = frame(("conversation", "user:q assistant:a"))
    for messages, faults in (
        (None, {"roles_not_alternating", "empty_turn"}),
        ([{"role": "user"}], {"wrong_last_role", "empty_turn"}),
    ):
        nulls = rows.with_columns(messages=pl.Series([messages], dtype=MESSAGES))
        assert set(find_grammar_faults(nulls)["fault"]) == faults


def test_no_rows_have_no_faults() -> None:
    assert find_grammar_faults(frame()).schema == pl.Schema({"row_id": pl.String, "fault": pl.String})


TURNS = st.lists(
    st.tuples(
        st.sampled_from(["system", "human", "user", "gpt", "assistant", "tool"]),
        st.lists(st.sampled_from(["q", " ", "\x1c", "\0", "You are", *DEBRIS[:3]]), max_size=4).map("".join),
    ),
    max_size=6,
) | st.lists(st.text(max_size=5), max_size=6).map(
    lambda texts: [(("user", "gpt")[index % 2], text) for index, text in enumerate(texts)]
)


@given(turns=TURNS)
def test_a_repaired_conversation_has_no_faults(turns: list) -> None:
    outcome = repair_roles(turns)
    if isinstance(outcome, Repaired):
        kind = "conversation" if outcome.messages[-1]["role"] == "assistant" else "instruction"
        rows = pl.DataFrame(
            {"row_id": ["0"], "kind": [kind], "messages": pl.Series([outcome.messages], dtype=MESSAGES)}
        )
        assert find_grammar_faults(rows).is_empty()


@pytest.mark.parametrize(
    ("role", "content", "kept"),
    [
        ("assistant", "\n\n    return a + b\n", "    return a + b"),
        ("assistant", "\treturn a + b  ", "\treturn a + b"),
        ("assistant", " yes", "yes"),
        ("assistant", "\u3000\u3000好", "好"),
        ("assistant", "    return a\0<|im_end|>", "    return a"),
        ("user", "    return a + b\n", "return a + b"),
    ],
)
def test_only_the_indentation_of_an_answer_is_kept(role: str, content: str, kept: str) -> None:
    turns = [("user", content)] if role == "user" else [("user", "hi"), ("assistant", content)]
    outcome = repair_roles(turns)
    assert isinstance(outcome, Repaired)
    assert outcome.messages[-1] == {"role": role, "content": kept}


@pytest.mark.parametrize("mark", DEBRIS)
def test_a_mark_inside_a_text_is_refused(mark: str) -> None:
    assert repair_roles([("user", f"a {mark} b")]) == Rejected("template_debris", mark)
