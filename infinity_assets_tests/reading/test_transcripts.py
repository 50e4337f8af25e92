"""Tests that transcripts are parsed and that prose which happens to contain a mark stays prose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading.transcripts import is_transcript, split_dialogues, turns_of

TRANSCRIPTS = [
    "Human: q\nAssistant: a",
    "\n\nHuman: q\n\nAssistant: a",
    "User: q\nBot: a",
    "human： q\nAI： a",
    "Q: q\nA: a",
    "Question: q\nAnswer: a",
    "Instruction: q\nResponse: a",
    "Patient: q\nDoctor: a",
    "用户：q\n助手：a",
    "问：q\n答：a",
    "### Human: q### Assistant: a",
    "### Instruction:\nq\n\n### Response:\na</s>",
    "USER: q ASSISTANT: a</s>",
    "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>",
    "<|user|>\nq</s>\n<|assistant|>\na</s>",
    "<|prompter|>q<|endoftext|><|assistant|>a<|endoftext|>",
    "<s>[INST] q [/INST] a </s>",
]


@pytest.mark.parametrize("text", TRANSCRIPTS)
def test_every_family_of_marks_gives_the_same_exchange(text: str) -> None:
    assert turns_of(text) == [("user", "q"), ("assistant", "a")]


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("System: s\nUser: q\nAI: a\nUser: r\n\nmore\nAI: b", "system:s user:q assistant:a user:r\n\nmore assistant:b"),
        ("[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] a </s><s>[INST] r [/INST] b </s>", "system:s user:q assistant:a user:r assistant:b"),
        ("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", "system:s user:q assistant:"),
        ("### Instruction:\nq\n### Input:\ni\n### Response:\na", "user:q\n\ni assistant:a"),
        ("Below is an instruction.\n\n### Instruction:\nq\n\n### Response:\na", "system:Below is an instruction. user:q assistant:a"),
        ("USER: q\nASSISTANT: f\nFUNCTION RESPONSE: r\nASSISTANT: a",
         "user:q assistant:f user:<tool_response>\nr\n</tool_response> assistant:a"),
    ],
)  # fmt: skip
def test_longer_transcripts_are_parsed(text: str, turns: str) -> None:
    found = turns_of(text)
    assert found
    assert " ".join(f"{role}:{content}" for role, content in found) == turns


@pytest.mark.parametrize(
    "text",
    [
        "", "A passage.", "Human: alone", "Assistant: a\nHuman: q", "He said:\nHuman: q\nAssistant: a", "Human rights: q\nA: a",
        "Q: what, asked she. A: nothing.", "q: a\na: b", "[INST] alone", "### Heading\n\ntext", "Note: x\nAnswer: y", "A: x\nQ: y\nA: z",
    ],
)  # fmt: skip
def test_prose_stays_prose(text: str) -> None:
    assert not is_transcript(text)
    assert split_dialogues(text) == []


@pytest.mark.parametrize(
    ("text", "dialogues"),
    [
        ("Q: q\nA: a\n\nQ: r\nA: b\n\nmore of b", ["Q: q\nA: a", "Q: r\nA: b\n\nmore of b"]),
        ("Q: q\r\n\r\nA: a\r\n\r\nQ: r\r\n\r\nA: b", ["Q: q\n\nA: a\n\nQ: r\n\nA: b"]),
        ("User: q\n\nBot: a\n---\nUser: r\n\nBot: b\n---\n", ["User: q\n\nBot: a", "User: r\n\nBot: b"]),
        ("User: q\nBot: a\n---\nprose", []),
        ("User: q\nBot: a\n\nprose that goes on", ["User: q\nBot: a\n\nprose that goes on"]),
    ],
)
def test_a_text_file_can_hold_several_dialogues(text: str, dialogues: list[str]) -> None:
    assert split_dialogues(text) == dialogues


PIECES = st.sampled_from([*TRANSCRIPTS, "Human:", "A:", "\n", "\n\n", "---", "x", "<|user|>", "[/INST]", "###"])


@given(text=st.lists(PIECES, max_size=6).map("\n".join))
def test_split_dialogues_are_transcripts(text: str) -> None:
    assert all(map(is_transcript, split_dialogues(text)))
    turns = turns_of(text)
    assert turns is None or {role for role, _ in turns} <= {"system", "user", "assistant"}
