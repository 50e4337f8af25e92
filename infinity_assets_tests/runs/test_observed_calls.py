"""Looking up asks nothing and writes nothing; watching changes no answer."""

from pathlib import Path

import numpy as np
import pytest

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import EMPTY, Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.runs.observed_calls import NOT_ASKED, LookingUp, Observed
from infinity_assets.settings.models import EmbedderSpec, Retries
from infinity_assets_tests.inference.doubles import SPEC, ScriptedEngine, ask

RETRIES = Retries()
EMBEDDER = EmbedderSpec(model="scripted")


class Counting:
    """Vectors of two numbers."""

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.6, 0.8] if "a" in text else [1.0, 0.0] for text in texts], dtype=np.float32)

    def close(self) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> ResponseStore:
    return ResponseStore(tmp_path / "responses")


def written(store: ResponseStore) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(store.root.rglob("*")) if file.is_file()}


def test_what_is_stored_is_found_and_the_rest_is_not_asked(store: ResponseStore) -> None:
    engine = ScriptedEngine()
    Inference(store, engine.pool()).generate(SPEC, [ask("a"), ask("b")], "answer")
    before, looking = written(store), LookingUp(store, RETRIES)
    found = looking.generate(SPEC, [ask("b"), ask("c"), ask("a"), ask("d"), ask("c2", "question c")], "answer").frame
    assert found["error"].to_list() == [None, NOT_ASKED, None, NOT_ASKED, NOT_ASKED]
    assert found["text"].to_list()[0::2][:2] == ["question b", "question a"]
    assert len(engine.asked) == 2
    assert written(store) == before
    calls = looking.batches[0].calls
    assert calls["error"].to_list() == [None, NOT_ASKED, None, NOT_ASKED, NOT_ASKED]
    assert calls["size"].to_list() == [len("question a")] * 5
    assert calls.filter(error=NOT_ASKED)["key"].n_unique() == 2, "equal requests are one call"


def test_watched_answers_are_the_same_and_stored(store: ResponseStore, tmp_path: Path) -> None:
    requests = [ask(str(number)) for number in range(9)]
    plain = Inference(ResponseStore(tmp_path / "other"), ScriptedEngine().pool()).generate(SPEC, requests, "answer")
    watched = Observed(store, ScriptedEngine().pool(), RETRIES)
    assert watched.generate(SPEC, requests, "answer").frame.equals(plain.frame)
    batch = watched.batches[0]
    assert (batch.calls["prompt_tokens"].sum(), batch.calls["completion_tokens"].sum()) == (27, 18)
    assert batch.bytes > 0
    assert LookingUp(store, RETRIES).generate(SPEC, requests, "answer").frame["error"].null_count() == 9


def test_calls_that_were_made_again_are_counted(store: ResponseStore) -> None:
    watched = Observed(store, ScriptedEngine(lambda request: Response(text="", prompt_tokens=3)).pool(), RETRIES)
    watched.generate(SPEC, [ask("a"), ask("b")], "answer")
    calls = watched.batches[0].calls
    assert calls["attempt"].to_list() == [0, 0, 1, 1]
    assert set(calls["error"]) == {EMPTY}
    assert calls["key"].n_unique() == 4


def test_texts_that_are_not_stored_have_vectors_of_chance(store: ResponseStore) -> None:
    pool = EnginePool(Path(), embedder=lambda spec, models: Counting())
    real = Observed(store, pool, RETRIES)
    real.embed(EMBEDDER, ["a", "b"], "similarity")
    before, looking = written(store), LookingUp(store, RETRIES)
    vectors = looking.embed(EMBEDDER, ["new", "a", "b", "newer", "new"], "similarity")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[1:3], [[0.6, 0.8], [1.0, 0.0]])
    assert looking.embedded[0].missing == ("new", "newer")
    assert looking.embedded[0].texts == 4
    assert real.embedded[0].missing == ("a", "b")
    assert written(store) == before
    assert looking.embed(EMBEDDER, [], "similarity").shape == (0, 0)


def test_opening_an_engine_is_not_part_of_a_batch(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("infinity_assets.runs.observed_calls.time.monotonic", lambda: now[0])

    def opener(spec, models):
        now[0] += 100
        return ScriptedEngine(answer)

    def answer(request) -> Response:
        now[0] += 2
        return Response(text="yes", prompt_tokens=1, completion_tokens=1)

    watched = Observed(store, EnginePool(Path(), engine=opener), RETRIES)
    watched.generate(SPEC, [ask("a"), ask("b")], "answer")
    watched.generate(SPEC, [ask("c")], "answer")
    assert [batch.seconds for batch in watched.batches] == [4, 2]
