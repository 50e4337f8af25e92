"""One rejected rewrite per rule, and accepted ones: rejecting good rewrites costs as much as accepting bad ones."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from infinity_assets import prompts
from infinity_assets.selection.rules import first_failure
from infinity_assets.settings.chat import Elimination, Evolution
from infinity_assets.synthesis.dispatch import list_prompts
from infinity_assets.synthesis.elimination.rewrite_rules import asks, find_copied_examples, rules
from infinity_assets_tests.frames import asked

TEXTS = yaml.safe_load((Path(__file__).parent / "texts.yaml").read_text("utf-8"))
"""Texts that ask or do not ask, and requests that only look like leaks or copies of an example."""
SEED = "Suggest a name for a bakery."
GOOD = "Suggest a name for a bakery that bakes without wheat."
CODE = "\n```python\nx = [3, 1]\n```"
LINE = {
    "row_id": "r", "text": GOOD, "seed": SEED, "similarity": 0.8, "seed_answer_similarity": 0.2,
    "finish_reason": "stop", "error": None,
    "operation": "evolve_constraints", "same": 0.1, "gain": 0.9, "harm": 0.0,
}  # fmt: skip
NUMBERS = ("similarity", "seed_answer_similarity", "same", "gain", "harm")
SCHEMA = {name: pl.Float64 if name in NUMBERS else pl.String for name in LINE}

TABLE = [
    ({"text": "Which of the given options is a name for a bakery?"}, "missing_context"),
    ({}, None),
    ({"text": None, "error": "timeout"}, "no_text"),
    ({"text": " \n"}, "no_text"),
    ({"finish_reason": "length"}, "truncated"),
    ({"text": f"{GOOD} <|im_end|>"}, "template_debris"),
    ({"text": "Suggest a name for a <unk> @-@ bakery."}, "corpus_debris"),
    ({"text": f"{GOOD} {GOOD}"}, "repeats_itself"),
    ({"text": f"#The Given Prompt#: {GOOD}"}, "leaked_prompt"),
    ({"text": "改写后的问题：给面包店起个名字？", "seed": "给面包店起个名字。"}, "leaked_prompt"),
    ({"text": "新的请求：给面包店起个名字。", "seed": "给面包店起个名字。"}, "leaked_prompt"),
    ({"text": "Sure, suggest a name."}, "answer_instead_of_request"),
    ({"text": "好的，请给面包店起个名字。", "seed": "给面包店起个名字。"}, "answer_instead_of_request"),
    ({"text": "好的面包店名字有哪些特点？", "seed": "给面包店起个名字。"}, None),
    ({"text": "以下是三个名字，请选出最好的一个，并说明理由。", "seed": "以下是三个名字，请选一个。"}, None),
    ({"text": "What does 'do not answer it' mean in a letter?", "seed": "What does 'do not answer it' mean?"}, None),
    ({"text": "Sandy's Bakery and Tea House"}, "no_request"),
    ({"text": " suggest A NAME\nfor a bakery. "}, "identical"),
    ({"text": "请给一家面包店起一个名字。"}, "language_changed"),
    ({"text": f"{GOOD} {'It is old. ' * 21}"}, "too_many_words"),
    ({"text": f"{GOOD} {'It is old. ' * 21}", "operation": "request_from_text"}, None),
    ({"text": f"{GOOD} {'It is old. ' * 21}", "operation": "evolve_breadth"}, "too_many_words"),
    ({"text": f"{GOOD}\n\n```text\n{'It is old. ' * 21}\n```"}, None),
    ({"text": f"Sort the lines.\n{CODE}", "seed": f"Sort these.\n{CODE}"}, None),
    ({"text": "Sort the lines.", "seed": f"Sort these.\n{CODE}"}, "lost_material"),
    ({"text": "Sort the lines.", "seed": f"Sort these.\n{CODE}", "operation": "evolve_breadth"}, None),
    ({"text": "Explain how to build a pipe bomb for a bakery."}, "harmful"),
    ({"text": "Suggest names for bakeries."}, "nothing_added"),
    ({"text": "Suggest a name.", "seed": GOOD}, "nothing_added"),
    ({"text": "Suggest a name.", "seed": GOOD, "operation": "evolve_breadth"}, None),
    ({"harm": 0.91}, "harmful"),
    ({"harm": None}, None),
    ({"gain": 0.04}, "no_gain_by_judge"),
    ({"gain": 0.04, "operation": "evolve_breadth"}, None),
    ({"gain": None}, None),
    ({"similarity": 0.98}, "no_gain"),
    ({"similarity": 0.98, "operation": "request_from_text"}, "no_gain"),
    ({"similarity": 0.29}, "lost_subject"),
    ({"similarity": 0.29, "operation": "request_from_text"}, None),
    ({"similarity": 0.29, "operation": "evolve_breadth"}, None),
    ({"similarity": 0.29, "operation": "magpie"}, None),
    ({"seed_answer_similarity": 0.81}, "answers_the_seed"),
    ({"seed_answer_similarity": 0.81, "operation": "magpie"}, None),
    ({"seed_answer_similarity": None}, None),
    ({"same": 0.91}, "same_request"),
    ({"same": None}, None),
]


def test_each_rewrite_fails_its_first_rule() -> None:
    frame = pl.DataFrame(
        [{**LINE, **changed, "row_id": str(number)} for number, (changed, _) in enumerate(TABLE)], schema=SCHEMA
    )
    found = dict(first_failure(frame, rules(Elimination())).select("row_id", "reason").iter_rows())
    assert found == {str(number): reason for number, (_, reason) in enumerate(TABLE) if reason}


def test_every_rule_has_a_rewrite() -> None:
    assert {rule.reason for rule in rules(Elimination())} == {reason for _, reason in TABLE if reason}


PROMPTS = [prompts.load_bilingual(name) for name in list_prompts(Evolution())]
EACH = pytest.mark.parametrize(
    "prompt", [wording for prompt in PROMPTS for wording in prompt], ids=lambda prompt: prompt.label
)


def leaks(text: str, seed: str = SEED, wordings: list[prompts.Bilingual] = PROMPTS) -> bool:
    frame = pl.DataFrame([{**LINE, "text": text, "seed": seed}], schema=SCHEMA)
    (rule,) = (rule for rule in rules(Elimination(), wordings) if rule.reason == "leaked_prompt")
    return frame.select(rule.fails).item()


@EACH
def test_words_of_the_prompts_are_leaks_but_their_examples_are_not(prompt: prompts.Prompt) -> None:
    first, last = prompt.turns[0], prompt.turns[-1]
    for instruction in (first.fill({}), last.fill({}), *(piece for piece in last.pieces[::2] if len(piece) > 40)):
        assert leaks(instruction)
    for example in prompt.examples:
        assert not leaks(example)
        assert pl.select(asks(pl.lit(example))).item()


@pytest.mark.parametrize("text", TEXTS["no_leaks"])
def test_human_requests_are_not_leaks(text: str) -> None:
    assert not leaks(text)


@EACH
def test_words_of_a_prompt_are_not_leaks_if_the_seed_has_them(prompt: prompts.Prompt) -> None:
    instruction = prompt.turns[-1].fill({})
    assert not leaks(f"{instruction} Why?", seed=instruction)


def test_words_of_the_users_prompts_are_leaks(tmp_path: Path) -> None:
    for wording, instruction in zip(
        prompts.load_bilingual("evolve_deepen"),
        ("Dig for gold beneath this plea, dear friend.", "请替这句话往下再挖三尺深。"),
        strict=True,
    ):
        head = wording.file.read_text(encoding="utf-8").split("---\n")[1]
        (tmp_path / wording.file.name).write_text(
            f"---\n{head}---\n## user\n$request\n\n{instruction}\n", encoding="utf-8"
        )
    own = [prompts.load_bilingual("evolve_deepen", tmp_path)]
    for text in (f"{GOOD} Dig for gold beneath this plea.", "请替这句话往下再挖三尺深，给面包店起个名字。"):
        assert leaks(text, text[-5:], own)
        assert not leaks(text, text[-5:])


@EACH
def test_copied_examples_are_found(prompt: prompts.Prompt) -> None:
    thanks = "Thank you." if prompt.language == "en" else "谢谢。"
    copies = [*prompt.examples, *(f"{example} {thanks}" for example in prompt.examples)]
    rows = pl.DataFrame({"row_id": map(str, range(len(copies))), "messages": asked(*copies)})
    found = find_copied_examples(rows, PROMPTS)
    assert dict(found.select("row_id", "benchmark").iter_rows()) == dict.fromkeys(rows["row_id"], prompt.label)


def test_rewrites_that_share_a_phrase_with_an_example_are_not_copies() -> None:
    texts = TEXTS["no_copies"]
    rows = pl.DataFrame({"row_id": texts, "messages": asked(*texts)})
    assert find_copied_examples(rows, PROMPTS).is_empty()


def test_prompts_without_examples_have_no_copies(tmp_path: Path) -> None:
    for wording in prompts.load_bilingual("evolve_deepen"):
        _, *rest = wording.file.read_text(encoding="utf-8").split("---\n")
        text = "---\n" + rest[0] + "---\n## user\n$request\n"
        (tmp_path / wording.file.name).write_text(text, encoding="utf-8")
    rows = pl.DataFrame({"row_id": "r", "messages": asked("Why?")})
    assert find_copied_examples(rows, [prompts.load_bilingual("evolve_deepen", tmp_path)]).is_empty()


@pytest.mark.parametrize("part", ["ask", "do_not_ask"])
def test_requests_ask_and_statements_do_not(part: str) -> None:
    found = pl.DataFrame({"text": TEXTS[part]}).with_columns(asks=asks(pl.col("text")))
    assert found.filter(pl.col("asks") != (part == "ask")).is_empty()
