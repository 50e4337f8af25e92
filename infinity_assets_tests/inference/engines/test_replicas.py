"""Replicas in separate processes: each request is answered once, and a dead replica is an error instead of a hang."""

import os
import signal

import pytest

from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.engines.replicas import Replicas
from infinity_assets.inference.requests import Response
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests.inference.doubles import ScriptedEngine, ask, echo

SPEC = ModelSpec(model="scripted", data_parallel_size=2)


class InProcess(ScriptedEngine):
    """An engine whose answers name its process; the question `die` kills the process."""

    def __init__(self, spec, folder):
        super().__init__(self._answer)
        if spec.model == "broken":
            raise RuntimeError("no weights")

    def _answer(self, request):
        if "die" in request.messages[-1]["content"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return Response(text=f"{echo(request).text} by {os.getpid()} on {os.environ['CUDA_VISIBLE_DEVICES']}")

    def sleep(self):
        self.answer = lambda _: Response(text="asleep")

    def wake(self):
        self.answer = self._answer


@pytest.fixture(scope="module", autouse=True)
def all_devices():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        yield


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Replicas for tests that leave them alive."""
    opened = Replicas(SPEC, tmp_path_factory.mktemp("lasting"), InProcess)
    yield opened
    opened.close()


@pytest.fixture
def replicas(tmp_path):
    """Replicas for a test that ends them."""
    opened = Replicas(SPEC, tmp_path, InProcess)
    yield opened
    opened.close()


def test_each_request_is_answered_once_and_both_replicas_work(lasting):
    requests = [ask(f"r{number}") for number in range(40)]
    for _ in range(2):
        answers = list(lasting.run(requests))
        assert sorted(position for position, _ in answers) == list(range(40))
        assert all(response.text.startswith(f"question r{position} by") for position, response in answers)
        assert {response.text.split(" by ")[1].split(" on ")[1] for _, response in answers} == {"0", "1"}


def test_every_request_is_admitted_by_the_budget(lasting):
    left = [25]

    def admit(prompt_tokens, max_tokens):
        left[0] -= 1
        return left[0] >= 0

    answers = list(lasting.run([ask(f"r{number}") for number in range(40)], admit))
    assert len(answers) == 25


def test_a_replica_that_dies_is_an_error(replicas):
    with pytest.raises(EngineUnavailable, match=r"died"):
        list(replicas.run([ask("a", "fine"), ask("b", "die")]))


def test_an_engine_that_does_not_open_is_an_error(tmp_path):
    with pytest.raises(EngineUnavailable, match=r"no weights"):
        Replicas(ModelSpec(model="broken"), tmp_path, InProcess)


def test_a_caller_that_stops_listening_leaves_no_process(replicas):
    running = replicas.run([ask(f"r{number}") for number in range(10)])
    next(running)
    processes = list(replicas._processes)
    running.close()
    assert not any(process.is_alive() for process in processes)


def test_one_model_sleeps_while_another_works(tmp_path):
    specs = [ModelSpec(model=name, when_idle="sleep") for name in "ab"]
    opened = []

    def opener(spec, folder):
        opened.append(spec.model)
        return Replicas(spec, folder, InProcess)

    pool = EnginePool(tmp_path, engine=opener)
    pids = {}
    for spec in (*specs, *specs):
        with pool.engine(spec) as engine:
            ((_, response),) = engine.run([ask("a")])
            pids.setdefault(spec.model, set()).add(str(response.text).split(" by ")[1])
    assert opened == ["a", "b"]
    assert all(len(processes) == 1 for processes in pids.values())
    pool.release()
