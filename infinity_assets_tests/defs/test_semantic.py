"""Embeddings and what is made of them, through the graph, with a static model of a few words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Manifest
from infinity_assets.catalog.pool import Pool
from infinity_assets.dedup import semantic
from infinity_assets.defs.ingest import embeddings
from infinity_assets.defs.runner import Fault, Runner
from infinity_assets.progress import LogReporter
from infinity_assets_tests.inference.doubles import static_model

ANSWER = "ice crystals scatter all of the light and so it is"
QUESTIONS = {
    "one": ["why is the snow white", "what is a fjord", "how do bees see", "name 3 rivers here"],
    "two": ["why is snow white", "what is basalt", "name 4 rivers here"],
    "late": ["why snow is white", "what is a fjord", "so what is a fjord", "为什么雪是白色的"],
    "again": ["what is basalt", "what is the basalt"],
}
WORDS = sorted({word for questions in QUESTIONS.values() for text in [*questions, ANSWER] for word in text.split() if word.isascii()})


class Steps(LogReporter):
    def __init__(self) -> None:
        super().__init__()
        self.computed: list[str] = []

    def end(self, rows: int, reused: bool) -> None:
        if not reused:
            self.computed.append(self._name)


def write(folder: Path, questions: list[str]) -> None:
    folder.mkdir(parents=True)
    rows = [{"question": question, "answer": ANSWER} for question in questions]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return static_model(tmp_path_factory.mktemp("model"), WORDS)


Run = Callable[..., tuple[list[str], list[Fault]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Run:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__ENABLED", "true")
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__EMBEDDER", json.dumps({"model": str(model)}))

    def go(data: Path, *sources: str, until: str = "neighbours", force: bool = False) -> tuple[list[str], list[Fault]]:
        for source in sources:
            write(data / "sources" / source, QUESTIONS[source])
        monkeypatch.setenv("INFINITY_DATA", str(data))
        steps = Steps()
        faults = Runner(data, Pool.load(data), steps).run(until=until, force=force)
        return steps.computed, faults

    return go


def manifest(data: Path, asset: str) -> Manifest:
    found = Lake(data).manifest(asset)
    assert found
    return found


def prompts(data: Path) -> set[frozenset[str]]:
    """The pairs of `neighbours`, by what is asked."""
    lake = Lake(data)
    rows = pl.concat([lake.scan("fingerprints").select("row_id", "content_hash"), lake.scan("raw_pool").select("row_id")], how="diagonal")
    texts = rows.drop_nulls().unique().join(lake.scan("raw_pool").select("row_id", "messages"), on="row_id").collect()
    asked = {content: turns[0]["content"] for content, turns in texts.select("content_hash", "messages").iter_rows()}
    return {frozenset((asked[a], asked[b])) for a, b, _ in lake.scan("neighbours").collect().iter_rows()}


@pytest.mark.parametrize("order", [("one", "two", "late", "again"), ("late", "again", "two", "one")])
def test_sources_added_one_after_the_other_give_what_all_at_once_give(run: Run, tmp_path: Path, order: tuple[str, ...]) -> None:
    """Whatever their names: one that sorts before the others brings its own vectors of what they have in common."""
    for source in order:
        computed, faults = run(tmp_path / "slow", source)
        assert faults == []
        assert [step for step in computed if step.startswith("embeddings")] == [f"embeddings[{source}]"]
    run(tmp_path / "fast", *QUESTIONS)
    slow, fast = (Lake(tmp_path / name).rows_file("neighbours").read_bytes() for name in ("slow", "fast"))
    assert slow == fast
    white = ["why is the snow white", "why is snow white", "why snow is white"]
    assert {frozenset(pair) for pair in ((white[0], white[1]), (white[1], white[2]), (white[0], white[2]))} <= prompts(tmp_path / "fast")
    assert not any({"name 3 rivers here", "name 4 rivers here"} <= pair for pair in prompts(tmp_path / "fast"))
    run(tmp_path / "slow", force=True)
    assert Lake(tmp_path / "slow").rows_file("neighbours").read_bytes() == fast


def test_a_source_that_is_gone_takes_its_pairs_along(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "more", "one", "two", "late")
    shutil.rmtree(tmp_path / "more" / "sources" / "late")
    run(tmp_path / "more")
    run(tmp_path / "less", "one", "two")
    assert Lake(tmp_path / "more").scan("neighbours").collect().equals(Lake(tmp_path / "less").scan("neighbours").collect())


def test_another_threshold_embeds_and_compares_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "data", "one", "two")
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__THRESHOLD", "0.85")
    assert run(tmp_path / "data") == ([], [])
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__FLOOR", "0.7")
    assert run(tmp_path / "data") == (["neighbours[all]"], [])


def test_a_killed_run_loses_one_batch(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    embed = semantic.embed

    def killed(contents: pl.DataFrame, *rest: object) -> pl.DataFrame:
        if len(seen) == 4:
            raise RuntimeError("killed")
        seen.extend(contents["prompt"])
        return embed(contents, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(embeddings, "_BATCH", 2)
    with monkeypatch.context() as patch:
        patch.setattr(semantic, "embed", killed)
        assert [fault.asset for fault in run(tmp_path / "data", "one", "two")[1]] == ["embeddings"]
    assert seen == QUESTIONS["one"]
    again: list[str] = []
    monkeypatch.setattr(semantic, "embed", lambda contents, *rest: again.extend(contents["prompt"]) or embed(contents, *rest))
    assert run(tmp_path / "data")[1] == []
    assert again == QUESTIONS["two"]
    assert not list((tmp_path / "data" / ".embedding").glob("*"))
    monkeypatch.setattr(embeddings, "_BATCH", 1024)
    monkeypatch.setattr(semantic, "embed", embed)
    run(tmp_path / "left_alone", "one", "two")
    assert Lake(tmp_path / "data").scan("embeddings").collect().equals(Lake(tmp_path / "left_alone").scan("embeddings").collect())


def test_what_the_embedder_cannot_read_is_not_judged(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "data", "late")
    rows = Lake(tmp_path / "data").scan("embeddings").collect()
    assert rows.filter(pl.col("prompt").is_null()).height == 1
    assert rows.select((pl.col("answer").is_null() == pl.col("facts").is_null()).all()).item()


def test_unless_it_is_asked_for_nothing_is_embedded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__ENABLED", "false")
    monkeypatch.setattr(embeddings.Step, "inference", lambda step: pytest.fail("a model was asked for"))
    write(tmp_path / "data" / "benchmarks" / "exam", ["how can bees see"])
    assert run(tmp_path / "data", "one", until="paraphrases")[1] == []
    assert [Lake(tmp_path / "data").scan(asset).collect().height for asset in ("embeddings", "paraphrases")] == [0, 0]


def test_paraphrases_of_benchmark_items_are_listed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DECONTAMINATION__PARAPHRASE_FLOOR", "0.7")
    write(tmp_path / "data" / "benchmarks" / "exam", ["why is snow so white", "为什么雪是白色的"])
    assert run(tmp_path / "data", "one", "two", until="paraphrases")[1] == []
    found = Lake(tmp_path / "data").scan("paraphrases").collect()
    rows = Lake(tmp_path / "data").scan("raw_pool").collect()
    asked = found.join(rows, on="row_id", maintain_order="left")["messages"].list.first().struct.field("content").to_list()
    assert set(asked[:2]) == {"why is snow white", "why is the snow white"}
    assert set(found["item_id"]) == {"exam#0"}
    assert "to be read" in manifest(tmp_path / "data", "paraphrases").charts


def test_with_no_benchmark_the_list_is_empty(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path / "data", "one", until="paraphrases")[1] == []
    assert Lake(tmp_path / "data").scan("paraphrases").collect().is_empty()
