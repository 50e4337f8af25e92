"""Tests that the same exchange gives the same messages in every layout."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading.documents import items_of
from infinity_assets.reading.layouts import LAYOUTS, Parsed, layout_of, parse
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.rows.grammar import Rejected, find_grammar_faults
from infinity_assets.rows.schema import MESSAGES, Kind

Q = {"role": "user", "content": "q"}
A = {"role": "assistant", "content": "a"}
S = {"role": "system", "content": "s"}

SAME_EXCHANGE = {
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "alpaca, no input": {"instruction": "q", "output": "a"},
    "alpaca, response": {"instruction": "q", "input": None, "response": "a"},
    "alpaca, blank output beside a response": {"instruction": "q", "input": "", "output": "", "response": "a"},
    "self-instruct": {"instruction": "q", "instances": [{"input": "", "output": "a"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    "sharegpt, bing": {"conversation": [{"from": "user", "value": "q"}, {"from": "bing", "value": "a"}]},
    "sharegpt, chatgpt": {"conversations": [{"from": "Human", "value": " q\n"}, {"from": "chatgpt", "value": "a"}]},
    "sharegpt, openai names": {
        "conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    },
    "openai": {"messages": [Q, A]},
    "openai, parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, A]},
    "openai, parts with value": {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}]}, A]},
    "question and answer": {"question": "q", "answer": "a"},
    "problem and solution": {"problem": "q", "solution": "a", "level": 5},
    "prompt and completion": {"prompt": "q", "completion": "a"},
    "prompt and response": {"prompt": "q", "response": "a"},
    "dialogue": ["q", "a"],
    "dialogue in an object": {"conversations": ["q", "a"]},
}


@pytest.mark.parametrize("record", SAME_EXCHANGE.values(), ids=SAME_EXCHANGE)
def test_every_layout_gives_the_same_exchange(record: object) -> None:
    assert parse(record) == [Parsed([Q, A], "conversation", None)]


RAW_MATERIAL = [
    ({"instruction": "q", "input": "", "output": " "}, [Q], "instruction"),
    ({"instruction": "q", "instances": []}, [Q], "instruction"),
    ({"question": "q"}, [Q], "instruction"),
    ({"problem": "q"}, [Q], "instruction"),
    ({"prompt": "q", "completion": None}, [Q], "instruction"),
    ({"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}]}, [S, Q], "instruction"),
    (["q"], [Q], "instruction"),
    ({"text": "q"}, [Q], "text"),
    ("q", [Q], "text"),
]


@pytest.mark.parametrize(("record", "messages", "kind"), RAW_MATERIAL)
def test_a_record_without_an_answer_is_an_instruction_or_a_text(record: object, messages: list, kind: Kind) -> None:
    assert parse(record) == [Parsed(messages, kind, None)]


def contents(record: object) -> list[str]:
    (parsed,) = parse(record)
    assert isinstance(parsed, Parsed)
    return [message["content"] for message in parsed.messages]


def test_inputs_history_system_and_typed_content_are_read() -> None:
    assert contents({"instruction": "q", "input": "i", "output": 4}) == ["q\n\ni", "4"]
    beside = {"history": [["q0", "a0"]], "system": "s"}
    assert contents({"instruction": "q", "output": "a", **beside}) == ["s", "q0", "a0", "q", "a"]
    parts = [{"type": "text", "text": "x"}, "y"]
    assert contents({"messages": [{"role": "user", "content": parts}, A]}) == ["x\ny", "a"]
    sharegpt = turns("q", "a", names=("human", "gpt"), keys=("from", "value"))
    assert contents({"conversations": sharegpt, "system": "s"}) == ["s", "q", "a"]
    assert contents(["q", 1]) == ["q", "1"]


def test_each_instance_is_one_row() -> None:
    outcomes = parse({"instruction": "q", "instances": [{"input": "1", "output": "a"}, {"input": "2", "output": ""}]})
    assert [(outcome.messages[0]["content"], outcome.kind) for outcome in outcomes if isinstance(outcome, Parsed)] == [
        ("q\n\n1", "conversation"),
        ("q\n\n2", "instruction"),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"foo": "bar"}, "unknown_layout"),
        ({"messages": []}, "empty_turn"),
        ({"messages": "[]"}, "empty_turn"),
        ({"instruction": None, "output": "a"}, "empty_turn"),
        ({"prompt": None, "response": "a"}, "empty_turn"),
        ({"question": {"x": 1}, "answer": "a"}, "unknown_layout"),
        (None, "unknown_layout"),
        ([], "unknown_layout"),
        (3, "unknown_layout"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "unknown_role"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "unknown_role"),
        ({"prompt": "q", "gpt_3_reply": "a", "gpt_4_reply": "b"}, "unknown_layout"),
        ({"messages": [{"content": "x"}]}, "unknown_role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, A]}, "non_text_content"),
        ({"question": "q", "answer": {"value": 1}}, "non_text_content"),
        ({"instruction": "q", "output": "a", "history": "broken"}, "non_text_content"),
        ({"instruction": "", "input": "", "output": ""}, "empty_turn"),
        ({"question": "q", "options": ["x", "y"], "answer": 4}, "ambiguous_answer"),
        ({"question": "q", "options": ["x", "y"], "answer": "E"}, "ambiguous_answer"),
        ({"question": "q", "A": "x", "B": "y", "answer": 1}, "ambiguous_answer"),
        ({"question": "q", "option1": "x", "option2": "y", "label": 1}, "ambiguous_answer"),
        ({"question": "q", "choices": "x or y", "answer": "A"}, "ambiguous_answer"),
        ({"sentence1": "x", "sentence2": "y", "gold_label": "-"}, "ambiguous_answer"),
        ({"premise": "x", "hypothesis": "y", "label": 1}, "unknown_layout"),
        ({"document": "c", "question": {"tokens": ["q"]}, "answer": "a"}, "unknown_layout"),
        ({"text": " "}, "empty_turn"),
    ],
)
def test_an_unreadable_record_is_rejected_with_a_reason(record: object, reason: str) -> None:
    (outcome,) = parse(record)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason


def test_an_unknown_layout_is_rejected_with_its_shape() -> None:
    assert parse({"title": "x", "meta": {"votes": [1]}}) == [
        Rejected("unknown_layout", "{title: text, meta: {votes: list of number}}")
    ]


def test_layout_of_names_the_layout() -> None:
    assert layout_of({"instruction": "i", "output": "o"}) == "alpaca"
    assert layout_of({"instruction": "i", "output": "o"}, "sharegpt") is None
    assert layout_of({"foo": 1}) is None


def test_a_layout_can_be_forced() -> None:
    record = {"text": "passage", "question": "q", "answer": "a"}
    assert contents(record) == ["q", "a"]
    (forced,) = parse(record, layout="text")
    assert isinstance(forced, Parsed)
    assert forced.kind == "text"
    assert parse("bare", layout="alpaca") == [Rejected("unknown_layout", "text")]


def rows_of(record: object) -> list[tuple[str, object]]:
    """Return the rows of a record, each with its turns as one text of `role:content` and its kept values."""
    rows: list[tuple[str, object]] = []
    for outcome in parse(record):
        assert isinstance(outcome, Parsed), outcome
        assert outcome.repair is None
        rows.append(
            (" | ".join(f"{message['role'][0]}:{message['content']}" for message in outcome.messages), outcome.kept)
        )
    return rows


def turns(
    *contents: str, names: tuple[str, str] = ("user", "assistant"), keys: tuple[str, str] = ("role", "content")
) -> list[dict]:
    return [{keys[0]: names[index % 2], keys[1]: content} for index, content in enumerate(contents)]


CALL = {"name": "f", "arguments": {"x": 1}}
OPENAI_CALL = {"name": "f", "arguments": '{"x": 1}'}
CALLED = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
TOOLS = [{"name": "f"}]
SCORED = [{"response": "a", "overall_score": 2}, {"response": "b", "overall_score": "9.5"}]
PAIR = {"chosen": "a", "rejected": "b"}
KEPT = {"rejected": "b"}
PERSONS = ("#Person1#", "#Person2#")
TREE_REPLIES = [
    {"role": "assistant", "text": "b", "rank": 1, "replies": []},
    {
        "role": "assistant",
        "text": "a",
        "rank": 0,
        "replies": [{"role": "prompter", "text": "r", "replies": [{"role": "assistant", "text": "c"}]}],
    },
]
MOSS = {
    "Human": "<|Human|>: q<eoh>\n",
    "Inner Thoughts": "<|Inner Thoughts|>: t<eot>\n",
    "Commands": '<|Commands|>: Search("q")<eoc>\n',
    "Tool Responses": "<|Results|>:\n<|1|>: 'r'\n<eor>\n",
    "MOSS": "<|MOSS|>: a<sup><|1|></sup><eom>\n",
}
MOSS_PLAIN = {
    **MOSS,
    "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
    "Commands": "<|Commands|>: None.<eoc>\n",
    "MOSS": "<|MOSS|>: b<eom>",
}

READ = {
    # requests and answers
    "dolly": ({"instruction": "q", "context": "c", "response": "a", "category": "x"}, "u:q\n\nc | a:a", {"category": "x"}),
    "capitals": ({"Question": "q", "Answer": "a"}, "u:q | a:a", None),
    "an answer of another name": ({"question": "q", "long_answer": "a"}, "u:q | a:a", None),
    "a question of another name": ({"original_question": "q", "gpt4_response": "a"}, "u:q | a:a", None),
    "Chinese keys": ({"问题": "q", "答案": "a"}, "u:q | a:a", None),
    "several answers": ({"question": "q", "answers": ["a", "b", "a"]}, "u:q | a:a", {"other_answers": ["b"]}),
    "a number and a truth value": ({"passage": "p", "question": "q", "answer": True}, "u:p\n\nq | a:True", None),
    "TriviaQA": ({"question": "q", "answer": {"value": "a", "aliases": ["b"]}}, "u:q | a:a", None),
    "several contexts": ({"context": ["c", "d"], "question": "q", "answer": "a"}, "u:c\n\nd\n\nq | a:a", None),
    "history of pairs": ({"query": "q", "response": "a", "history": [["p", "o"]]}, "u:p | a:o | u:q | a:a", None),
    "history of turns": ({"query": "q", "response": "a", "history": turns("p", "o")}, "u:p | a:o | u:q | a:a", None),
    "an empty history in a table": ({"query": "q", "response": "a", "history": "[]"}, "u:q | a:a", None),
    "FLAN": ({"inputs": "q", "targets": "a", "task": "x"}, "u:q | a:a", {"task": "x"}),
    "P3": ({"inputs": [5, 6], "inputs_pretokenized": "q", "targets": [7], "targets_pretokenized": "a"}, "u:q | a:a", None),
    "input and target": ({"input": "q", "target": ["a", "b"]}, "u:q | a:a", {"other_answers": ["b"]}),
    "BIG-bench scores": (
        {"instruction": "i", "input": "q", "target_scores": {"a": 0, "b": 1}}, "u:i\n\nq | a:b", {"target_scores": {"a": 0, "b": 1}},
    ),
    "context and answer": ({"context": "Q: q\nA:", "chain_of_thought": "t", "answer": "a"}, "u:Q: q\nA: | a:t\n\na", None),
    "user and assistant": ({"system": "s", "user": "q", "assistant": "a"}, "s:s | u:q | a:a", None),
    "MATH": ({"problem": "q", "solution": "a", "answer": "4"}, "u:q | a:a", None),
    "KTO's text": ({"prompt": "q", "completion": "a", "label": False}, "u:q | a:a", {"label": False, "verdict": "wrong"}),
    "HelpSteer": ({"prompt": "q", "response": "a", "helpfulness": 3, "verbosity": 0}, "u:q | a:a", {"helpfulness": 3, "verbosity": 0}),
    "reasoning": ({"question": "q", "reasoning_content": "t", "answer": "a"}, "u:q | a:a", {"reasoning": "t"}),
    "Super-NaturalInstructions, flat": ({"definition": "d", "inputs": "q", "targets": "a"}, "u:d\n\nq | a:a", None),
    "BELLE": ({"instruction": "Human: q\nAssistant: a\nHuman: r\nAssistant:", "input": "", "output": "b"}, "u:q | a:a | u:r | a:b", None),
    "a news article": ({"article": "q", "highlights": "a", "id": "1"}, "u:q | a:a", None),
    "a dialogue's summary": ({"dialogue": "q", "summary": "a"}, "u:q | a:a", None),
    "MBPP": ({"task_id": 1, "text": "q", "code": "a", "test_list": ["t"]}, "u:q | a:a", {"tests": ["t"]}),
    "CAMEL": ({"topic": "t", "message_1": "q", "message_2": "a"}, "u:q | a:a", None),
    "WMT": ({"translation": {"en": "q", "de": "a"}}, "u:Translate from en to de:\n\nq | a:a", None),
    "source and target": ({"src": "q", "tgt": "a"}, "u:q | a:a", None),
    "source and target languages": (
        {"source": "q", "target": "a", "source_lang": "en", "target_lang": "de"}, "u:Translate from en to de:\n\nq | a:a", None,
    ),
    # message lists
    "an instruction beside pairs": (
        {"instruction": "i", "conversations": [{"question": "q", "answer": "a"}, {"question": "r", "answer": "b"}]},
        "u:i\n\nq | a:a | u:r | a:b", None,
    ),
    "an instruction that a turn repeats": ({"instruction": "q", "messages": [Q, A]}, "u:q | a:a", None),
    "MT-bench": (
        {"question_id": 81, "category": "writing", "turns": ["q", "r"]}, "u:q", {"category": "writing", "later_turns": ["r"]},
    ),
    "pairs in a list": ({"conversation": [{"human": "q", "assistant": "a"}, {"human": "r", "assistant": "b"}]}, "u:q | a:a | u:r | a:b", None),
    "JSON in a cell": ({"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'}, "u:q | a:a", None),
    "a bare list of turns": (turns("q", "a", names=("client", "counselor")), "u:q | a:a", None),
    "KTO": ({"messages": turns("q", "a"), "label": False}, "u:q | a:a", {"label": False, "verdict": "wrong"}),
    "Infinity-Instruct": (
        {"id": 1, "conversations": turns("q", "a", names=("human", "gpt"), keys=("from", "value")), "label": {"ability_en": ["x"]},
         "langdetect": "en", "source": "S", "reward": 2.5, "other": 1},
        "u:q | a:a", {"id": 1, "label": {"ability_en": ["x"]}, "langdetect": "en", "source": "S", "reward": 2.5},
    ),
    "SGD": ({"dialogue_id": "1", "turns": turns("q", "a", names=("USER", "SYSTEM"), keys=("speaker", "utterance"))}, "u:q | a:a", None),
    "two persons": ({"dialogue": turns("q", "a", names=PERSONS, keys=("speaker", "text"))}, "u:q | a:a", None),
    "columns of turns": ({"turns": {"turn_id": [0, 1], "speaker": [0, 1], "utterance": ["q", "a"]}}, "u:q | a:a", None),
    "MultiWOZ": ({"log": [{"text": "q", "metadata": {}}, {"text": "a", "metadata": {}}]}, "u:q | a:a", None),
    "DailyDialog": ({"dialog": ["q", "a"], "act": [1, 2]}, "u:q | a:a", None),
    "UltraChat": ({"id": "0", "data": ["q", "a"]}, "u:q | a:a", None),
    "MOSS": (
        {"meta_instruction": "s", "chat": {"turn_1": MOSS, "turn_2": MOSS_PLAIN}},
        "s:s | u:q | a:<tool_call>\nSearch(\"q\")\n</tool_call> | u:<tool_response>\n<|1|>: 'r'\n</tool_response> | a:a<sup><|1|></sup>"
        " | u:q | a:b", {"inner_thoughts": ["t", None]},
    ),
    "numbered turns": ({"turn_1": {"user": "q", "bot": "a"}, "turn_2": {"user": "r", "bot": "b"}}, "u:q | a:a | u:r | a:b", None),
    "numbers alone": ({"1": {"question": "q", "answer": "a"}}, "u:q | a:a", None),
    "numbered keys": ({"instruction_2": "r", "response_2": "b", "instruction_1": "q", "response_1": "a"}, "u:q | a:a | u:r | a:b", None),
    "OpenAssistant": (
        {"message_tree_id": "1", "prompt": {"role": "prompter", "text": "q", "replies": TREE_REPLIES}},
        "u:q | a:a | u:r | a:c", {"other_replies": 1},
    ),
    # tools
    "OpenAI's calls": (
        {"messages": [Q, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": OPENAI_CALL}]},
                      {"role": "tool", "content": "r"}, {"role": "tool", "content": {"y": 2}}, A], "tools": TOOLS},
        f's:<tools>\n{{"name": "f"}}\n</tools> | u:q | a:{CALLED} | u:<tool_response>\nr\n</tool_response>\n'
        '<tool_response>\n{"y": 2}\n</tool_response> | a:a', None,
    ),
    "ShareGPT's calls": (
        {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "w"},
                           {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'}, {"from": "observation", "value": "r"},
                           {"from": "gpt", "value": "a"}], "tools": '[{"name": "f"}]'},
        f's:s\n\n<tools>\n{{"name": "f"}}\n</tools> | u:q | a:w\n{CALLED} | u:<tool_response>\nr\n</tool_response> | a:a', None,
    ),
    "reasoning and calls as parts": (
        {"messages": [Q, {"role": "assistant", "content": [{"type": "reasoning", "value": "t"}, {"type": "text", "value": "w"},
                                                          {"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'}]}], "tools": "[]"},
        f"u:q | a:<think>\nt\n</think>\n\nw\n{CALLED}", None,
    ),
    "Anthropic's parts": (
        {"messages": [Q, {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}]},
                      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "r"}]}, A]},
        f"u:q | a:{CALLED} | u:<tool_response>\nr\n</tool_response> | a:a", None,
    ),
    "xLAM": (
        {"query": "q", "answers": '[{"name": "f", "arguments": {"x": 1}}]', "tools": '[{"name": "f"}]'},
        f's:<tools>\n{{"name": "f"}}\n</tools> | u:q | a:{CALLED}', None,
    ),
    "Hermes": (
        {"tools": '[{"name": "f"}]', "conversations": [
            {"from": "system", "value": "<tools> f </tools>"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": CALLED},
            {"from": "tool", "value": "<tool_response>\nr\n</tool_response>"}, {"from": "gpt", "value": "a"}]},
        f"s:<tools> f </tools> | u:q | a:{CALLED} | u:<tool_response>\nr\n</tool_response> | a:a", None,
    ),
    # preferences
    "pair of texts": ({"prompt": "q", **PAIR, "chosen_score": 8}, "u:q | a:a", KEPT | {"chosen_score": 8}),
    "pair under an instruction": ({"instruction": "q", "input": "i", **PAIR}, "u:q\n\ni | a:a", KEPT),
    "pair of messages": ({"prompt": "q", "chosen": turns("q", "a"), "rejected": turns("q", "b")}, "u:q | a:a", KEPT),
    "pair of last messages": ({"prompt": turns("q"), "chosen": turns("q", "a")[1:], "rejected": turns("q", "b")[1:]}, "u:q | a:a", KEPT),
    "pair of unlike conversations": (
        {"chosen_messages": turns("q", "a"), "rejected_messages": turns("p", "b")}, "u:q | a:a", {"rejected": turns("p", "b")},
    ),
    "pair of turns": (
        {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}},
        "u:q | a:a", KEPT,
    ),
    "pair of transcripts": (
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}, "u:q | a:a", KEPT,
    ),
    "rated answers": ({"instruction": "q", "completions": SCORED}, "u:q | a:b", {"rating": "9.5", "other_answers": SCORED[:1]}),
    "PKU-SafeRLHF": ({"prompt": "q", "response_0": "b", "response_1": "a", "better_response_id": 1, "safer_response_id": 0}, "u:q | a:a", KEPT),
    "SHP": ({"history": "q", "human_ref_A": "a", "human_ref_B": "b", "labels": 1, "score_A": 9}, "u:q | a:a", KEPT),
    "LMSYS": ({"conversation_a": turns("q", "b"), "conversation_b": turns("q", "a"), "winner": "model_b"}, "u:q | a:a", KEPT),
    "LMSYS, a tie": (
        {"conversation_a": turns("q", "a"), "conversation_b": turns("q", "b"), "winner": "tie"}, "u:q | a:a", {"other_answers": ["b"]},
    ),
    "Nectar": (
        {"prompt": "\n\nHuman: q\n\nAssistant: ", "answers": [{"answer": "b", "rank": 2}, {"answer": "a", "rank": 1}]},
        "u:q | a:a", {"rating": 1, "other_answers": [{"answer": "b", "rank": 2}]},
    ),
    # tests
    "MedMCQA": ({"question": "q", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 2}, "u:q\n\nA. w\nB. x\nC. y\nD. z | a:C. y", None),
    "PIQA": ({"goal": "q", "sol1": "x", "sol2": "y", "label": 1}, "u:q\n\nA. x\nB. y | a:B. y", None),
    "WinoGrande": ({"sentence": "q _", "option1": "x", "option2": "y", "answer": "2"}, "u:q _\n\nA. x\nB. y | a:B. y", None),
    "HellaSwag": ({"ctx": "q", "activity_label": "t", "endings": ["x", "y"], "label": "1"}, "u:q\n\nA. x\nB. y | a:B. y", None),
    "OpenBookQA": (
        {"question_stem": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}, "u:q\n\nA. x\nB. y | a:B. y", None,
    ),
    "LogiQA": ({"context": "c", "query": "q", "options": ["x", "y"], "correct_option": 0}, "u:c\n\nq\n\nA. x\nB. y | a:A. x", None),
    "MMLU's table": (
        {f"column_{index}": cell for index, cell in enumerate(("q", "w", "x", "y", "z", "B"))}, "u:q\n\nA. w\nB. x\nC. y\nD. z | a:B. x", None,
    ),
    "SQuAD row": (
        {"context": "c", "question": "q", "answers": {"text": ["a", "b"], "answer_start": [0, 1]}}, "u:c\n\nq | a:a", {"other_answers": ["b"]},
    ),
    "MMLU": ({"question": "q", "choices": ["x", "y"], "answer": 1}, "u:q\n\nA. x\nB. y | a:B. y", None),
    "ARC": ({"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "1"}, "u:q\n\nA. x\nB. y | a:A. x", None),
    "ARC's file": (
        {"question": {"stem": "q", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}, "answerKey": "B"},
        "u:q\n\nA. x\nB. y | a:B. y", None,
    ),
    "AQuA": ({"question": "q", "options": ["A)1", "B)2"], "rationale": "t", "correct": "B"}, "u:q\n\nA. 1\nB. 2 | a:t\n\nB. 2", None),
    "lettered columns": ({"question": "q", "A": "x", "B": "y", "answer": "A"}, "u:q\n\nA. x\nB. y | a:A. x", None),
    "synthesizer collection": (
        {"context": "c", "QA_list": [{"Q": "q", "A": "a"}, {"Q": "r", "A": "b"}]}, "u:c\n\nq | a:a | u:r | a:b", None,
    ),
    "TruthfulQA": ({"question": "q", "best_answer": "a", "correct_answers": ["a"], "incorrect_answers": ["b"]}, "u:q | a:a", None),
    "Social IQa": (
        {"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z", "label": "1"},
        "u:c\n\nq\n\nA. x\nB. y\nC. z | a:A. x", None,
    ),
    "COPA": ({"premise": "c", "choice1": "x", "choice2": "y", "question": "cause", "label": 1}, "u:c\n\ncause\n\nA. x\nB. y | a:B. y", None),
    "SWAG": ({"startphrase": "q", "ending0": "x", "ending1": "y", "label": 0}, "u:q\n\nA. x\nB. y | a:A. x", None),
    "an exam in an instruction": ({"instruction": "i", "input": "q", "options": ["x", "y"], "output": "B"}, "u:i\n\nq\n\nA. x\nB. y | a:B. y", None),
    "a hidden answer": ({"goal": "q", "sol1": "x", "sol2": "y", "label": -1}, "u:q\n\nA. x\nB. y", None),
    "an answer in words": (
        {"question": "q", "options": ["x", "y"], "answer": "It is y, because nothing else would fit the question."},
        "u:q\n\nA. x\nB. y | a:It is y, because nothing else would fit the question.", None,
    ),
    "CoQA": (
        {"story": "c", "questions": [{"input_text": "q"}, {"input_text": "r"}], "answers": [{"input_text": "a"}, {"input_text": "b"}]},
        "u:c\n\nq | a:a | u:r | a:b", None,
    ),
    "QuAC": ({"context": "c", "questions": ["q", "r"], "answers": {"texts": [["a"], ["b", "d"]]}}, "u:c\n\nq | a:a | u:r | a:b", None),
    "DREAM": ([["c", "d"], [{"question": "q", "choice": ["x", "y"], "answer": "y"}], "1"], "u:c\nd\n\nq\n\nA. x\nB. y | a:B. y", None),
    "DROP": ({"passage": "c", "question": "q", "answers_spans": {"spans": ["a", "b"], "types": ["span"]}}, "u:c\n\nq | a:a, b", None),
    "DROP's dates": (
        {"passage": "c", "question": "q", "answer": {"number": "", "date": {"day": "3", "month": "May", "year": ""}, "spans": []}},
        "u:c\n\nq | a:3 May", None,
    ),
    "HotpotQA": (
        {"question": "q", "answer": "a", "context": {"title": ["t", "u"], "sentences": [["c.", " d."], ["e."]]}},
        "u:t\nc. d.\n\nu\ne.\n\nq | a:a", None,
    ),
    "HotpotQA's files": ({"question": "q", "answer": "a", "context": [["t", ["c.", " d."]]]}, "u:t\nc. d.\n\nq | a:a", None),
    "retrieved passages": ({"question": "q", "answers": ["a"], "ctxs": [{"title": "t", "text": "c d"}]}, "u:t\nc d\n\nq | a:a", None),
    "names of documents": ({"question": "q", "answer": "a", "documents": ["d.pdf"]}, "u:q | a:a", None),
    "SNLI": (
        {"sentence1": "c", "sentence2": "d", "gold_label": "neutral"},
        "u:Premise: c\nHypothesis: d\n\nEntailment, neutral or contradiction? | a:neutral", None,
    ),
    # programs
    "HumanEval": ({"prompt": "q", "canonical_solution": "  a", "test": "t", "entry_point": "f"}, "u:q | a:  a", {"tests": "t"}),
    "APPS": ({"question": "q", "solutions": '["a", "b"]', "input_output": "t", "starter_code": "s"}, "u:q\n\ns | a:a", {"tests": "t"}),
    "CodeContests": (
        {"description": "q", "solutions": {"language": [3], "solution": ["a"]}, "incorrect_solutions": {"solution": ["b"]}, "public_tests": ["t"]},
        "u:q | a:a", {"tests": ["t"]},
    ),
    "programs with verdicts": (
        {"problem": "q", "solutions": [{"code": "b", "is_correct": False}, {"code": "a", "is_correct": True}], "tests": "t"},
        "u:q | a:a", {"tests": "t"},
    ),
    "DS-1000": ({"prompt": "q", "reference_code": "a", "code_context": "c"}, "u:q | a:a", None),
    "Spider": ({"question": "q", "query": "SELECT 1", "sql": {"select": [1]}}, "u:q | a:SELECT 1", None),
    "SQL beside an answer": ({"question": "q", "query": "SELECT 1", "answer": "a"}, "u:q | a:a", None),
    "CoNaLa": ({"intent": "p", "rewritten_intent": "q", "snippet": "a"}, "u:q | a:a", None),
    # other exchanges
    "Cosmopedia": ({"prompt": "q", "text": "a", "seed_data": "web"}, "u:q | a:a", None),
    "OpenAI's evals": ({"input": turns("q"), "ideal": ["a", "b"]}, "u:q | a:a", {"other_answers": ["b"]}),
    "ELI5": (
        {"title": "q", "selftext": "r", "answers": {"text": ["b", "a"], "score": [1, 2]}}, "u:q\n\nr | a:a",
        {"rating": 2, "other_answers": [{"text": "b", "score": 1}]},
    ),
    "columns of two languages": ({"id": 1, "en": "q", "fr": "a"}, "u:Translate from en to fr:\n\nq | a:a", None),
    "reasoning under another name": ({"Question": "q", "Complex_CoT": "t", "Response": "a"}, "u:q | a:a", {"reasoning": "t"}),
    # transcripts
    "a transcript": ({"text": "### Human: q### Assistant: a"}, "u:q | a:a", None),
    "a bare transcript": ("User: q\nBot: a", "u:q | a:a", None),
}  # fmt: skip


@pytest.mark.parametrize(("record", "row", "kept"), READ.values(), ids=READ)
def test_records_of_known_datasets_are_read(record: object, row: str, kept: object) -> None:
    assert rows_of(record) == [(row, kept)]


def test_a_record_can_hold_several_conversations() -> None:
    qas = [{"question": "q", "answers": [{"text": "a"}]}, {"question": "r", "answers": [], "is_impossible": True}]
    rows = [("u:c\n\nq | a:a", None), ("u:c\n\nr", None)]
    assert rows_of({"title": "t", "paragraphs": [{"context": "c", "qas": qas}]}) == rows
    assert rows_of({"context": "c", "qas": qas}) == rows
    natural = {"Definition": ["d"], "Instances": [{"input": "q", "output": ["a", "b"]}, {"input": "r", "output": "c"}]}
    assert rows_of(natural) == [("u:d\n\nq | a:a", {"other_answers": ["b"]}), ("u:d\n\nr | a:c", None)]


def test_questions_with_options_about_one_text_are_rows_of_their_own() -> None:
    rows = [("u:c\n\nq\n\nA. x\nB. y | a:A. x", None), ("u:c\n\nr\n\nA. v\nB. w | a:B. w", None)]
    lists = {"questions": ["q", "r"], "options": [["x", "y"], ["v", "w"]], "answers": ["A", "B"]}
    assert rows_of({"article": "c", **lists}) == rows
    objects = [
        {"question": "q", "options": ["x", "y"], "answer": "A"},
        {"question": "r", "options": ["v", "w"], "answer": "B"},
    ]
    assert rows_of({"article": "c", "questions": objects}) == rows


def test_records_with_the_same_keys_can_have_different_layouts() -> None:
    assert rows_of({"prompt": "q", "completions": SCORED})[0][1]
    assert rows_of({"prompt": "q", "completions": "a"}) == [("u:q | a:a", None)]
    assert rows_of({"prompt": turns("q"), "completions": "a"}) == [("u:q | a:a", None)]


def test_a_long_text_under_another_name_is_a_passage() -> None:
    (parsed,) = parse({"title": "t", "body": "b" * 200})
    assert parsed == Parsed([{"role": "user", "content": "b" * 200}], "text", None)
    assert parse({"title": "t", "body": "b"})[0] == Rejected("unknown_layout", "{title: text, body: text}")


KEYS = [
    "messages", "conversations", "conversation", "instruction", "input", "output", "instances", "history", "system",
    "question", "answer", "problem", "solution", "prompt", "completion", "text", "role", "content", "from", "value",
    "type", "speaker", "tools", "tool_calls", "chat", "turn_1", "label", "context", "qas", "choices", "answerKey",
    "Label", "chosen", "rejected", "completions", "score", "paragraphs", "target_scores", "replies",
]  # fmt: skip
TEXTS = ["user", "gpt", "system", "", "You are", "[INST]", "text", "tool", "Q: q\nA: a", "A", "[1]", "{}"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


@given(value=VALUES, layout=st.none() | st.sampled_from(list(LAYOUTS)))
def test_any_value_has_an_outcome(value: object, layout: str | None) -> None:
    outcomes = parse(value, layout)
    assert outcomes
    rows = [outcome for outcome in outcomes if isinstance(outcome, Parsed)]
    columns = {"row_id": [str(index) for index in range(len(rows))], "kind": [row.kind for row in rows]}
    frame = pl.DataFrame(columns, schema={"row_id": pl.String, "kind": pl.String})
    faults = find_grammar_faults(frame.with_columns(messages=pl.Series([row.messages for row in rows], dtype=MESSAGES)))
    assert faults.is_empty()
    assert all(json.dumps(row.kept) for row in rows)


@pytest.mark.parametrize("key", ["answer", "content", "role", "tools", "tool_calls", "replies", "choices", "rejected"])
def test_deeply_nested_values_raise_nothing(key: str) -> None:
    nested: object = "x"
    for _ in range(1000):
        nested = [{"text": nested}]
    turn = {"role": "user", "content": "q", key: nested}
    prompt = {"text": "q", "replies": [], key: nested}
    pair = {"question": "q", "chosen": "a", "rejected": "b", "prompt": prompt, key: nested}
    for record in (turn, [turn], {"messages": [turn, turn], key: nested}, pair, {key: nested, "question": "q"}, nested):
        assert parse(record)
        assert items_of(record)


@given(value=VALUES)
def test_any_document_has_records(value: object) -> None:
    assert (value == [] and items_of(value) == []) or items_of(value)


BODY = "Ann has 12 red marbles and gives 5 of them to her brother Ben."

WITH_CONTEXT = {
    "body": {"ID": "1", "Body": BODY, "Question": "q", "Answer": "a"},
    "scenario": {"scenario": BODY, "question": "q", "answer": "a"},
    "background of a problem": {"problem": "q", "background_text": BODY, "solution": "a"},
    "text": {"text": BODY, "question": "q", "answer": "a"},
    "content": {"question": "q", "content": BODY, "answer": "a"},
    "input": {"input": BODY, "question": "q", "answer": "a"},
    "source context": {"source_context": BODY, "query": "q", "response": "a"},
}


@pytest.mark.parametrize("record", WITH_CONTEXT.values(), ids=WITH_CONTEXT)
def test_a_text_beside_a_question_is_its_context(record: dict) -> None:
    assert contents(record) == [f"{BODY}\n\nq", "a"]


def test_options_follow_the_text_and_the_question() -> None:
    record = {"text": BODY, "question": "q", "options": ["x", "y"], "answer": 1}
    assert contents(record) == [f"{BODY}\n\nq\n\nA. x\nB. y", "B. y"]


@pytest.mark.parametrize(
    "key",
    ["explanation_text", "hint", "Complex_CoT", "analysis", "translated_question_de", "feedback", "notes", "reason"],
)
def test_no_explanation_or_translation_is_taken_for_the_context(key: str) -> None:
    assert contents({key: BODY, "question": "q", "answer": "a"})[0] == "q"


@pytest.mark.parametrize("text", ["a remark", f"{BODY} Question: how many? Answer: 7"])
def test_a_short_text_or_one_with_the_question_in_it_is_not_the_context(text: str) -> None:
    assert contents({"text": text, "question": "how many?", "answer": "7"})[0] == "how many?"


@pytest.mark.parametrize(
    "record",
    [{"question": "q", "text": BODY}, {"question": "q", "content": BODY}, {"prompt": "q", "body": BODY}],
    ids=str,
)
def test_a_text_that_may_be_the_answer_is_not_the_context(record: dict) -> None:
    assert contents(record) == ["q"]


def test_the_body_of_a_question_without_an_answer_is_its_context() -> None:
    assert contents({"Body": BODY, "Question": "q"}) == [f"{BODY}\n\nq"]


def test_a_body_without_a_question_is_a_passage() -> None:
    assert parse({"title": "t", "body": BODY * 3}) == [Parsed([{"role": "user", "content": BODY * 3}], "text", None)]


CALL = {"name": "rate", "arguments": {"c": "EUR"}}


def _calls_in_layouts(arguments: object) -> dict[str, dict]:
    """Return records with one call, each in another layout."""
    call = CALL | {"arguments": arguments}
    openai = {"id": "1", "type": "function", "function": call}
    written = {
        "text": json.dumps(call),
        "list as text": json.dumps([call]),
        "wrapped": json.dumps(openai),
        "text in text": json.dumps(json.dumps(call)),
        "args": json.dumps({"name": "rate", "args": arguments}),
        "object": {"name": "rate", "parameters": arguments},
    }
    turns = {
        "OpenAI": {"role": "assistant", "content": None, "tool_calls": [openai]},
        "OpenAI, old": {"role": "assistant", "content": "", "function_call": call},
        "OpenAI, as text": {"role": "assistant", "content": "", "tool_calls": json.dumps([openai])},
        "Anthropic": {
            "role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "rate", "input": arguments}],
        },
        "LangChain": {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": [openai]}}},
        "Hermes": {"role": "assistant", "content": f"<tool_call>\n{json.dumps(call)}\n</tool_call>"},
        **{name: {"role": "tool_call", "content": content} for name, content in written.items()},
    }  # fmt: skip
    question = {"role": "user", "content": "What is the rate?"}
    parts = [{"text": "What is the rate?"}], [{"functionCall": {"name": "rate", "args": arguments}}]
    contents = [{"role": role, "parts": part} for role, part in zip(("user", "model"), parts, strict=True)]
    return {
        "Gemini": {"contents": contents},
        **{name: {"messages": [question, turn]} for name, turn in turns.items()},
        "xLAM": {"query": "What is the rate?", "answers": json.dumps([call]), "tools": json.dumps([{"name": "rate"}])},
        "Glaive": {"text": f"USER: What is the rate?\n\n\nASSISTANT: <functioncall> {json.dumps(call)} <|endoftext|>"},
    }


@pytest.mark.parametrize("times", range(4))
@pytest.mark.parametrize("layout", _calls_in_layouts({}))
def test_arguments_of_calls_are_decoded_however_often_they_are_encoded(layout: str, times: int) -> None:
    arguments: object = CALL["arguments"]
    for _ in range(times):
        arguments = json.dumps(arguments)
    (parsed,) = parse(_calls_in_layouts(arguments)[layout])
    assert isinstance(parsed, Parsed)
    assert parsed.messages[-1] == {"role": "assistant", "content": f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>"}


@pytest.mark.parametrize("text", ["EUR", '"EUR"', "[1, 2", '"{\\"c\\": 1'])
def test_arguments_that_are_no_object_stay_as_they_are(text: str) -> None:
    (parsed,) = parse(_calls_in_layouts(text)["OpenAI"])
    assert isinstance(parsed, Parsed)
    assert json.loads(parsed.messages[-1]["content"].split("\n")[1])["arguments"] == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("    if a:\n  b\n", "    if a:\n  b"),
        ("\n \n  x\n y", "  x\n y"),
        ("  one line \n", "one line"),
        (" \n\n z", "z"),
    ],
)
def test_the_first_of_several_lines_keeps_its_indentation(text: str, shown: str) -> None:
    (row,) = parse({"instruction": "Indent.", "input": text, "output": "x"})
    assert isinstance(row, Parsed)
    assert row.messages[0]["content"] == f"Indent.\n\n{shown}"


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("<s>[INST] Hi there? [/INST]", " Hello. </s>"),
        ("<|im_start|>user\nHi there?<|im_end|>\n<|im_start|>assistant\n", "Hello.<|im_end|>"),
    ],
)
def test_a_prompt_and_a_completion_in_a_template_are_turns(prompt: str, completion: str) -> None:
    (row,) = parse({"prompt": prompt, "completion": completion})
    assert isinstance(row, Parsed)
    assert [message["content"] for message in row.messages] == ["Hi there?", "Hello."]


def test_messages_of_langchains_constructors_are_turns() -> None:
    def call(name: str, content: str) -> dict:
        path = ["langchain", "schema", "messages", name]
        return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content, "type": "human"}}

    (row,) = parse({"messages": [call("HumanMessage", "Hi?"), call("AIMessage", "Yes.")]})
    assert isinstance(row, Parsed)
    assert [message["content"] for message in row.messages] == ["Hi?", "Yes."]


def test_a_question_after_an_unknown_text_is_refused_until_it_is_told_how_to_read_it() -> None:
    saga = "The mill burned in the dry summer, and the miller went to sea for three years."
    record = {"saga": saga, "question": "Where did he go?", "answer": "To sea", "remark": saga[::-1]}
    (outcome,) = parse(record)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "unread_context"
    (mapped,) = parse(FieldMapping({"context": "saga"})(record))
    (forced,) = parse(record, "question_answer")
    assert isinstance(mapped, Parsed)
    assert isinstance(forced, Parsed)
    assert [mapped.messages[0]["content"], forced.messages[0]["content"]] == [
        f"{saga}\n\nWhere did he go?", "Where did he go?",
    ]  # fmt: skip
