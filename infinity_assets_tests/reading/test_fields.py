"""Tests of what names and values say about the fields of records."""

import pytest

from infinity_assets.reading.fields import Unread, find_fields, find_unread
from infinity_assets.reading.names import read_name


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("faq_question", "request"),
        ("questionText", "request"),
        ("Frage", "request"),
        ("质问问题", "request"),
        ("data.ask.text", "request"),
        ("prompt_response", "answer"),
        ("targets_pretokenized", "answer"),
        ("user_id", "facts"),
        ("question_date", "facts"),
        ("system_prompt", "system"),
        ("wrong_answer", "worse"),
        ("answer_choices", "options"),
        ("response.object", None),
        ("answer_kitchen", "maybe_answer"),
        ("document_kitchen", None),
        ("c7", None),
    ],
)
def test_the_last_word_of_a_name_that_means_something_decides(path: str, role: str | None) -> None:
    meaning = read_name(path)
    assert (meaning.role if meaning else None) == role


def test_ids_addresses_dates_and_numbers_are_no_text() -> None:
    records = [
        {"id": f"item_{n}", "url": f"https://example.org/{n}", "day": f"2020-01-0{n}", "n": str(n), "says": "two words"}
        for n in range(5)
    ]
    assert [field.path for field in find_fields(records) if field.is_text] == ["says"]


def test_unread_texts_are_those_that_rows_neither_hold_nor_repeat() -> None:
    record = {
        "ask": "How is rye bread baked slowly?", "older": "Baked slowly, how is bread of rye?", "note": "See the shelf.",
        "tags": ["rye", "baking"],
    }  # fmt: skip
    reached = "How is rye bread baked slowly?"
    assert find_unread([(record, reached)]) == [Unread("note", True), Unread("tags", False)]
