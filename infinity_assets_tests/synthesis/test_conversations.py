"""Role play with a scripted generator: added turns pass the rules, a failure ends the conversation, no row is lost."""

import json
import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.inference.client import Inference
from infinity_assets.inference.requests import GenerateRequest, Request, Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.rows import schema
from infinity_assets.rows.grammar import find_grammar_faults
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.selection.rules import first_failure
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Conversations
from infinity_assets.synthesis import conversations
from infinity_assets.synthesis.prompting import Asking
from infinity_assets_tests.frames import conversations as messages_of
from infinity_assets_tests.inference.doubles import ScriptedEngine
from infinity_assets_tests.properties import examples

ASKS = {
    2: "How long does the dough have to rest?",
    3: "Which flour would you take instead?",
    4: "Is an oven of gas any worse?",
}
SAYS = {
    2: "Two hours in a warm room will do.",
    3: "Rye is darker and keeps for longer.",
    4: "Gas is wetter, and the crust gets softer.",
}
ALL = Conversations(share=1.0)
MESSAGES = yaml.safe_load((Path(__file__).parent / "cases" / "user_messages.yaml").read_text("utf-8"))
"""A user's messages, each with the reason of its rejection."""

FAULTS: dict[str, tuple[str, dict]] = {
    "no_message": ("play_user", {"text": " "}),
    "message_truncated": ("play_user", {"finish_reason": "length"}),
    "closing": ("play_user", {"text": "Okay, thank you so much for your help!"}),
    "message_debris": ("play_user", {"text": "What is [INST] for?"}),
    "speaks_for_both": ("play_user", {"text": "Why is that?\nAssistant: Because it is."}),
    "leaked_prompt": ("play_user", {"text": "Who speaks: someone who bakes. Why is that?"}),
    "answer_instead_of_message": ("play_user", {"text": "Sure! What would you like to know?"}),
    "language_changed": ("play_user", {"text": "面团要放多久才可以烤？"}),
    "repeats_a_turn": ("play_user", {"text": "Why does the bread RISE?"}),
    "prompt_example": ("play_user", {"text": "How can I tell that the soil below the surface is not still wet?"}),
    "asks_nothing": ("play_user", {"text": "The dough rests on the table."}),
    "no_answer": ("answer", {"text": ""}),
    "truncated": ("answer", {"finish_reason": "length"}),
    "not_judged": ("carries_on", {"text": "perhaps", "choice_logprobs": None}),
    "incoherent": ("carries_on", {"choice_logprobs": (math.log(0.1), math.log(0.9))}),
}
"""Faulty answers by reason: the prompt, and the fields of the response."""


def rows(count: int, language: str = "en") -> pl.DataFrame:
    """Return rows with one turn each."""
    turns = [
        [("user", "Why does the bread rise?"), ("assistant", f"Yeast number {n} makes gas of sugar.")]
        for n in range(count)
    ]
    return add_row_ids(
        pl.DataFrame({"messages": messages_of(*turns)}).with_columns(
            source=pl.lit("synthetic:m"), file=pl.lit(None, pl.String), position=pl.lit(None, pl.Int64),
            licence=pl.lit("MIT"),
            domain=pl.lit("chat"), language=pl.lit(language), kind=pl.lit("conversation"), parents=pl.lit(["p"]),
            operation=pl.lit("answer"),
            round=pl.lit(1, pl.Int32), cate_ability=pl.lit(["life skills"]), ability=pl.lit(["baking", "bread"]),
        )
    )  # fmt: skip


def scripted(faults: dict[str, tuple[int, str]]):
    """Return a function that answers with the row's fault at its turn, and otherwise without a fault."""

    def say(request: Request) -> Response:
        assert isinstance(request, GenerateRequest)
        prompt = request.prompt.partition(".")[0]
        last_turn = request.messages[-1]["content"]
        if prompt == "play_user":
            turn = last_turn.count("\nUser: ") + last_turn.count("\n用户: ") + 1
            response: dict[str, Any] = {"text": ASKS[turn], "finish_reason": "stop"}
        elif prompt == "answer":
            turn = sum(message["role"] == "user" for message in request.messages)
            response = {"text": SAYS[turn], "finish_reason": "stop"}
        else:
            turn = next(number for number, asked in ASKS.items() if f"New message: {asked}" in last_turn)
            logprobs = (math.log(1 - turn / 10), math.log(turn / 10))
            response = {"text": "yes", "finish_reason": "stop", "choice_logprobs": logprobs}
        at, name = faults.get(request.row_id, (0, ""))
        if at == turn and FAULTS[name][0] == prompt:
            response |= FAULTS[name][1]
        costs: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": 2, "seconds": 0.1}
        return Response(**{**costs, **response})

    return say


