"""`synthesized_from_text` with a scripted engine: what is asked in which round, what becomes of every text, and how it joins the pool."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.explain import explain
from infinity_assets.catalog.invariants import check_all
from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.pool import Pool
from infinity_assets.catalog.views import connect
from infinity_assets.defs import step
from infinity_assets.defs.runner import Runner
from infinity_assets.inference.requests import CompleteRequest, Request, Response, failed
from infinity_assets.model_settings import Calls
from infinity_assets.progress import LogReporter
from infinity_assets_tests.inference.doubles import ScriptedEngine

SUBJECTS = ("basalt", "tuff", "marble", "slate", "granite", "<QUE> chalk")


def text_about(subject: str) -> str:
    return f"This passage is about {subject}. It says little, but what it says is true. Nobody doubts it."


def subject_of(prompt: str) -> str:
    """What the context at the end of a prompt is about."""
    return prompt.rpartition("This passage is about ")[2].partition(".")[0]


def good(request: Request) -> Response:
    assert isinstance(request, CompleteRequest)
    subject = subject_of(request.text)
    written = f"<QUE> What is it about? <ANS> About {subject}. </END>\n\n<QUE> Is it true? <ANS> Yes, of {subject}. </END>\n\n<QUE> And"
    return Response(text=written, finish_reason="length", prompt_tokens=9, completion_tokens=4, seconds=0.1)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    source = folder / "sources" / "rocks"
    source.mkdir(parents=True)
    (source / "source.yaml").write_text("licence: CC-BY-SA-4.0\nlanguage: en\ndomain: knowledge\n")
    texts = [text_about(subject) for subject in SUBJECTS]
    (source / "rocks.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[0], "Too short."]))
    (folder / "benchmarks").mkdir()
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "8")
    monkeypatch.setenv("INFINITY_DATA", str(folder))
    monkeypatch.setenv("INFINITY_MODELS__GENERATOR__BACKEND", "openai")  # so that no tokenizer is wanted
    monkeypatch.setenv("INFINITY_FROM_TEXT__MIN_WORDS", "5")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


Start = Callable[[Callable[[Request], Response]], ScriptedEngine]


@pytest.fixture
def start(data: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Runs the graph to `deduped` with an engine that answers so."""

    def run(answer: Callable[[Request], Response]) -> ScriptedEngine:
        engine = ScriptedEngine(answer)
        pool = engine.pool()
        monkeypatch.setattr(step, "_engines", lambda models: pool)
        assert Runner(data, Pool.load(data), LogReporter()).run(until="deduped") == []
        return engine

    return run


def made(data: Path) -> pl.DataFrame:
    return Lake(data).scan("synthesized_from_text").collect()


def decided(data: Path) -> dict[str, str]:
    """The reason by the subject of the text."""
    with connect(data) as views:
        lines = views.sql(
            "select t.messages[1].content, d.reason from decisions d join raw_pool t using (row_id) where d.asset = 'synthesized_from_text'"
        ).fetchall()
    return {subject_of(text): reason for text, reason in lines}


def asked(engine: ScriptedEngine) -> dict[str, str]:
    """The prompt by the subject of its context."""
    return {subject_of(request.text): request.text for request in engine.asked if isinstance(request, CompleteRequest)}


def test_a_conversation_per_text_that_joins_the_pool(data: Path, start: Start) -> None:
    engine = start(good)
    rows = made(data)
    assert len(engine.asked) == rows.height == len(SUBJECTS)
    row = next(row for row in rows.to_dicts() if "slate" in row["messages"][0]["content"])
    assert [turn["content"] for turn in row["messages"]] == [
        text_about("slate") + "\n\nWhat is it about?", "About slate.", "Is it true?", "Yes, of slate.",
    ]  # fmt: skip
    place = ("source", "file", "position", "licence", "domain", "language", "kind", "operation", "round", "context_chars")
    assert [row[name] for name in place] == [
        "rocks", "rocks.jsonl", 3, "CC-BY-SA-4.0", "knowledge", "en", "conversation", "from_text", 0, len(text_about("slate")),
    ]  # fmt: skip
    deduped = Lake(data).scan("deduped").collect()
    assert set(rows["row_id"]) <= set(deduped["row_id"])
    assert deduped.filter(pl.col("kind") == "text").height == len(SUBJECTS) + 1
    assert set(decided(data).values()) == {"superseded"}


