"""Tests that a guess is applied only if names and values agree, and that it is the same for every way of reading."""

import json
from pathlib import Path

import pytest

from infinity_assets.reading.guess import ANNOTATION, NAME, GuessReader, find_guess, make_guess
from infinity_assets.reading.preview import preview
from infinity_assets.reading.sources import Source
from infinity_assets_tests.reading.in_memory import read

ASKED = [
    ("How long does rye take to grow?", "Rye sown in autumn is cut the next summer."),
    ("Why is a millstone dressed?", "Without its grooves, the millstone crushes the grain."),
    ("What is a tithe barn?", "A barn for the tenth part of the harvest."),
    ("Where does cork come from?", "From the bark of an oak of the Mediterranean."),
    ("Who used a distaff?", "Spinners held the combed wool on it."),
]


def records(request: str, answer: str, **more: object) -> list[dict]:
    return [{"nr": n, request: asked, answer: told, **more} for n, (asked, told) in enumerate(ASKED)]


def source_of(folder: Path, lines: list[dict]) -> Source:
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return Source(name="s", path=folder)


@pytest.mark.parametrize(
    ("request_name", "answer_name"),
    [("Frage", "Antwort"), ("the asked", "the replied"), ("pregunta_es", "respuesta_es"), ("faqQuestion", "faqReply")],
)
def test_a_guess_is_sure_if_names_and_values_agree(request_name: str, answer_name: str) -> None:
    guess = make_guess(records(request_name, answer_name))
    assert guess
    assert guess.is_sure
    assert guess.mapping.fields == {"instruction": request_name, "output": answer_name}
    assert guess.confidence > 0.5
    assert [row[0]["content"] for row in guess.rows] == [ASKED[0][0], ASKED[2][0], ASKED[4][0]]


GERMAN = records("Frage", "Antwort")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(records("c2", "c3"), id="names say nothing"),
        pytest.param(records("Antwort", "Frage"), id="values contradict the names"),
        pytest.param(GERMAN[:2], id="too few records"),
        pytest.param(GERMAN[:1] * 5, id="records are copies"),
        pytest.param([{**one, "zusatz": f"Text number {n} of many words."} for n, one in enumerate(GERMAN)], id="a text is left over"),
        pytest.param([{**one, "x": ["an oak", f"the eel {n}"]} for n, one in enumerate(GERMAN)], id="a list is left over"),
        pytest.param([{**one, "zweite_antwort": one["Antwort"][::-1]} for one in GERMAN], id="two answers"),
        pytest.param([{**one, "die antwort": [one["die antwort"], "or not"]} for one in records("Frage", "die antwort")], id="alternatives"),
        pytest.param([{"anchor": a, "positive": b, "negative": "A boat floats here."} for a, b in ASKED], id="no exchange"),
        pytest.param([{**one, "korrekt": n % 2 == 0} for n, one in enumerate(GERMAN)], id="an unknown verdict"),
        pytest.param([], id="no records"),
    ],
)  # fmt: skip
def test_in_doubt_a_guess_is_not_sure(lines: list[dict]) -> None:
    guess = make_guess(lines)
    assert guess is None or not guess.is_sure


def test_a_sure_guess_reads_the_source_and_marks_its_rows(tmp_path: Path) -> None:
    source = source_of(tmp_path / "s", [*records("Frage", "Antwort"), {"Frage": "Why?"}, {"where": 1}])
    frames = read(source, guess="sure")
    assert frames.rows["kind"].to_list() == ["conversation"] * 5
    assert frames.decisions["reason"].to_list() == ["unknown_layout"] * 2
    marks = frames.annotations.filter(name=ANNOTATION)["value"].to_list()
    assert [json.loads(mark) for mark in marks] == [
        {"layout": "alpaca", "instruction": "Frage", "output": "Antwort"}
    ] * 5
    assert set(frames.keys["layout"]) == {NAME}
    for mode in ("ask", "off"):
        assert read(source, guess=mode).rows.is_empty()


def test_a_guess_keeps_the_verdicts_of_the_data(tmp_path: Path) -> None:
    source = source_of(tmp_path / "s", [{**one, "is_correct": n > 0} for n, one in enumerate(GERMAN)])
    frames = read(source, guess="sure")
    assert frames.annotations.filter(name="verdict")["value"].to_list() == ['"wrong"', *['"right"'] * 4]


def test_a_record_with_a_text_of_its_own_is_not_guessed(tmp_path: Path) -> None:
    source = source_of(tmp_path / "s", [*GERMAN * 2, {**GERMAN[0], "Anlage": "See the drawing beside the text."}])
    assert read(source, guess="sure").rows.height == 10


def test_a_preview_shows_the_rows_of_a_guess(tmp_path: Path) -> None:
    source = source_of(tmp_path / "s", records("Frage", "Antwort"))
    guess = find_guess(source)
    shown = preview(source, guess=guess)
    assert (shown.rows, shown.guess, len(shown.unknown)) == (0, guess, 1)
    seen = preview(source, guess=guess, apply_guess=True)
    assert (seen.rows, seen.unknown) == (5, [])
    assert seen.files[0].layouts == {NAME: 5}
    assert seen.guess
    assert len(seen.guess.rows) == 3


def test_there_is_no_guess_if_the_user_has_mapped_the_fields(tmp_path: Path) -> None:
    source = source_of(tmp_path / "s", records("Frage", "Antwort"))
    assert find_guess(source.model_copy(update={"fields": {"instruction": "Frage"}})) is None


def test_records_that_a_layout_reads_are_not_guessed(tmp_path: Path) -> None:
    source = source_of(tmp_path / "s", records("instruction", "output"))
    assert find_guess(source) is None


def test_a_record_without_a_field_of_the_guess_is_not_read() -> None:
    guess = make_guess(records("Frage", "Antwort"))
    assert guess
    reader = GuessReader(guess)
    assert reader.read({"Frage": "Who rows?", "Antwort": "The smith."})
    for value in (
        {"Frage": "Who rows?"},
        {"Frage": "Who rows?", "Antwort": ""},
        {"Frage": "x", "Antwort": "x"},
        [1],
        "x",
    ):
        assert reader.read(value) is None
