"""Embedders by a transformer and by a static model: cut texts, unknown tokens, unit vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from infinity_assets.inference.engines.embedder import Embedder
from infinity_assets.inference.weights.models import fetch, local_path
from infinity_assets.settings.models import STATIC_EMBEDDER, EmbedderSpec
from infinity_assets_tests.inference.doubles import save_static_model

pytestmark = pytest.mark.engine

WORDS = ["snow", "is", "white", "why", "a", "rock", "tuff", "what"]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    folder = save_static_model(tmp_path_factory.mktemp("static"), WORDS)
    spec = EmbedderSpec(model=str(folder), max_tokens=4)
    return Embedder(spec, local_path(spec, folder.parent))


def test_a_static_model_gives_unit_vectors(static: Embedder) -> None:
    vectors = static.encode(["snow is white", "", "white snow is", "what is tuff"])
    assert (vectors.shape, vectors.dtype, static.width) == ((4, 16), np.float32, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1, 1], abs=1e-6)
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-6)
    assert static.encode([]).shape[0] == 0


def test_a_static_model_reads_only_its_window(static: Embedder) -> None:
    one, other = static.encode(["snow is white why a rock", "snow is white why what tuff"])
    assert one == pytest.approx(other, abs=1e-6)


def test_reading_reports_cut_texts_and_unknown_tokens(static: Embedder) -> None:
    reading = static.read(["snow is white why", "snow is white why a", "snow schnee", "", "x" * 1000 + " snow"])
    assert reading.cut.tolist() == [False, True, False, False, True]
    assert reading.unknown[:4].tolist() == [0, 0, 0.5, 0]
    assert [len(part) for part in static.read([])] == [0, 0]


def test_minilm_reports_other_scripts_as_unknown(tmp_path: Path) -> None:
    embedder = Embedder(EmbedderSpec(max_tokens=24), local_path(EmbedderSpec(), tmp_path))
    reading = embedder.read(["Why is snow white?", "为什么雪是白色的？请解释原因。", "snow " * 30, "چرا برف سفید است"])
    assert reading.unknown[0] == 0
    assert reading.unknown[1] > 0.3
    assert reading.unknown[3] > 0.3
    assert reading.cut.tolist() == [False, False, True, False]
    assert embedder.encode(["Why is snow white?"]).shape == (1, embedder.width)


def test_the_embedded_static_model_is_made_from_its_wheel(models_dir: Path) -> None:
    spec = EmbedderSpec(model=STATIC_EMBEDDER)
    folder = fetch(spec, models_dir)
    assert json.loads((folder / "origin.json").read_text())["licence"] == "MIT"
    embedder = Embedder(spec, folder)
    asked, same, other = embedder.encode(
        ["How can I stay healthy?", "What should I do to stay healthy?", "Sort a list in Python."]
    )
    assert asked @ same > asked @ other + 0.3
