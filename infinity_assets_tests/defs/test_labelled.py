"""The tagger's forms and the labels of every row, with a scripted tagger and an embedder of the questions' words."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from infinity_assets.catalog import vocabularies
from infinity_assets.cli import main
from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, Request, Response
from infinity_assets.rows import conversation
from infinity_assets_tests.defs.graph import Graph
from infinity_assets_tests.defs.steps import reply
from infinity_assets_tests.inference.doubles import ScriptedEngine

SUBJECTS = {
    "bread": (["baking", "kitchen work"], "life skills", "烘焙"),
    "tort": (["law"], "law", "法律"),
    "prime": (["sums"], "mathematics", "sums"),
}
ENDS = ["rise", "sink", "grow", "fall", "end", "begin", "stay", "go", "turn", "stop", "wait", "run"]
QUESTIONS = [f"Why does {word} number {at} {end}?" for word in SUBJECTS for at, end in enumerate(ENDS)]


def answer(request: Request) -> Response:
    """Answer as the tagger: labels by subject, their coarse abilities, and Chinese names, one of them not Chinese."""
    assert isinstance(request, GenerateRequest)
    text_in, lifts = request.messages[-1]["content"], request.prompt.startswith("lift")
    for word, (labels, ability, name) in SUBJECTS.items():
        if request.prompt.startswith("tag") and word in text_in:
            return reply(json.dumps({"ability": labels}))
        known = {label.lower() for label in labels}
        if not request.prompt.startswith("tag") and text_in.removeprefix("Label: ") in known:
            chinese = name if text_in.endswith(labels[0]) else f"{name}工作"
            return reply(json.dumps({"cate_ability": [ability]}) if lifts else chinese)
    return Response(error="invalid_json", text="{", finish_reason="stop")


class Subjects:
    """An embedder with a vector per subject. A text without a subject is unknown; vectors of labels are far apart."""

    width = 64

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            subject = [at for at, word in enumerate(SUBJECTS) if word in text]
            vectors[row, subject[0] if subject else 8 + sum(map(ord, text)) % 50] = 1
        return vectors

    def read(self, texts: Sequence[str]) -> Reading:
        unknown = [not any(word in text for word in SUBJECTS) for text in texts]
        return Reading(np.zeros(len(texts), bool), np.array(unknown, np.float32))

    def close(self) -> None: ...


SETTINGS = {"SCORING__MAX_ROWS": 24, "LABELS__MIN_ROWS": 2, "SCORING__EMBEDDER__MODEL": "subjects"}


class Asked(Graph):
    """The graph with a scripted engine."""

    def begin(self) -> ScriptedEngine:
        """Use a new engine, and return it."""
        engine = ScriptedEngine(answer)
        self.use(EnginePool(Path("nowhere"), lambda spec, models: engine, lambda spec, models: Subjects()))
        return engine


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    with pytest.MonkeyPatch.context() as patch:
        graph = Asked(tmp_path_factory.mktemp("finished"), patch, SETTINGS)
        questions = [*QUESTIONS, "Wozu das alles?"]
        graph.source(
            "one", ({"question": question, "answer": f"Nobody knows about {question[9:-1]}."} for question in questions)
        )
        (graph.data / "benchmarks").mkdir()
        graph.begin()
        graph.make("labelled")
        return graph


@pytest.fixture
def graph(finished: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The graph with all assets up to `labelled` made."""
    return finished.copy(tmp_path, monkeypatch, SETTINGS)


