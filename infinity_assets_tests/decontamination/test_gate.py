"""The gate against a naive one, which compares every run of every turn with every run of every item as lists of strings."""

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.decontamination.gate import HITS, Gate
from infinity_assets.settings import Decontamination
from infinity_assets_tests.frames import Turns, conversations

FEW = settings(max_examples=60, deadline=None)
WORDS = st.sampled_from(["the", "sum", "of", "a", "x", "3", "17", "多", "少", "苹", "果", "Ｇ４"])
GLUE = st.sampled_from([" ", ", ", "? ", "\n", "。", "-"])
TEXTS = st.lists(st.tuples(WORDS, GLUE), max_size=14).map(lambda parts: "".join(word + glue for word, glue in parts))
ITEMS = st.lists(TEXTS, max_size=4)
ROWS = st.lists(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXTS), min_size=1, max_size=3), max_size=5)
RULES = st.builds(
    Decontamination,
    ngram=st.integers(1, 5),
    min_words=st.integers(0, 3),
    sides=st.sampled_from([("user",), ("user", "assistant"), ("system", "user", "assistant")]),
)


def items_frame(prompts: list[str]) -> pl.DataFrame:
    columns = {"item_id": [f"b#{n}" for n in range(len(prompts))], "benchmark": ["b"] * len(prompts), "prompt": prompts}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def rows_frame(rows: list[Turns]) -> pl.DataFrame:
    ids = pl.Series("row_id", [f"{n:032x}" for n in range(len(rows))], dtype=pl.String)
    return pl.DataFrame({"row_id": ids, "messages": conversations(*rows)})


def tokenised(text: str) -> list[str]:
    return re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff_]+", text.replace("Ｇ４", "G4").lower())


def is_word(token: str) -> bool:
    return bool(re.fullmatch(r"[\u4e00-\u9fff]|[a-z]{2,}", token))


def runs(tokens: list[str], rule: Decontamination) -> list[list[str]]:
    found = [tokens[start : start + rule.ngram] for start in range(len(tokens) - rule.ngram + 1)]
    return [run for run in found if sum(map(is_word, run)) >= rule.min_words]


def naive(rows: list[Turns], items: list[str], rule: Decontamination) -> dict[int, tuple[str, int]]:
    """The strongest method of every contaminated row, and how much it shares."""
    hits = {}
    for number, turns in enumerate(rows):
        looked_at = [tokenised(text) for role, text in turns if role in rule.sides]
        prompts = [tokenised(prompt) for prompt in items]
        exact = [len(turn) for turn in looked_at if turn and turn in prompts]
        shared = [sum(run in runs(prompt, rule) for run in runs(turn, rule)) for turn in looked_at for prompt in prompts]
        if exact:
            hits[number] = ("exact_prompt", max(exact))
        elif any(shared):
            hits[number] = ("ngram", max(shared))
    return hits


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES)
def test_the_gate_finds_what_a_naive_one_finds(rows: list, items: list[str], rule: Decontamination) -> None:
    hits = Gate(items_frame(items), rule).hits(rows_frame(rows))
    assert hits.schema == HITS
    found = {int(row, 16): (method, shared) for row, method, shared in hits.select("row_id", "method", "shared").iter_rows()}
    assert found == naive(rows, items, rule)


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES)
def test_the_evidence_can_be_looked_up(rows: list, items: list[str], rule: Decontamination) -> None:
    """The span stands, word for word, in the named item and in a turn of the named side."""
    for hit in Gate(items_frame(items), rule).hits(rows_frame(rows)).iter_rows(named=True):
        span = f" {hit['span']} "
        item = items[int(hit["item_id"].removeprefix("b#"))]
        turns = [text for role, text in rows[int(hit["row_id"], 16)] if role == hit["side"]]
        assert hit["side"] in rule.sides
        assert span in f" {' '.join(tokenised(item))} "
        assert any(span in f" {' '.join(tokenised(turn))} " for turn in turns)


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES, data=st.data())
def test_verdict_and_evidence_do_not_depend_on_order_or_company(rows: list, items: list[str], rule: Decontamination, data) -> None:
    """A shard more or less, or rows in another order, must not change what is said about a row."""
    frame = rows_frame(rows)
    gate = Gate(items_frame(items), rule)
    hits = gate.hits(frame)
    assert Gate(items_frame(items), rule).hits(frame[data.draw(st.permutations(range(len(rows))))]).equals(hits)
    alone = [gate.hits(frame[number]) for number in range(len(rows))]
    assert pl.concat([pl.DataFrame(schema=HITS), *alone]).sort("row_id").equals(hits)


PROMPT = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


@pytest.mark.parametrize(
    ("content", "method"),
    [
        (PROMPT, "exact_prompt"),
        (PROMPT.upper().replace(",", " -- "), "exact_prompt"),
        (f"Solve this: {PROMPT} Think aloud.", "ngram"),
        ("Natalia sold clips to 48 of her friends in April, and then she", "ngram"),
        ("Natalia sold clips to 48 of her friends in April, and then", None),
        ("Natalia sold clips to 49 of her friends in April, and then he sold half as many clips in May.", None),
    ],
)
def test_the_convention_of_thirteen_tokens(content: str, method: str | None) -> None:
    hits = Gate(items_frame([PROMPT]), Decontamination()).hits(rows_frame([[("user", content)]]))
    assert hits["method"].to_list() == ([method] if method else [])


def test_a_grid_of_numbers_is_no_evidence_but_the_same_prompt_is() -> None:
    grid = " ".join(str(number) for number in range(20))
    gate = Gate(items_frame([grid]), Decontamination())
    assert gate.hits(rows_frame([[("user", f"Add up {grid}")]])).is_empty()
    assert gate.hits(rows_frame([[("user", grid)]]))["method"].to_list() == ["exact_prompt"]


def test_runs_do_not_cross_from_one_text_into_the_next() -> None:
    rule = Decontamination(ngram=4, min_words=0)
    gate = Gate(items_frame(["one two", "three four"]), rule)
    assert gate.hits(rows_frame([[("user", "one two three four")], [("user", "one two"), ("user", "three four five")]])).height == 1
