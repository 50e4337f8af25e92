"""The contract of prompts: equal variables in both languages, valid examples, and a key that covers text and version."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.inference import batch
from infinity_assets.inference.requests import request_key
from infinity_assets.scoring import judge, labels
from infinity_assets.settings.chat import Evolution
from infinity_assets.settings.models import Sampling
from infinity_assets.synthesis.strategies.evol_instruct import EvolInstruct

OPERATORS = EvolInstruct().prompts(Evolution())[:-1]

EACH = pytest.mark.parametrize("name", prompts.names())
LANGUAGE = pytest.mark.parametrize("language", prompts.LANGUAGES)
GOOD = """---
version: 3
purpose: Say it again.
variables:
  request: what is said
---
## user
Again: $request for $$5, ${request}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a user's folder with one prompt in it."""
    (tmp_path / "evolve_deepen.en.md").write_text(GOOD, encoding="utf-8")
    return tmp_path


ENGLISH_ONLY = {"label_zh", "lift", "suggest_mapping"}
"""Prompts about labels and names of fields, which are mostly English, and so are these prompts."""


@EACH
def test_both_languages_have_the_same_variables_and_a_description(name: str) -> None:
    english, chinese = prompts.load_bilingual(name)
    assert prompts.languages(name) == (("en",) if name in ENGLISH_ONLY else ("en", "zh"))
    assert list(english.variables) == list(chinese.variables)
    for prompt in prompts.load_all(name):
        assert prompt.variables
        assert all(prompt.variables.values())
        assert prompt.purpose
        assert prompt.version >= 1
    texts = (chinese.purpose, *chinese.variables.values(), chinese.turns[0].fill({}))
    assert name in ENGLISH_ONLY or all(re.search("[\u4e00-\u9fff]", text) for text in texts)


def test_names_and_hashes_of_prompts_are_unique() -> None:
    loaded = [prompt for name in prompts.names() for prompt in prompts.load_all(name)]
    assert len({prompt.hash for prompt in loaded}) == len(loaded)
    files = sorted(file.name for file in Path(prompts.__file__).parent.glob("*.md"))
    assert files == sorted(f"{prompt.label}.md" for prompt in loaded)
    with pytest.raises(InfinityError, match="There is no prompt lift in zh"):
        prompts.load("lift", "zh")
    with pytest.raises(InfinityError, match="There is no prompt nonsense"):
        prompts.load("nonsense", "en")


@pytest.mark.parametrize(
    ("tag", "language"),
    [*((tag, "zh") for tag in ("zh", "zh-Hant", "ZH-cn")), *((tag, "en") for tag in ("en", "zha", "und", "", None))],
)
def test_the_language_of_a_row_selects_the_prompt(tag: str | None, language: str) -> None:
    assert prompts.load_bilingual("tag").choose(tag).language == language
    rows = pl.DataFrame({"row_id": "r", "language": tag, "request": "?"}, schema_overrides={"language": pl.String})
    (request,) = batch.build_prompt_requests(prompts.load_bilingual("evolve_deepen"), rows, Sampling(), "s")
    assert request.prompt == f"evolve_deepen.{language}"


@pytest.mark.parametrize("name", OPERATORS)
def test_examples_of_evolution_stay_within_the_word_limit(name: str) -> None:
    sizes: tuple[Callable[[str], int], ...] = (lambda text: len(text.split()), len)
    for prompt, size, most in zip(prompts.load_bilingual(name), sizes, (20, 30), strict=True):
        seeds = [turn.fill({}).split("\n")[1] for turn in prompt.turns if turn.role == "user"]
        for seed, example in zip(seeds[:-1], prompt.examples, strict=True):
            assert size(example) - size(seed) <= most


@LANGUAGE
def test_examples_are_answers_that_the_engine_allows(language: prompts.Language) -> None:
    allowed = labels.schema(3)["properties"]
    for example in map(json.loads, prompts.load("tag", language).examples):
        assert list(example) == list(allowed)
        assert 1 <= len(example["ability"]) <= 3
        assert all(re.fullmatch(allowed["ability"]["items"]["pattern"], label) for label in example["ability"])
    for name in ("judge_answer", "judge_pair"):
        assert set(prompts.load(name, language).examples) <= set(judge.DIGITS)
    assert set(prompts.load("same_request", language).examples) == {"yes", "no"}


def test_the_lift_prompt_lists_all_abilities_and_its_examples_use_some() -> None:
    lift = prompts.load("lift", "en")
    listed = lift.turns[0].fill({}).rpartition(": ")[2].rstrip(".")
    assert listed.split(", ") == list(labels.ABILITIES)
    for example in map(json.loads, lift.examples):
        assert list(example) == ["cate_ability"]
        assert set(example["cate_ability"]) < set(labels.ABILITIES)


def test_chinese_names_in_the_examples_are_accepted() -> None:
    shown = pl.DataFrame(
        {"row_id": "x", "text": prompts.load("label_zh", "en").examples, "error": None},
        schema_overrides={"error": pl.String},
    )
    assert labels.parse_chinese_names(shown)["label_zh"].to_list() == shown["text"].to_list()


