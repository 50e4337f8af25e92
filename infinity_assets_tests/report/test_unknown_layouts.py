"""Records of unknown layout on the page of `raw_pool`, from the ledger tables alone."""

import json
from pathlib import Path

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.reading.suggest import GUESSED
from infinity_assets.report.unknown_layouts import describe_guess, describe_unknown_layouts, first_advice
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make

ASKED = [{"ask": f"question number {n}", "meta": {"reply": [f"the answer to {n}"]}} for n in range(70)]
PLACES = [{"where": {"x": n, "y": n}} for n in range(3)]


def lines(records: list) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def describe(folder: Path, files: dict[str, str]) -> str:
    reading = read(make(folder, files))
    return describe_unknown_layouts(folder.name, reading.decisions.lazy(), reading.quarantine.lazy())


def test_shapes_have_counts_and_lines_that_make_them_fit(tmp_path: Path) -> None:
    page = describe(tmp_path / "faq", {"a.jsonl": lines([*ASKED, *PLACES]), "b.json": json.dumps(ASKED)})
    assert "| {ask: text, meta: {reply: list of text}} | 140 | a.jsonl |" in page
    assert "| {where: {x: number, y: number}} | 3 | a.jsonl |" in page
    assert (
        "For 140 of them, these lines in `source.yaml` make 50 of 50 tried fit:"
        f"\n\n```yaml\n{GUESSED}\nlayout: alpaca\nfields:" in page
    )
    assert "output: meta.reply" in page
    assert "For 3 of them, these lines in `source.yaml` are a form to fill in" in page
    assert page.endswith("`infinity sources preview faq`.")


def test_records_that_are_not_json_have_a_count_and_the_command(tmp_path: Path) -> None:
    page = describe(tmp_path / "table", {"a.csv": "colour,size\nred,1\nblue,2\n"})
    assert "| {colour: text, size: text} | 2 | a.csv |" in page
    assert "```" not in page
    assert "`infinity sources preview table`" in page


def test_a_source_of_known_layout_has_no_entry(tmp_path: Path) -> None:
    assert describe(tmp_path / "sound", {"a.jsonl": lines([{"question": "q", "answer": "a"}]) + "{"}) == ""


def test_the_page_says_which_mapping_was_guessed(tmp_path: Path) -> None:
    records = [{"Frage": f"Where is item {n}?", "Antwort": f"The item {n} is in the mill."} for n in range(5)]
    source = make(tmp_path / "faq", {"a.jsonl": lines(records)})
    page = describe_guess(read(source, guess="sure").annotations.lazy())
    assert page.startswith("5 rows were read by a guess: `layout: alpaca`, `instruction: Frage`, `output: Antwort`.")
    assert describe_guess(read(source).annotations.lazy()) == ""


def test_the_first_advice_makes_the_most_records_fit(tmp_path: Path) -> None:
    source = make(tmp_path / "faq", {"a.jsonl": lines([*ASKED, *PLACES]), "b.jsonl": lines([{"question": "q"}])})
    reading = read(source)
    lake = Lake(tmp_path / "data")
    outcome = Outcome(
        reading.rows, rows_created=reading.records, decisions=reading.decisions, quarantine=reading.quarantine
    )
    lake.commit(lakes.key("raw_pool", "faq"), outcome, "run", 0.0)
    advice = first_advice(lake, "faq").splitlines()
    assert advice[0] == "# 50 of 50 records tried fit with these lines in source.yaml:"
    assert advice[-1] == "  output: meta.reply"
    assert first_advice(lake, "unknown") == ""
