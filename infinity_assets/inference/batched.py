"""Functions that ask models one after the other, run side by side so that what they ask at the same point is one batch.

An engine wants a large batch: at the end of each the last few answers are written almost alone. Four shards that ask one after the other have
four such ends at every point, four that ask together have one. Answers do not depend on it: they are kept by the content of the request.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from infinity_assets.inference.client import Answering, Answers, AnyRequest, Inference, Share
from infinity_assets.inference.requests import Kind
from infinity_assets.settings.models import EmbedderSpec

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


@dataclass
class _Question:
    """What a function waits for: requests, or texts."""

    kind: Kind
    spec: Answering | EmbedderSpec
    asked: Any
    answer: Any = None
    error: BaseException | None = None


class InferenceBatch:
    """Runs functions side by side, each in a thread of its own, up to the point where all of them wait for a model. Then all that they want of one
    model is asked in one batch, by the thread that called `run`: an engine sees one thread, and that is the one which an interrupt reaches.

    Args:
        inference: Asks the models.
    """

    def __init__(self, inference: Inference):
        self._inference = inference
        self._waiting: list[_Question] = []
        self._alive = 0
        self._broken: BaseException | None = None
        self._turn = threading.Condition()
        self._made: dict[str, Any] = {}
        self._making = threading.Lock()

    def run(self, functions: Sequence[Callable[[], T]]) -> list[T | BaseException]:
        """What the functions returned, or raised, in their order.

        Raises:
            BaseException: What went wrong while a model was asked, or an interrupt. All functions have ended by then, with that error where they
                were waiting.
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
            while self._next():
                pass
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            for thread in threads:
                thread.join()
        return results

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Called in a function: what `make` gives, which the first one to want a thing of this name makes for all. It asks no model."""
        with self._making:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

    def ask(self, kind: Kind, spec: Answering | EmbedderSpec, asked: Any) -> Any:
        """Called in a function: wait until what it asks for is answered."""
        question = _Question(kind, spec, asked)
        with self._turn:
            if self._broken is None:
                self._waiting.append(question)
                self._turn.notify_all()
                self._turn.wait_for(
                    lambda: question.answer is not None or question.error is not None or self._broken is not None
                )
            error = question.error or self._broken
        if error is not None:
            raise error
        return question.answer

    def _next(self) -> bool:
        """Answer the questions of one model, once every function that still runs waits for one. Returns whether any does."""
        with self._turn:
            self._turn.wait_for(lambda: len(self._waiting) >= self._alive)
            if not self._waiting:
                return False
            first = self._waiting[0]
            alike = [
                question for question in self._waiting if (question.kind, question.spec) == (first.kind, first.spec)
            ]
        answers = self._answers(first, alike)
        with self._turn:
            for question, answer in zip(alike, answers, strict=True):
                question.answer = answer
            self._waiting = [question for question in self._waiting if question.answer is None]
            self._turn.notify_all()
        return True

    def _answers(self, first: _Question, questions: Sequence[_Question]) -> Sequence[Any]:
        if isinstance(first.spec, EmbedderSpec):
            return self._inference.embed_all(first.spec, [question.asked for question in questions], "embed")
        return self._inference.ask_all(first.kind, first.spec, [question.asked for question in questions])

    def _give_up(self, error: BaseException) -> None:
        with self._turn:
            self._broken = error
            self._turn.notify_all()


class BatchedInference(Inference):
    """The models, as a function sees them that runs beside others."""

    def __init__(self, batch: InferenceBatch, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._batch = batch

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """As always."""
        return self._batch.ask("embed", spec, texts)

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        return self._batch.ask(kind, spec, Share(requests, stage, self._ledger))
