"""`synthesized_from_text` with a scripted engine: rounds, decisions on texts, and the way into the pool."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.explain import explain
from infinity_assets.catalog.views import connect
from infinity_assets.defs.checks import check_lake
from infinity_assets.defs.registry import find
from infinity_assets.inference.requests import CompleteRequest, Request, Response, make_failure
from infinity_assets.settings.models import Calls
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.inference.doubles import ScriptedEngine

SUBJECTS = ("basalt", "tuff", "marble", "slate", "granite", "<QUE> chalk")


def text_about(subject: str) -> str:
    return f"This passage is about {subject}. It says little, but what it says is true. Nobody doubts it."


def subject_of(prompt: str) -> str:
    """Return the subject of the context at the end of a prompt."""
    return prompt.rpartition("This passage is about ")[2].partition(".")[0]


def good(request: Request) -> Response:
    assert isinstance(request, CompleteRequest)
    subject = subject_of(request.text)
    written = f"<QUE> What is it about? <ANS> About {subject}. </END>\n\n<QUE> Is it true? <ANS> Yes, of {subject}. </END>\n\n<QUE> And"
    return Response(text=written, finish_reason="length", prompt_tokens=9, completion_tokens=4, seconds=0.1)


SETTINGS = {
    "FROM_TEXT__MAX_TEXTS": 8,
    "FROM_TEXT__MIN_WORDS": 5,
    "MODELS__GENERATOR__BACKEND": "openai",
}  # needs no tokenizer


class Texts(Graph):
    """A graph with passages about rocks."""

    def start(self, answer: Callable[[Request], Response], until: str = "synthesized_from_text") -> ScriptedEngine:
        """Make the rows with a new scripted engine, and return it."""
        engine = ScriptedEngine(answer)
        self.use(engine.pool())
        self.make(until)
        return engine

    def made(self) -> pl.DataFrame:
        return self.rows("synthesized_from_text")

    def decided(self) -> dict[str, str]:
        """Return the reason of each decision, by the subject of the text."""
        with connect(self.data) as views:
            lines = views.sql(
                "select t.messages[1].content, d.reason from decisions d join raw_pool t using (row_id) "
                "where d.asset = 'synthesized_from_text'"
            ).fetchall()
        return {subject_of(text): reason for text, reason in lines}


def with_texts(folder: Path, patch: pytest.MonkeyPatch) -> Texts:
    graph = Texts(folder, patch, SETTINGS)
    texts = [text_about(subject) for subject in SUBJECTS]
    records = [{"text": text} for text in [*texts, texts[0], "Too short."]]
    source = graph.source("rocks", records, licence="CC-BY-SA-4.0", language="en", domain="knowledge")
    (source / "rows.jsonl").rename(source / "rocks.jsonl")
    return graph


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Texts:
    """The texts, before any asset is made."""
    return with_texts(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Texts, ScriptedEngine]:
    with pytest.MonkeyPatch.context() as patch:
        graph = with_texts(tmp_path_factory.mktemp("finished"), patch)
        return graph, graph.start(good, until="deduped")


@pytest.fixture
def asked_for(finished: tuple[Texts, ScriptedEngine]) -> ScriptedEngine:
    """The engine behind `started`."""
    return finished[1]


@pytest.fixture
def started(finished: tuple[Texts, ScriptedEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Texts:
    """The texts, with all assets up to `deduped` made from good answers."""
    return finished[0].copy(tmp_path, monkeypatch, SETTINGS)


def asked(engine: ScriptedEngine) -> dict[str, str]:
    """Return the prompts by the subject of their context."""
    return {subject_of(request.text): request.text for request in engine.asked if isinstance(request, CompleteRequest)}


def test_every_text_gets_a_conversation_that_joins_the_pool(started: Texts, asked_for: ScriptedEngine) -> None:
    rows = started.made()
    assert len(asked_for.asked) == rows.height == len(SUBJECTS)
    row = next(row for row in rows.to_dicts() if "slate" in row["messages"][0]["content"])
    assert [turn["content"] for turn in row["messages"]] == [
        text_about("slate") + "\n\nWhat is it about?", "About slate.", "Is it true?", "Yes, of slate.",
    ]  # fmt: skip
    expected = {
        "source": "rocks", "file": "rocks.jsonl", "position": 3, "licence": "CC-BY-SA-4.0", "domain": "knowledge", "language": "en",
        "kind": "conversation", "operation": "from_text", "round": 0, "context_chars": len(text_about("slate")),
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    deduped = started.rows("deduped")
    assert set(rows["row_id"]) <= set(deduped["row_id"])
    assert deduped.filter(pl.col("kind") == "text").height == len(SUBJECTS) + 1
    assert set(started.decided().values()) == {"superseded"}


def test_a_marker_in_a_text_is_escaped_in_the_prompt_and_unchanged_in_the_row(
    started: Texts, asked_for: ScriptedEngine
) -> None:
    prompts = asked(asked_for)
    assert "<CON> This passage is about <\\QUE> chalk." in prompts["<\\QUE> chalk"]
    assert any(row["messages"][0]["content"].startswith(text_about("<QUE> chalk")) for row in started.made().to_dicts())


def test_prompts_of_the_second_round_contain_the_first(
    started: Texts, asked_for: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = list(asked(asked_for).values())
    first, second = (sorted(p for p in prompts if p.count("This passage") == n) for n in (1, 2))
    assert (len(first), len(second)) == (3, 3)
    assert all(prompt.count("<CON>") == prompt.count("This passage") + 3 for prompt in prompts), (
        "the exemplars, then texts"
    )
    monkeypatch.setenv("INFINITY_FROM_TEXT__EXEMPLARS", "false")
    bare = asked(started.start(good)).values()
    assert sorted(prompt.count("<CON>") for prompt in bare) == [1, 1, 1, 2, 2, 2]
    shown = next(prompt for prompt in bare if prompt.count("<CON>") == 2)
    assert shown.startswith("<s> <CON> This passage is about ")
    assert " </END></s><s> <CON> This passage is about " in shown
    assert shown.endswith(" </CON>\n\n")


def test_a_changed_answer_changes_only_its_own_chain(
    started: Texts, asked_for: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = asked(asked_for)
    changed = next(subject for subject, prompt in prompts.items() if prompt.count("This passage") == 1)

    def otherwise(request: Request) -> Response:
        assert isinstance(request, CompleteRequest)
        return (
            Response(text="I cannot.", finish_reason="stop") if subject_of(request.text) == changed else good(request)
        )

    monkeypatch.setenv("INFINITY_MODELS__GENERATOR__REVISION", "v2")
    others = asked(started.start(otherwise))
    differs = [subject for subject in prompts if prompts[subject] != others[subject]]
    assert len(differs) == 1
    assert f"about {changed}." in prompts[differs[0]]
    assert others[differs[0]].count("This passage") == 1, "a text without a pair ends its chain"


def test_every_text_without_a_pair_has_a_reason(graph: Texts) -> None:
    answers = {
        "basalt": ("no_pair", Response(text="No idea.", finish_reason="stop")),
        "tuff": ("unfinished", Response(text="<QUE> What <ANS> is", finish_reason="length")),
        "marble": ("prompt_too_long", make_failure("prompt_too_long", "too long")),
        "slate": ("empty", Response(text="  ", finish_reason="stop")),
        "granite": ("engine_error", make_failure("engine_error", "boom")),
    }

    def answer(request: Request) -> Response:
        assert isinstance(request, CompleteRequest)
        _, given = answers.get(subject_of(request.text), ("", None))
        return given or good(request)

    graph.start(answer)
    reasons = {subject: reason for subject, (reason, _) in answers.items()}
    assert graph.decided() == {**reasons, "<QUE> chalk": "superseded"}
    made = graph.manifest("synthesized_from_text", "rocks")
    assert (made.rows_in, made.rows_created, made.rows_out, made.rows_dropped, made.unanswered) == (6, 1, 1, 6, 1)


def test_copies_of_examples_in_the_prompt_are_rejected(graph: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    same = Response(text="<QUE> Who? <ANS> Nobody. </END>", finish_reason="stop")
    graph.start(lambda request: same)
    assert sorted(graph.decided().values()) == ["no_pair"] * 3 + ["superseded"] * 3
    monkeypatch.setenv("INFINITY_FROM_TEXT__EXEMPLARS", "false")
    graph.start(lambda request: same)
    assert set(graph.decided().values()) == {"superseded"}, "a tuned model may answer alike"


def test_a_chain_has_one_language(graph: Texts) -> None:
    (graph.data / "sources" / "rocks" / "source.yaml").unlink()
    passages = [f"这段文字讲的是第{n}种石头，它很硬，也很重，人们用它来盖房子和铺路。" for n in range(4)]
    (graph.data / "sources" / "rocks" / "zh.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in passages)
    )
    engine = graph.start(lambda request: Response(text=f"<QUE> Q{request.row_id} <ANS> A </END>", finish_reason="stop"))
    prompts = [request for request in engine.asked if isinstance(request, CompleteRequest)]
    chinese = [request for request in prompts if request.prompt == "pairs_from_text.zh"]
    assert 2 <= len(chinese) < len(prompts) == 8
    assert {("This passage" in request.text, "这段文字" in request.text) for request in chinese} == {(False, True)}
    assert {("This passage" in r.text, "这段文字" in r.text) for r in prompts if r not in chinese} == {(True, False)}


def test_the_invariants_hold_and_explain_shows_the_origin(started: Texts) -> None:
    results = list(check_lake(started.lake))
    checked = {name for asset, name, _ in results if asset == "synthesized_from_text"}
    assert checked == set(find("synthesized_from_text").invariants)
    assert [(asset, name) for asset, name, broken in results if broken.height] == []
    child, parent = started.made().select("row_id", pl.col("parents").list.first()).row(0)
    story = explain(started.data, child)
    assert f"made      by from_text in synthesized_from_text, from {parent}" in story
    assert "complete  in synthesized_from_text: prompt pairs_from_text.en" in story
    assert (
        story.index(f"row {child}")
        < story.index(f"row {parent}")
        < story.index("read      from source rocks, rocks.jsonl")
    )


def test_a_licence_other_than_the_texts_breaks_an_invariant(started: Texts) -> None:
    file = started.lake.rows_file("synthesized_from_text", "rocks")
    started.made().with_columns(licence=pl.lit("MIT")).write_parquet(file)
    broken = {
        name: broken.height for asset, name, broken in check_lake(started.lake) if asset == "synthesized_from_text"
    }
    assert broken["licence"] == len(SUBJECTS)


def test_a_second_run_makes_no_call_and_a_limit_selects_the_same_texts(
    started: Texts, asked_for: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert started.start(good).asked == []
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "4")
    monkeypatch.setenv("INFINITY_FROM_TEXT__ROUNDS", "1")
    started.start(good)
    fewer = set(started.decided())
    assert len(fewer) == 4
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "5")
    started.start(good)
    assert fewer < set(started.decided())
    assert asked_for.opened == 1


def test_a_run_stopped_by_its_budget_records_its_calls(graph: Texts) -> None:
    """Over all runs, `generations` has one line that is not cached for every call."""
    stopped = ScriptedEngine(good)
    graph.use(stopped.pool())
    _, faults = graph.run("deduped", budget=Calls(budget_tokens=430))
    assert [(fault.asset, fault.stopped) for fault in faults] == [("synthesized_from_text", True)]
    assert 0 < len(stopped.asked) < len(SUBJECTS)
    finished = graph.start(good)
    with connect(graph.data) as views:
        lines = views.sql(
            "select count(*), count(distinct run_id), sum(prompt_tokens) from generations where not cached"
        ).fetchall()
    calls = len(stopped.asked) + len(finished.asked)
    assert lines == [(calls, 2, 9 * calls)]
    assert calls == len(SUBJECTS)


def test_no_engine_starts_if_synthesis_is_off(graph: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_FROM_TEXT__MAX_TEXTS", "0")
    assert graph.start(good, until="deduped").opened == 0
    assert graph.made().is_empty()
    assert [(asset, name) for asset, name, broken in check_lake(graph.lake) if broken.height] == []