def infinity(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["labels", *arguments], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


def subject(row: dict) -> str | None:
    return next((word for word in SUBJECTS if word in row["question"]), None)


def test_every_row_has_labels_or_a_reason(graph: Asked) -> None:
    lake = graph.lake
    asked = lake.scan("decontaminated").select("row_id", question=conversation.instruction()).collect()
    table = lake.scan("labelled").collect().join(asked, on="row_id")
    assert table.height == len(QUESTIONS) + 1
    assert set(table["label_source"]) >= {"model", "neighbours"}
    for row in table.iter_rows(named=True):
        word = subject(row)
        if row["label_source"] is None:
            assert row["label_error"] in ("no_vector", "invalid_json", "empty")
            assert (row["ability"], row["cate_ability"]) == (None, None)
            assert word is None, row
            continue
        assert word is not None
        labels, ability, _ = SUBJECTS[word]
        assert sorted(row["ability"]) == sorted(label.lower() for label in labels)
        assert row["cate_ability"] == [ability]
        assert row["label_error"] is None
        assert row["label_similarity"] == (None if row["label_source"] == "model" else pytest.approx(1.0))
    words = lake.scan("tag_vocabulary").collect()
    named = {
        line["label"]: (line["label_zh"], line["name_error"], line["said_by"]) for line in words.iter_rows(named=True)
    }
    assert named == {
        "baking": ("烘焙", None, "model"),
        "kitchen work": ("烘焙工作", None, "model"),
        "law": ("法律", None, "hand"),
        "sums": ("sums", "not_chinese", "model"),
    }
    written = [
        len(SUBJECTS[subject(row) or ""][0]) for row in table.iter_rows(named=True) if row["label_source"] == "model"
    ]
    assert words["rows"].sum() == sum(written)
    before = {asset: lake.manifest(asset) for asset in ("label_forms", "tag_vocabulary")}
    engine = graph.begin()
    graph.make("labelled")
    assert {asset: lake.manifest(asset) for asset in before} == before, "nothing changed"
    assert engine.asked == []
    listed = infinity("list")
    assert "烘焙" in listed
    assert "life skills" in listed
    shown = infinity("show", "baking")
    assert shown.startswith("baking:")
    assert "baking  (name)" in shown
    assert "by model" in shown
    assert "the tagger never wrote it" in infinity("show", "nonsense", status=1)
    assert "0 forms without a label" in infinity("candidates")


def test_without_spreading_only_the_sample_has_labels(graph: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_LABELS__SPREAD", "false")
    graph.begin()
    graph.make("labelled")
    table = graph.rows("labelled")
    assert set(table["label_source"]) == {"model", None}
    assert set(table.filter(pl.col("label_source").is_null())["label_error"]) >= {"not_sampled"}


def test_overrides_by_hand_take_precedence_over_the_model(graph: Asked) -> None:
    lake, engine = graph.lake, graph.begin()
    (lake.data / "labels.yaml").write_text(
        "sums: {label_zh: 数学, cate_ability: [mathematics, problem solving]}\nkitchen work: {into: baking}\n"
    )
    graph.make("labelled")
    words = lake.scan("tag_vocabulary").collect()
    sums = words.filter(pl.col("label") == "sums").row(0, named=True)
    by_hand = {"label_zh": "数学", "cate_ability": ["mathematics", "problem solving"], "said_by": "hand"}
    assert {name: sums[name] for name in by_hand} == by_hand
    assert words["label"].to_list().count("kitchen work") == 0
    assert words.filter(pl.col("label") == "baking")["forms"].to_list() == [["baking", "kitchen work"]]
    labelled = lake.scan("labelled").filter(pl.col("ability").list.contains("sums")).collect()
    assert labelled["cate_ability"][0].to_list() == ["mathematics", "problem solving"]
    assert engine.asked == [], "nothing is asked again"


def test_a_frozen_vocabulary_stays_and_new_labels_are_candidates(graph: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = graph.lake
    graph.begin()
    assert "4 labels" in infinity("freeze", "v1")
    assert "exists already" in infinity("freeze", "v1", status=1)
    provenance = pl.read_parquet_metadata(vocabularies.file_of(lake.data, "v1"))["infinity_assets"]
    assert set(json.loads(provenance)) == {"labels", "tagger", "label_forms", "tag_vocabulary"}
    before = lake.scan("tag_vocabulary").collect()
    rows = lake.scan("labelled").collect()
    monkeypatch.setenv("INFINITY_LABELS__VOCABULARY", "v1")
    graph.make("labelled")
    assert (
        lake.scan("tag_vocabulary").drop("said_by", "name_error").collect().equals(before.drop("said_by", "name_error"))
    )
    assert lake.scan("labelled").collect().equals(rows)
    monkeypatch.setitem(SUBJECTS, "prime", (["number theory"], "mathematics", "数论"))
    graph.source(
        "two",
        ({"question": f"Is prime item {at} {end} ever?", "answer": f"Yes, {end}."} for at, end in enumerate(ENDS)),
    )
    graph.make("labelled")
    now = lake.scan("tag_vocabulary").collect()
    same = ["label", "cate_ability", "label_zh", "forms"]
    assert now.select(same).sort("label").equals(before.select(same).sort("label"))
    left = lake.scan("label_forms").filter(pl.col("label").is_null()).collect()
    assert left["form"].to_list() == ["number theory"]
    assert left["reason"].to_list() == ["not_in_vocabulary"]
    assert "number theory" in infinity("candidates")
    assert "is no label of the vocabulary: not_in_vocabulary" in infinity("show", "number theory", status=1)
    with pytest.raises(InfinityError, match="There is no vocabulary v2"):
        vocabularies.read(lake.data, "v2")


def test_before_the_first_run_the_commands_name_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path))
    for command in (["list"], ["candidates"], ["show", "x"], ["freeze", "v1"]):
        assert "infinity run --until" in infinity(*command, status=1)