def requests_of(engine: ScriptedEngine) -> list[GenerateRequest]:
    return [request for request in engine.asked if isinstance(request, GenerateRequest)]


def talk_with_faults(frame: pl.DataFrame, faults: dict[str, tuple[int, str]], recipe: Conversations = ALL):
    """Return the result of `talk`, the turns that it tried, and the engine."""
    engine = ScriptedEngine(scripted(faults))
    with tempfile.TemporaryDirectory() as folder:
        asking = Asking(Inference(ResponseStore(Path(folder)), engine.pool()), Settings(), "conversed")
        drawn = frame.join(conversations.draw_turns(frame, recipe), on="row_id", maintain_order="left")
        return *conversations.talk(drawn, recipe, asking), engine


def verdicts_of(result: conversations.Outcome) -> dict[str, tuple[str, str]]:
    return {row: tuple(fate) for row, *fate in result.decisions.select("row_id", "verdict", "reason").iter_rows()}


@pytest.mark.parametrize("turn", [2, 4])
def test_a_failed_turn_ends_its_conversation(turn: int) -> None:
    frame = rows(len(FAULTS) + 1)
    faulty = dict(zip(frame["row_id"], FAULTS, strict=False))
    found, tried, _ = talk_with_faults(
        frame, {row: (turn, name) for row, name in faulty.items()}, Conversations(share=1.0, turns=(4, 4))
    )
    ends = {row: size for row, *size in found.select("row_id", "turns", pl.col("messages").list.len()).iter_rows()}
    others = set(frame["row_id"]) - set(faulty)
    assert dict(found.select("row_id", "reason").iter_rows()) == faulty | dict.fromkeys(others)
    assert all(ends[row] == [turn - 1, 2 * (turn - 1)] for row in faulty)
    assert all(ends[row] == [4, 8] for row in others)
    assert sorted(tried.drop_nulls().rows()) == sorted((turn, name) for name in FAULTS)
    assert found.filter(pl.col("row_id").is_in(list(others)))["coherence"].to_list() == pytest.approx([0.6])


def test_every_rule_has_a_fault() -> None:
    own = {rule.reason for rule in (*conversations.user_rules(), *conversations.coherence_rules(ALL))}
    assert own <= set(FAULTS)


@settings(max_examples=examples(15), deadline=None)
@given(data=st.data(), count=st.integers(0, 8), share=st.sampled_from([0.0, 0.5, 1.0]))
def test_every_row_and_every_conversation_is_kept_or_decided_once(
    data: st.DataObject, count: int, share: float
) -> None:
    frame, recipe = rows(count), Conversations(share=share)
    fault = st.tuples(st.integers(2, 4), st.sampled_from(list(FAULTS)))
    faulty = data.draw(st.dictionaries(st.sampled_from(frame["row_id"].to_list() or ["-"]), fault))
    found, _, _ = talk_with_faults(frame, faulty, recipe)
    result = conversations.settle(frame, found)
    drawn = dict(conversations.draw_turns(frame, recipe).iter_rows())
    dropped = result.decisions.filter(verdict="dropped")
    assert frame.height + result.created == result.kept.height + dropped.height
    assert sorted(result.decisions["row_id"]) == sorted(drawn)
    assert result.kept["row_id"].is_unique().all()
    assert find_grammar_faults(result.kept).is_empty()
    assert result.kept["row_id"].equals(add_row_ids(result.kept.select("messages"))["row_id"])
    parents = {child: parent for child, parent, _ in result.edges.iter_rows()}
    before = dict(frame.select("row_id", "messages").iter_rows())
    for line in result.kept.iter_rows(named=True):
        parent = parents.get(line["row_id"])
        asked = sum(message["role"] == "user" for message in line["messages"])
        assert line["turns"] == asked
        if parent is None:
            assert (line["messages"], line["turns"], line["coherence"]) == (before[line["row_id"]], 1, None)
            assert line["row_id"] not in drawn or faulty[line["row_id"]][0] == 2
        else:
            end = faulty.get(parent, (9, ""))[0]
            assert line["messages"][:2] == before[parent]
            assert asked == min(drawn[parent], end - 1)
            assert (line["parents"], line["operation"], line["licence"]) == ([parent], "converse", "MIT")
            assert line["coherence"] == pytest.approx(1 - asked / 10)
    fates = {True: ("dropped", "superseded"), False: ("chosen", "stays_single_turn")}
    assert all(verdicts_of(result)[row] == fates[row in parents.values()] for row in drawn)
    whys = {row: json.loads(detail)["why"] for row, detail in result.decisions.select("row_id", "detail").iter_rows()}
    assert all(
        whys[row] == (faulty[row][1] if row in faulty and faulty[row][0] <= drawn[row] else None) for row in drawn
    )