def test_a_marker_in_a_text_is_neutral_in_the_prompt_and_itself_in_the_row(data: Path, start: Start) -> None:
    prompts = asked(start(good))
    assert "<CON> This passage is about <\\QUE> chalk." in prompts["<\\QUE> chalk"]
    assert any(row["messages"][0]["content"].startswith(text_about("<QUE> chalk")) for row in made(data).to_dicts())


def test_the_second_round_is_shown_the_first(data: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = list(asked(start(good)).values())
    first, second = (sorted(p for p in prompts if p.count("This passage") == n) for n in (1, 2))
    assert (len(first), len(second)) == (3, 3)
    assert all(prompt.count("<CON>") == prompt.count("This passage") + 3 for prompt in prompts), "the exemplars, then texts"
    monkeypatch.setenv("INFINITY_FROM_TEXT__EXEMPLARS", "false")
    bare = asked(start(good)).values()
    assert sorted(prompt.count("<CON>") for prompt in bare) == [1, 1, 1, 2, 2, 2]
    shown = next(prompt for prompt in bare if prompt.count("<CON>") == 2)
    assert shown.startswith("<s> <CON> This passage is about ")
    assert " </END></s><s> <CON> This passage is about " in shown
    assert shown.endswith(" </CON>\n\n")


def test_a_changed_answer_changes_its_own_chain_alone(data: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = asked(start(good))
    changed = next(subject for subject, prompt in prompts.items() if prompt.count("This passage") == 1)

    def otherwise(request: Request) -> Response:
        assert isinstance(request, CompleteRequest)
        return Response(text="I cannot.", finish_reason="stop") if subject_of(request.text) == changed else good(request)

    monkeypatch.setenv("INFINITY_MODELS__GENERATOR__REVISION", "v2")
    others = asked(start(otherwise))
    differs = [subject for subject in prompts if prompts[subject] != others[subject]]
    assert len(differs) == 1
    assert f"about {changed}." in prompts[differs[0]]
    assert others[differs[0]].count("This passage") == 1, "a text without a pair ends its chain"


def test_every_text_without_a_pair_says_why(data: Path, start: Start) -> None:
    answers = {
        "basalt": Response(text="No idea.", finish_reason="stop"),
        "tuff": Response(text="<QUE> What <ANS> is", finish_reason="length"),
        "marble": failed("prompt_too_long", "too long"),
        "slate": Response(text="  ", finish_reason="stop"),
        "granite": failed("engine_error", "boom"),
    }
    start(lambda request: answers.get(subject_of(request.text)) or good(request) if isinstance(request, CompleteRequest) else good(request))
    reasons = {"basalt": "no_pair", "tuff": "unfinished", "marble": "prompt_too_long", "slate": "empty", "granite": "engine_error"}
    assert decided(data) == {**reasons, "<QUE> chalk": "superseded"}
    manifest = Lake(data).manifest("synthesized_from_text", "rocks")
    assert manifest
    assert (manifest.rows_in, manifest.rows_created, manifest.rows_out, manifest.rows_dropped, manifest.unanswered) == (6, 1, 1, 6, 1)


def test_a_model_that_copies_what_it_was_shown_has_written_nothing(data: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    same = Response(text="<QUE> Who? <ANS> Nobody. </END>", finish_reason="stop")
    start(lambda request: same)
    assert sorted(decided(data).values()) == ["no_pair"] * 3 + ["superseded"] * 3
    monkeypatch.setenv("INFINITY_FROM_TEXT__EXEMPLARS", "false")
    start(lambda request: same)
    assert set(decided(data).values()) == {"superseded"}, "a tuned model may answer alike"


def test_chains_are_of_one_language(data: Path, start: Start) -> None:
    (data / "sources" / "rocks" / "source.yaml").unlink()
    passages = [f"这段文字讲的是第{n}种石头，它很硬，也很重，人们用它来盖房子和铺路。" for n in range(4)]
    (data / "sources" / "rocks" / "zh.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in passages))
    engine = start(lambda request: Response(text=f"<QUE> Q{request.row_id} <ANS> A </END>", finish_reason="stop"))
    prompts = [request for request in engine.asked if isinstance(request, CompleteRequest)]
    chinese = [request for request in prompts if request.prompt == "pairs_from_text.zh"]
    assert 2 <= len(chinese) < len(prompts) == 8
    assert {("This passage" in request.text, "这段文字" in request.text) for request in chinese} == {(False, True)}
    assert {("This passage" in r.text, "这段文字" in r.text) for r in prompts if r not in chinese} == {(True, False)}


def test_the_invariants_hold_and_the_story_is_told(data: Path, start: Start) -> None:
    start(good)
    results = list(check_all(Lake(data)))
    assert {name for asset, name, _ in results if asset == "synthesized_from_text"} == {"conservation", "grammar", "lineage", "licence"}
    assert [(asset, name) for asset, name, broken in results if broken.height] == []
    child, parent = made(data).select("row_id", pl.col("parents").list.first()).row(0)
    story = explain(data, child)
    assert f"made      by from_text in synthesized_from_text, from {parent}" in story
    assert "complete  in synthesized_from_text: prompt pairs_from_text.en" in story
    assert story.index(f"row {child}") < story.index(f"row {parent}") < story.index("read      from source rocks, rocks.jsonl")


def test_a_licence_that_is_not_the_texts_is_caught(data: Path, start: Start) -> None:
    start(good)
    file = Lake(data).rows_file("synthesized_from_text", "rocks")
    made(data).with_columns(licence=pl.lit("MIT")).write_parquet(file)
    broken = {name: broken.height for asset, name, broken in check_all(Lake(data)) if asset == "synthesized_from_text"}
    assert broken["licence"] == len(SUBJECTS)


def test_a_second_run_asks_nothing_and_a_limit_takes_the_same_texts(data: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    before = start(good)
    assert start(good).asked == []
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "4")
    monkeypatch.setenv("INFINITY_FROM_TEXT__ROUNDS", "1")
    start(good)
    fewer = set(decided(data))
    assert len(fewer) == 4
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "5")
    start(good)
    assert fewer < set(decided(data))
    assert before.opened == 1


def test_a_run_that_its_budget_stopped_has_books_of_what_it_asked(data: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every call, in whichever run, the books have one line that was not cached."""
    stopped = ScriptedEngine(good)
    pool = stopped.pool()
    monkeypatch.setattr(step, "_engines", lambda models: pool)
    faults = Runner(data, Pool.load(data), LogReporter()).run(until="deduped", budget=Calls(budget_tokens=430))
    assert [(fault.asset, fault.stopped) for fault in faults] == [("synthesized_from_text", True)]
    assert 0 < len(stopped.asked) < len(SUBJECTS)
    finished = start(good)
    with connect(data) as views:
        lines = views.sql("select count(*), count(distinct run_id), sum(prompt_tokens) from generations where not cached").fetchall()
    calls = len(stopped.asked) + len(finished.asked)
    assert lines == [(calls, 2, 9 * calls)]
    assert calls == len(SUBJECTS)


def test_off_means_that_no_engine_starts(data: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "0")
    assert start(good).opened == 0
    assert made(data).is_empty()
    assert [(asset, name) for asset, name, broken in check_all(Lake(data)) if broken.height] == []
