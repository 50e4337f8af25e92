"""`embeddings`, `neighbours` and `paraphrases` in the graph, with an embedder of a small vocabulary."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infinity_assets.dedup import semantic
from infinity_assets.defs.ingest import embeddings
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.defs.words import Words

ANSWER = "ice crystals scatter all of the light and so it is"
QUESTIONS = {
    "one": ["why is the snow white", "what is a fjord", "how do bees see", "name 3 rivers here"],
    "two": ["why is snow white", "what is basalt", "name 4 rivers here"],
    "late": ["why snow is white", "what is a fjord", "so what is a fjord", "为什么雪是白色的"],
    "again": ["what is basalt", "what is the basalt"],
}
WORDS = sorted(
    {
        word
        for questions in QUESTIONS.values()
        for text in [*questions, ANSWER]
        for word in text.split()
        if word.isascii()
    }
)


At = Callable[[str], Graph]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """A function that opens a graph with a small embedder in a named folder."""

    def opened(name: str) -> Graph:
        graph = Graph(
            tmp_path / name,
            monkeypatch,
            {"DEDUP__SEMANTIC__ENABLED": "true", "DEDUP__SEMANTIC__EMBEDDER": '{"model": "words"}'},
        )
        graph.use(Words(WORDS).pool())
        return graph

    return opened


def asked(questions: list[str]) -> list[dict[str, str]]:
    return [{"question": question, "answer": ANSWER} for question in questions]


def make(graph: Graph, *sources: str, until: str = "neighbours", force: bool = False) -> list[str]:
    """Add sources and make an asset."""
    for source in sources:
        graph.source(source, asked(QUESTIONS[source]))
    return graph.make(until, force)


def prompts(graph: Graph) -> set[frozenset[str]]:
    """Return the pairs of `neighbours` as pairs of questions."""
    lake = graph.lake
    rows = pl.concat(
        [lake.scan("fingerprints").select("row_id", "content_hash"), lake.scan("raw_pool").select("row_id")],
        how="diagonal",
    )
    texts = rows.drop_nulls().unique().join(lake.scan("raw_pool").select("row_id", "messages"), on="row_id").collect()
    asked = {content: turns[0]["content"] for content, turns in texts.select("content_hash", "messages").iter_rows()}
    return {frozenset((asked[a], asked[b])) for a, b, _ in graph.rows("neighbours").iter_rows()}


@pytest.mark.parametrize("order", [("one", "two", "late", "again"), ("late", "again", "two", "one")])
def test_sources_added_one_by_one_give_the_same_pairs_as_all_at_once(at: At, order: tuple[str, ...]) -> None:
    """The names must not matter: a source that sorts first brings its own vectors of common contents."""
    slow = at("slow")
    for source in order:
        computed = make(slow, source)
        assert [step for step in computed if step.startswith("embeddings")] == [f"embeddings[{source}]"]
    fast = at("fast")
    make(fast, *QUESTIONS)
    at_once = fast.lake.rows_file("neighbours").read_bytes()
    assert slow.lake.rows_file("neighbours").read_bytes() == at_once
    white = ["why is the snow white", "why is snow white", "why snow is white"]
    assert {frozenset(pair) for pair in ((white[0], white[1]), (white[1], white[2]), (white[0], white[2]))} <= prompts(
        fast
    )
    assert not any({"name 3 rivers here", "name 4 rivers here"} <= pair for pair in prompts(fast))
    make(slow, force=True)
    assert slow.lake.rows_file("neighbours").read_bytes() == at_once


def test_removing_a_source_removes_its_pairs(at: At) -> None:
    more = at("more")
    make(more, "one", "two", "late")
    shutil.rmtree(more.data / "sources" / "late")
    make(more)
    less = at("less")
    make(less, "one", "two")
    assert more.rows("neighbours").equals(less.rows("neighbours"))


def test_a_new_threshold_embeds_and_compares_nothing(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = at("here")
    make(graph, "one", "two")
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__THRESHOLD", "0.85")
    assert make(graph) == []
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__FLOOR", "0.7")
    assert make(graph) == ["neighbours[all]"]


def test_a_killed_run_loses_one_batch(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    embed = semantic.embed

    def killed(contents: pl.DataFrame, *rest: Any) -> pl.DataFrame:
        if len(seen) == 4:
            raise RuntimeError("killed")
        seen.extend(contents["prompt"])
        return embed(contents, *rest)

    graph = at("killed")
    monkeypatch.setattr(embeddings, "_BATCH", 2)
    with monkeypatch.context() as patch:
        patch.setattr(semantic, "embed", killed)
        with pytest.raises(RuntimeError, match="killed"):
            make(graph, "one", "two")
    assert seen == QUESTIONS["one"]
    again: list[str] = []
    monkeypatch.setattr(
        semantic, "embed", lambda contents, *rest: again.extend(contents["prompt"]) or embed(contents, *rest)
    )
    make(graph)
    assert again == QUESTIONS["two"]
    assert not list((graph.data / ".embedding").glob("*"))
    monkeypatch.setattr(embeddings, "_BATCH", 1024)
    monkeypatch.setattr(semantic, "embed", embed)
    alone = at("left_alone")
    make(alone, "one", "two")
    assert graph.rows("embeddings").equals(alone.rows("embeddings"))


def test_contents_that_the_embedder_cannot_read_are_not_judged(at: At) -> None:
    graph = at("here")
    make(graph, "late")
    rows = graph.rows("embeddings")
    assert rows.filter(pl.col("prompt").is_null()).height == 1
    assert rows.select((pl.col("answer").is_null() == pl.col("facts").is_null()).all()).item()


def test_nothing_is_embedded_by_default(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = at("here")
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__ENABLED", "false")
    monkeypatch.setattr(embeddings.Step, "inference", lambda step: pytest.fail("a model was asked for"))
    graph.benchmark("exam", asked(["how can bees see"]))
    make(graph, "one", until="paraphrases")
    assert [graph.rows(asset).height for asset in ("embeddings", "paraphrases")] == [0, 0]


def test_paraphrases_of_benchmark_items_are_listed(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = at("here")
    monkeypatch.setenv("INFINITY_DECONTAMINATION__PARAPHRASE_FLOOR", "0.7")
    graph.benchmark("exam", asked(["why is snow so white", "为什么雪是白色的"]))
    make(graph, "one", "two", until="paraphrases")
    found = graph.rows("paraphrases")
    rows = graph.rows("raw_pool")
    questions = (
        found.join(rows, on="row_id", maintain_order="left")["messages"].list.first().struct.field("content").to_list()
    )
    assert set(questions[:2]) == {"why is snow white", "why is the snow white"}
    assert set(found["item_id"]) == {"exam#0"}
    assert "to be reviewed" in graph.manifest("paraphrases").charts


def test_without_benchmarks_there_are_no_paraphrases(at: At) -> None:
    graph = at("here")
    make(graph, "one", until="paraphrases")
    assert graph.rows("paraphrases").is_empty()
