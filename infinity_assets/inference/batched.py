"""Batched inference: functions run concurrently, and their model calls are merged into common batches.

An engine works best on a large batch, because it is nearly idle while it writes the last few answers of a batch. If
four shards run one after the other, this happens four times per step; if they run concurrently, once. Answers do not
depend on the batching, because they are keyed by the content of the request.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from infinity_assets.inference.client import Answering, Answers, AnyRequest, Inference, Share
from infinity_assets.inference.requests import Kind
from infinity_assets.settings.models import EmbedderSpec

T = TypeVar("T")


@dataclass(eq=False)
class _Question:
    """A model call that a function waits for: a `Share` of requests, or texts to embed."""

    kind: Kind
    spec: Answering | EmbedderSpec
    asked: Any
    answer: Future[Any] = field(default_factory=Future)


class InferenceBatch:
    """A runner of concurrent functions that merges their model calls into batches.

    Each function runs in its own thread until all of them wait for a model. Then the thread that called `run` sends all
    pending requests for one model in one batch. So a single thread uses the engines and receives interrupts.
    """

    def __init__(self, inference: Inference):
        self._inference = inference
        self._waiting: list[_Question] = []
        self._alive = 0
        self._failure: BaseException | None = None
        self._turn = threading.Condition()
        self._shared: dict[str, Any] = {}
        self._sharing = threading.Lock()

    def run(self, functions: Sequence[Callable[[], T]]) -> list[T | BaseException]:
        """Run functions concurrently. Return the result of each function, or the error that it raised, in order.

        Raises:
            BaseException: A model call failed, or the run was interrupted. All functions have ended by then. The error
                was also raised in the functions that waited for a model.
        """
        results: list[Any] = [None] * len(functions)

        def member(place: int) -> None:
            try:
                results[place] = functions[place]()
            except BaseException as error:
                results[place] = error
            finally:
                with self._turn:
                    self._alive -= 1
                    self._turn.notify_all()

        self._alive = len(functions)
        threads = [threading.Thread(target=member, args=(place,), daemon=True) for place in range(len(functions))]
        for thread in threads:
            thread.start()
        try:
            while questions := self._wait_for_questions():
                for question, answer in zip(questions, self._ask_model(questions), strict=True):
                    question.answer.set_result(answer)
                with self._turn:
                    self._waiting = [question for question in self._waiting if not question.answer.done()]
        except BaseException as error:
            with self._turn:
                self._failure = error
                for question in self._waiting:
                    if not question.answer.done():
                        question.answer.set_exception(error)
            raise
        finally:
            for thread in threads:
                thread.join()
        return results

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return the value shared under `name`. The first caller makes it with `make`, which must not call a model."""
        with self._sharing:
            if name not in self._shared:
                self._shared[name] = make()
            return self._shared[name]

    def ask(self, kind: Kind, spec: Answering | EmbedderSpec, asked: Any) -> Any:
        """Submit a model call from one of the functions, and wait for its result."""
        question = _Question(kind, spec, asked)
        with self._turn:
            if self._failure is not None:
                raise self._failure
            self._waiting.append(question)
            self._turn.notify_all()
        return question.answer.result()

    def _wait_for_questions(self) -> list[_Question]:
        """Wait until every running function waits for a model. Return the pending calls of one kind to one model."""
        with self._turn:
            self._turn.wait_for(lambda: len(self._waiting) >= self._alive)
            if not self._waiting:
                return []
            first = self._waiting[0]
            return [
                question for question in self._waiting if (question.kind, question.spec) == (first.kind, first.spec)
            ]

    def _ask_model(self, questions: Sequence[_Question]) -> Sequence[Any]:
        kind, spec, asked = questions[0].kind, questions[0].spec, [question.asked for question in questions]
        if isinstance(spec, EmbedderSpec):
            return self._inference.embed_all(spec, asked, "embed")
        return self._inference.ask_all(kind, spec, asked)


class BatchedInference(Inference):
    """The model client of a function that runs in an `InferenceBatch`."""

    def __init__(self, batch: InferenceBatch, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._batch = batch

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> np.ndarray:
        """Embed texts like `Inference.embed`, in one batch with the texts of the other functions."""
        return self._batch.ask("embed", spec, texts)

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        return self._batch.ask(kind, spec, Share(requests, stage, self._ledger))
