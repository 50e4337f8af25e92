"""Tests that suggested lines make the right rows of the records, and that nothing is suggested in doubt."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading.layouts import Parsed, parse
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.suggest import GUESSED, TEMPLATE, suggest

JUDGED = {"task": "a question", "sol_a": "first answer", "sol_b": "second answer", "label": 0}
LONG = "a long answer " * 10
TURNS = [{"role": "user", "content": "Name a bay."}, {"role": "assistant", "content": "Biscay."}]


@pytest.mark.parametrize(
    ("record", "contents"),
    [
        ({"title": "two words", "body": "no more", "id": "x1"}, ["two words", "no more"]),
        ({"data": {"ask": "a question"}, "meta": {"reply": ["an answer", "other"]}}, ["a question", "an answer"]),
        ({"src text": "guten Tag", "tgt text": "good day", "score": 1}, ["guten Tag", "good day"]),
        ({"x": "What is the first text?", "y": LONG, "hash": "abc"}, ["What is the first text?", LONG.strip()]),
        ({"ask me": "a b", "the reply": "c d"}, ["a b", "c d"]),
        ({"remark": "a single text"}, ["a single text"]),
        ({"persona": "You are terse.", "q": "Who rows?", "says": "The smith rows."}, ["You are terse.", "Who rows?", "The smith rows."]),
        ({"test_input": "1 2 3", "ask": "Add the numbers.", "answer": "print(1 + 2)"}, ["Add the numbers.", "print(1 + 2)"]),
        ({"story": "The mill burned in May.", "question": {"text": "When?"}, "reply": "In May."}, ["The mill burned in May.\n\nWhen?", "In May."]),
        ({"deep": {"er": {"talk": TURNS}}, "id": 1}, ["Name a bay.", "Biscay."]),
        ({"talk": TURNS[:1], "the reply": "It is Biscay."}, ["Name a bay.", "It is Biscay."]),
        ({"body": "### Human: Name a bay.\n### Assistant: Biscay."}, ["Name a bay.", "Biscay."]),
        ({"ask": "Which is a tree?", "list": ["Oak", "Eel"], "key": "B"}, ["Which is a tree?\n\nA. Oak\nB. Eel", "B. Eel"]),
    ],
)  # fmt: skip
def test_the_suggested_lines_make_the_right_row(record: dict, contents: list[str]) -> None:
    suggestion = suggest([record, record])
    assert suggestion.lines.startswith(GUESSED)
    assert [message["content"] for message in suggestion.rows[0]] == contents
    lines = yaml.safe_load(suggestion.lines)
    outcome = parse(FieldMapping(lines["fields"])(record), lines["layout"])[0]
    assert isinstance(outcome, Parsed)
    assert outcome.messages == suggestion.rows[0]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1, "x"],
        [{"id": 1}],
        [{"id": "x7"}],
        [JUDGED],
        [JUDGED | {"prompt": "a b"}],
        [{"my conversation": [{"who": "x"}], "id": 1}],
        [{"ask": "Which is a tree?", "choices": ["Oak", "Eel"], "answer": 0}],
        [{"ask": "Which is a tree?", "A": "Oak", "B": "Eel", "answer": "A"}],
        [{"ask": "Which is it?", "answer": "The oak.", "lines": ["It is tall.", "It has acorns."]}],
        [{"question": {"text": "Print 2."}, "solutions": '["print(2)", "print(1 + 1)"]'}],
        [{"instruction text": "Choose the right answer.", "input": "What pulls the tide?"}],
        [{"anchor": "how to bake", "positive": "Bake it long.", "negative": "A boat floats."}],
    ],
)
def test_in_doubt_the_suggestion_is_a_form_to_fill_in(values: list) -> None:
    suggestion = suggest(values)
    assert suggestion.lines.startswith(TEMPLATE)
    assert suggestion.mapping is None
    assert yaml.safe_load(suggestion.lines) is None


def test_the_form_shows_the_keys_with_an_example_of_each() -> None:
    assert '#   meta.sol_b: "second answer"' in suggest([{"meta": JUDGED}]).lines


def test_a_context_that_few_records_have_is_read() -> None:
    records = [{"pregunta": f"What is {n} and one?", "respuesta": f"It is one more than {n}."} for n in range(10)]
    records[7]["contexto"] = "[1, 2, 3]"
    suggestion = suggest(records)
    assert suggestion.mapping
    assert "contexto" in suggestion.mapping.fields.values()
    assert suggestion.fit == 10


def test_a_text_that_is_clearly_beside_the_exchange_is_named() -> None:
    record = {
        "question": {"text": "Who rows?"},
        "old_question": "And who is it that rows here?",
        "reply": "The smith rows.",
    }
    assert "# Not read: old_question" in suggest([record]).lines


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["ask", "reply", "text", "a.b", "{x}", "", "choices"]),
            st.none() | st.text() | st.integers() | st.lists(st.text() | st.dictionaries(st.text(), st.text())),
        )
    )
)
def test_any_records_get_lines_that_are_yaml(records: list[dict]) -> None:
    suggestion = suggest(records)
    assert yaml.safe_load(suggestion.lines) is None or suggestion.mapping
    assert suggest(records) == suggestion
