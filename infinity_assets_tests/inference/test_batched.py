"""Concurrent functions get the answers and ledger rows of sequential ones; the engine sees fewer and larger batches."""

import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.inference.batched import BatchedInference, InferenceBatch
from infinity_assets.inference.client import Answers, Inference
from infinity_assets.inference.engines.engine import Admit, EngineUnavailable, admit_all
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.requests import Request, Response
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import EmbedderSpec, ModelSpec
from infinity_assets_tests.inference.doubles import SPEC, Lengths, ScriptedEngine, ask
from infinity_assets_tests.properties import examples

OTHER = ModelSpec(model="other")
MEMBERS = st.lists(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=3), min_size=1, max_size=4)
"""Strategy for the batches of each member; a batch is a list of question numbers."""


class Batches(ScriptedEngine):
    """An engine that records its batches and the threads that ran them."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        self.batches.append([request.row_id for request in requests])
        self.threads.add(threading.get_ident())
        yield from super().run(requests, admit)


def member_of(batch: InferenceBatch, folder: Path, pool: EnginePool, ledger: Ledger) -> BatchedInference:
    return BatchedInference(batch, ResponseStore(folder), pool, ledger=ledger)


def asking(inference: Inference, batches: list[list[int]], spec: ModelSpec = SPEC) -> list[Answers]:
    return [inference.generate(spec, [ask(f"r{n}", f"question {n}") for n in batch], "stage") for batch in batches]


@settings(max_examples=examples(40), deadline=None)
@given(members=MEMBERS)
def test_answers_and_ledger_rows_equal_those_of_sequential_calls(
    tmp_path_factory: pytest.TempPathFactory, members: list[list[list[int]]]
) -> None:
    folder, engine = tmp_path_factory.mktemp("together"), Batches()
    pool, ledgers = engine.pool(), [Ledger() for _ in members]
    batch = InferenceBatch(Inference(ResponseStore(folder), pool))
    results = batch.run(
        [
            lambda batches=batches, ledger=ledger: asking(member_of(batch, folder, pool, ledger), batches)
            for batches, ledger in zip(members, ledgers, strict=True)
        ]
    )
    assert len(engine.asked) == len({n for batches in members for batch in batches for n in batch})
    assert len(engine.batches) <= max(map(len, members))
    assert engine.threads <= {threading.get_ident()}
    new = 0
    for batches, answers, ledger in zip(members, results, ledgers, strict=True):
        assert not isinstance(answers, BaseException)
        assert [part.frame["row_id"].to_list() for part in answers] == [[f"r{n}" for n in batch] for batch in batches]
        assert [part.frame["text"].to_list() for part in answers] == [
            [f"question {n}" for n in batch] for batch in batches
        ]
        calls = pl.concat([part.generations for part in answers]) if answers else ledger.generations
        assert calls.sort(pl.all()).equals(ledger.generations.sort(pl.all()))
        assert calls.height == sum(map(len, batches))
        new += calls.filter(~pl.col("cached")).height
    assert new == len(engine.asked)


def test_members_that_ask_different_models_wait_for_each_other(tmp_path: Path) -> None:
    engine = Batches()
    pool = engine.pool()
    batch = InferenceBatch(Inference(ResponseStore(tmp_path), pool))
    specs = [[SPEC, OTHER], [OTHER, SPEC], [SPEC, SPEC]]
    results = batch.run(
        [
            lambda of=of, n=n: [
                (answers.frame["text"].item(), answers.generations["model"].item() == spec.weights_id)
                for place, spec in enumerate(of)
                for answers in asking(member_of(batch, tmp_path, pool, Ledger()), [[10 * n + place]], spec)
            ]
            for n, of in enumerate(specs)
        ]
    )
    assert results == [[(f"question {10 * n + place}", True) for place in range(2)] for n in range(3)]
    assert sum(map(len, engine.batches)) == 6


def test_a_failing_member_does_not_affect_the_others(tmp_path: Path) -> None:
    engine = Batches()
    pool = engine.pool()
    batch = InferenceBatch(Inference(ResponseStore(tmp_path), pool))

    def fails() -> list[Answers]:
        raise ValueError("mine")

    results = batch.run([fails, lambda: asking(member_of(batch, tmp_path, pool, Ledger()), [[1], [2]])])
    assert isinstance(results[0], ValueError)
    assert isinstance(results[1], list)
    assert len(results[1]) == 2


def test_an_unavailable_engine_ends_all_members_and_answered_calls_are_in_the_ledger(tmp_path: Path) -> None:
    def dies(request: Request) -> Response:
        if request.row_id == "r2":
            raise EngineUnavailable("gone")
        return Response(text="x", finish_reason="stop")

    engine = ScriptedEngine(dies)
    pool, ledgers = engine.pool(), [Ledger(), Ledger()]
    batch = InferenceBatch(Inference(ResponseStore(tmp_path), pool))
    members = [member_of(batch, tmp_path, pool, ledger) for ledger in ledgers]
    with pytest.raises(EngineUnavailable, match="gone"):
        batch.run([lambda: asking(members[0], [[1], [2]]), lambda: asking(members[1], [[3], [4]])])
    assert [ledger.generations["row_id"].to_list()[:1] for ledger in ledgers] == [["r1"], ["r3"]]


def test_an_interrupt_between_two_answers_ends_all_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = InferenceBatch(Inference(ResponseStore(tmp_path), Batches().pool()))

    def answer_one(questions: Sequence[object]) -> Iterator[str]:
        yield "answered"
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "_ask_model", answer_one)
    ended: list[str] = []

    def member() -> None:
        try:
            batch.ask("generate", SPEC, None)
            ended.append("answered")
        except KeyboardInterrupt:
            ended.append("interrupted")

    with pytest.raises(KeyboardInterrupt):
        batch.run([member, member])
    assert sorted(ended) == ["answered", "interrupted"]


def test_texts_are_embedded_together_and_vectors_go_to_their_callers(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, embedder=lambda spec, models: Lengths())
    batch = InferenceBatch(Inference(ResponseStore(tmp_path / "r"), pool))
    texts = [["a", "bb"], [], ["ccc"]]
    member = member_of(batch, tmp_path / "r", pool, Ledger())
    results = batch.run(
        [lambda part=part: member.embed(EmbedderSpec(), part, "s")[:, :1].ravel().tolist() for part in texts]
    )
    assert results == [[1.0, 2.0], [], [3.0]]


def test_a_shared_value_is_made_once(tmp_path: Path) -> None:
    """If making it fails, the next caller makes it."""
    made = iter([ValueError("not yet"), "index"])

    def make() -> str:
        value = next(made)
        if isinstance(value, ValueError):
            raise value
        return value

    batch = InferenceBatch(Inference(ResponseStore(tmp_path), Batches().pool()))
    results = batch.run([lambda: batch.once("gate", make)] * 4)
    assert sorted(map(str, results)) == ["index", "index", "index", "not yet"]
