"""Model clients of a plan: stored answers need no engine and write nothing, and recording changes no answer."""

from pathlib import Path

import numpy as np
import pytest

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import EMPTY, Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.runs.observed_calls import NOT_ASKED, ObservedInference, StoredInference
from infinity_assets.settings.models import EmbedderSpec
from infinity_assets_tests.inference.doubles import SPEC, ScriptedEngine, ask

EMBEDDER = EmbedderSpec(model="scripted")


class TinyEmbedder:
    """An embedder with vectors of two numbers."""

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.6, 0.8] if "a" in text else [1.0, 0.0] for text in texts], dtype=np.float32)

    def close(self) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> ResponseStore:
    return ResponseStore(tmp_path / "responses")


def stored_files(store: ResponseStore) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(store.root.rglob("*")) if file.is_file()}


def test_stored_responses_are_returned_and_others_are_not_asked(store: ResponseStore) -> None:
    engine = ScriptedEngine()
    Inference(store, engine.pool()).generate(SPEC, [ask("a"), ask("b")], "answer")
    before = stored_files(store)
    stored = StoredInference(store, ScriptedEngine().pool())
    answers = stored.generate(SPEC, [ask("b"), ask("c"), ask("a"), ask("d"), ask("c2", "question c")], "answer").frame
    assert answers["error"].to_list() == [None, NOT_ASKED, None, NOT_ASKED, NOT_ASKED]
    assert answers["text"].to_list()[0::2][:2] == ["question b", "question a"]
    assert len(engine.asked) == 2
    assert stored_files(store) == before
    calls = stored.calls
    assert calls["error"].to_list() == [None, NOT_ASKED, None, NOT_ASKED, NOT_ASKED]
    assert calls["size"].to_list() == [len("question a")] * 5
    assert calls.filter(error=NOT_ASKED)["key"].n_unique() == 2, "equal requests are one call"


def test_recording_does_not_change_answers(store: ResponseStore, tmp_path: Path) -> None:
    requests = [ask(str(number)) for number in range(9)]
    plain = Inference(ResponseStore(tmp_path / "other"), ScriptedEngine().pool()).generate(SPEC, requests, "answer")
    recorded = ObservedInference(store, ScriptedEngine().pool())
    assert recorded.generate(SPEC, requests, "answer").frame.equals(plain.frame)
    assert (recorded.calls["prompt_tokens"].sum(), recorded.calls["completion_tokens"].sum()) == (27, 18)
    assert (
        StoredInference(store, ScriptedEngine().pool()).generate(SPEC, requests, "answer").frame["error"].null_count()
        == 9
    )


def test_retried_calls_are_recorded(store: ResponseStore) -> None:
    recorded = ObservedInference(store, ScriptedEngine(lambda request: Response(text="", prompt_tokens=3)).pool())
    recorded.generate(SPEC, [ask("a"), ask("b")], "answer")
    calls = recorded.calls
    assert calls["attempt"].to_list() == [0, 0, 1, 1]
    assert set(calls["error"]) == {EMPTY}
    assert calls["key"].n_unique() == 4


def test_texts_that_are_not_stored_get_random_vectors(store: ResponseStore) -> None:
    pool = EnginePool(Path(), embedder=lambda spec, models: TinyEmbedder())
    real = ObservedInference(store, pool)
    real.embed(EMBEDDER, ["a", "b"], "similarity")
    before = stored_files(store)
    stored = StoredInference(store, ScriptedEngine().pool())
    vectors = stored.embed(EMBEDDER, ["new", "a", "b", "newer", "new"], "similarity")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[1:3], [[0.6, 0.8], [1.0, 0.0]])
    assert stored.embedded[0].missing == ("new", "newer")
    assert real.embedded[0].missing == ("a", "b")
    assert stored_files(store) == before
    assert stored.embed(EMBEDDER, [], "similarity").shape == (0, 0)


def test_opening_an_engine_does_not_count_for_the_duration_of_a_batch(
    store: ResponseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("infinity_assets.inference.engines.pool.time.monotonic", lambda: clock[0])

    def open_engine(spec, models):
        clock[0] += 100
        return ScriptedEngine(answer)

    def answer(request) -> Response:
        clock[0] += 2
        return Response(text="yes", prompt_tokens=1, completion_tokens=1)

    pool = EnginePool(Path(), engine=open_engine)
    recorded = ObservedInference(store, pool)
    recorded.generate(SPEC, [ask("a"), ask("b")], "answer")
    recorded.generate(SPEC, [ask("c")], "answer")
    assert recorded.calls["took"].to_list() == [2, 2, 2]
    assert pool.opening_seconds == 100