def keys(folder: Path | None) -> dict[tuple[str, str], str]:
    """Return the keys of requests made with every prompt in both languages."""
    rows = pl.DataFrame([{"row_id": language, "language": language} for language in prompts.LANGUAGES])
    found = {}
    for name in prompts.names():
        prompt = prompts.load_bilingual(name, folder)
        filled = rows.with_columns(pl.lit("x").alias(variable) for variable in prompt.en.variables)
        for request in batch.build_prompt_requests(prompt, filled, Sampling(), "stage"):
            found[name, request.row_id] = request_key("model@main", request)
    return found


@cache
def our_keys() -> dict[tuple[str, str], str]:
    return keys(None)


@pytest.mark.parametrize(
    ("name", "language"), [(name, language) for name in prompts.names() for language in prompts.languages(name)]
)
def test_a_changed_prompt_changes_the_keys_of_its_own_requests_only(
    name: str, language: prompts.Language, tmp_path: Path
) -> None:
    before, ours = our_keys(), prompts.load(name, language)
    file = tmp_path / ours.file.name
    file.write_text(ours.file.read_text(encoding="utf-8"), encoding="utf-8")
    assert keys(tmp_path) == before, "a copy of our file has the same keys"
    file.write_text(file.read_text(encoding="utf-8").replace("## user\n", "## user\n!", 1), encoding="utf-8")
    after = keys(tmp_path)
    assert {place for place in before if before[place] != after[place]} == {
        (name, other) for other in prompts.LANGUAGES if other == language or name in ENGLISH_ONLY
    }
    others = [other for other in prompts.names() if other != name]
    assert list(prompts.hashes(tmp_path, *others)) == list(prompts.hashes(None, *others))
    assert list(prompts.hashes(tmp_path, name)) != list(prompts.hashes(None, name))


def test_a_new_version_changes_the_keys_and_a_new_head_does_not(folder: Path) -> None:
    file, before = folder / "evolve_deepen.en.md", keys(folder)
    file.write_text(GOOD.replace("Say it again", "Repeat").replace("what is said", "what was said"), encoding="utf-8")
    assert prompts.load("evolve_deepen", "en", folder).purpose == "Repeat."
    assert keys(folder) == before
    file.write_text(GOOD.replace("version: 3", "version: 4"), encoding="utf-8")
    assert keys(folder) != before


def test_a_users_file_replaces_ours(folder: Path) -> None:
    (folder / "README.md").write_text("Mine.")
    (folder / ".evolve_deepen.en.md.swp").write_bytes(b"\xff")
    prompts.check_folder(folder)
    english, chinese = prompts.load_bilingual("evolve_deepen", folder)
    assert english.turns[0].fill({"request": "$$ go"}) == "Again: $$ go for $5, $$ go"
    assert chinese == prompts.load("evolve_deepen", "zh")


FAULTS = [
    ("Again: $request", "begins with a line of ---"),
    (GOOD.replace("---\n", "--\n"), "begins with a line of ---"),
    (GOOD.replace("purpose: Say it again.\n", ""), "its head must have version, purpose and variables"),
    (GOOD.replace("variables:\n  request: what is said", "variables: [request]"), "a list of `name: description`"),
    (GOOD.replace("what is said", ""), "a list of `name: description`"),
    (GOOD.replace("purpose: Say", "purpose: 'Say"), "quoted scalar"),
    (GOOD.replace("version: 3", "version: new"), "whole number from 1, not 'new'"),
    (GOOD.replace("$request", "$reqest"), "uses the variables reqest, request, but its head describes request"),
    (
        GOOD.replace("  request: what", "  answer: it\n  request: what"),
        "uses the variables request, but its head describes answer, request",
    ),
    (GOOD.replace("$$5", "$5"), "write $$ for the sign itself"),
    (GOOD.replace("## user", "## Task"), "`## Task` is not a role"),
    (GOOD.replace("## user", "## assistant"), "alternating"),
    (GOOD.replace("## user\n", "## system\nBe kind.\n\n## assistant\nI am.\n\n## user\n"), "alternating"),
    (GOOD.replace("## user\n", "Mind:\n## user\n"), "alternating"),
    (GOOD.replace("## user\n", "## system\n\n## user\n"), "`## system` is empty"),
    (
        GOOD.replace("$request", "$one").replace("${request}", "").replace("  request", "  one"),
        "the variables of this prompt are request, not one",
    ),
    (b"\xff\xfe", "can't decode"),
]


@pytest.mark.parametrize(("written", "says"), FAULTS)
def test_an_invalid_file_is_named_in_one_sentence(folder: Path, written: str | bytes, says: str) -> None:
    file = folder / "evolve_deepen.en.md"
    file.write_bytes(written.encode() if isinstance(written, str) else written)
    with pytest.raises(InfinityError, match=re.escape(str(file))) as error:
        prompts.check_folder(folder)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["evolve_deeper.en.md", "evolve_deepen.md", "evolve_deepen.fr.md", "evolve_deepen.en.txt"]
)
def test_a_file_with_an_unknown_name_raises(folder: Path, name: str) -> None:
    (folder / name).write_text(GOOD)
    with pytest.raises(InfinityError, match=rf"{re.escape(name)} does not replace a prompt"):
        prompts.check_folder(folder)