def test_a_conversation_equal_to_a_row_is_a_copy_and_its_parent_is_kept() -> None:
    frame = rows(1)
    found, _, _ = talk_with_faults(frame, {}, Conversations(share=1.0, turns=(2, 2)))
    same = add_row_ids(frame.drop("row_id").with_columns(messages=found["messages"]))
    result = conversations.settle(pl.concat([frame, same]), found)
    assert sorted(result.kept["row_id"]) == sorted([*frame["row_id"], *same["row_id"]])
    assert result.created == 1
    assert verdicts_of(result) == {
        frame["row_id"].item(): ("chosen", "stays_single_turn"),
        same["row_id"].item(): ("dropped", "copy_of_another"),
    }
    assert result.decisions.schema == schema.DECISIONS
    assert result.edges.is_empty()


def test_the_draw_depends_on_the_row_alone() -> None:
    frame, recipe = rows(400), Conversations(share=0.4)
    drawn = conversations.draw_turns(frame, recipe)
    assert 110 < drawn.height < 210
    assert set(drawn["wanted"]) == {2, 3, 4}
    some = frame.sample(200, shuffle=True, seed=1)
    again = conversations.draw_turns(some, recipe).sort("row_id")
    assert again.equals(drawn.join(some, on="row_id", how="semi").sort("row_id"))
    assert conversations.draw_turns(frame, Conversations(share=0.0)).is_empty()


def test_each_turn_is_one_batch_and_sees_the_whole_history() -> None:
    frame = rows(5)
    found, _, engine = talk_with_faults(frame, {}, Conversations(share=1.0, turns=(3, 3)))
    calls = Counter(request.prompt for request in requests_of(engine))
    assert calls == {"play_user.en": 10, "answer": 10, "carries_on.en": 10}
    order = [request.prompt for request in requests_of(engine)]
    assert [order[place] for place in range(0, len(order), 5)] == ["play_user.en", "answer", "carries_on.en"] * 2
    lines = dict(found.select("row_id", "messages").iter_rows())
    for request in requests_of(engine):
        if request.prompt == "answer":
            assert list(request.messages) == lines[request.row_id][: len(request.messages)]
        if request.prompt == "play_user.en":
            assert "bread" in request.messages[-1]["content"]
            assert "baking, bread" in request.messages[-1]["content"]


def test_the_user_of_a_chinese_row_is_played_in_chinese() -> None:
    frame = rows(1, "zh")
    _, _, engine = talk_with_faults(
        frame, {frame["row_id"].item(): (1, "closing")}, Conversations(share=1.0, turns=(2, 2))
    )
    (request,) = requests_of(engine)[:1]
    assert request.prompt == "play_user.zh"
    assert "用户: Why does the bread rise?\n助手: Yeast" in request.messages[-1]["content"]
    assert "生活技能" in request.messages[-1]["content"]


@pytest.mark.parametrize(("text", "reason"), MESSAGES)
def test_user_messages_fail_the_right_rule(text: str, reason: str | None) -> None:
    chinese = any("\u4e00" <= letter <= "\u9fff" for letter in text)
    line = {"row_id": "r", "text": text, "finish_reason": "stop", "error": None, "conversation": "", "repeats": 0.0}
    frame = pl.DataFrame([{**line, "language": "zh" if chinese else "en"}], schema_overrides={"error": pl.String})
    assert first_failure(frame, conversations.user_rules())["reason"].to_list() == ([reason] if reason else [])
