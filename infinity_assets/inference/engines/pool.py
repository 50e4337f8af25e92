"""The engines that are open in this process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infinity_assets.inference.engines.engine import Engine
from infinity_assets.inference.weights.models import Spec, local_path
from infinity_assets.progress import reporter
from infinity_assets.settings.models import EmbedderSpec, ModelSpec, RewardSpec


def open_engine(spec: ModelSpec | RewardSpec, models_dir: Path) -> Any:
    """The engine that a spec names, ready to be asked: an `Engine`, or a reward model, which is one for its own kind of requests. Raises
    `ModelMissing` when its weights have not been fetched.
    """
    if isinstance(spec, RewardSpec):
        from infinity_assets.inference.engines.reward import open_reward

        return open_reward(spec, local_path(spec, models_dir))
    if spec.backend == "openai":
        from infinity_assets.inference.engines.openai_engine import OpenAIEngine

        return OpenAIEngine(spec)
    if spec.backend == "transformers":
        from infinity_assets.inference.engines.transformers_engine import TransformersEngine

        return TransformersEngine(spec, local_path(spec, models_dir))
    from infinity_assets.inference.engines.vllm_engine import VllmEngine

    folder = local_path(spec, models_dir)
    if spec.data_parallel_size > 1 or spec.when_idle == "sleep":
        from infinity_assets.inference.engines.chat_template import beginning
        from infinity_assets.inference.engines.replicas import Replicas

        return Replicas(spec, folder, VllmEngine, beginning)
    return VllmEngine(spec, folder)


def open_embedder(spec: EmbedderSpec, models_dir: Path) -> Any:
    """The embedder that a spec names, ready to be asked."""
    from infinity_assets.inference.engines.embedder import Embedder

    return Embedder(spec, local_path(spec, models_dir))


class EnginePool:
    """At most one engine of each kind: one vLLM, one transformers, one client of a server, one embedder.

    Opening a model takes from seconds to minutes, so the engine of the last use stays open for the next one with the same spec. Another
    spec closes it first, because memory holds one, or sends it to sleep if it is to (`when_idle`): then it is woken when its turn comes again.
    One thread at a time has the pool.
    """

    def __init__(
        self,
        models_dir: Path,
        engine: Callable[[ModelSpec, Path], Engine] | Callable[[ModelSpec | RewardSpec, Path], Any] = open_engine,
        embedder: Callable[[EmbedderSpec, Path], Any] = open_embedder,
    ):
        self.folder, self._open_engine, self._open_embedder = models_dir, engine, embedder
        self._open: dict[str, tuple[Spec, Any]] = {}
        self._asleep: dict[str, Any] = {}
        self._lock = threading.RLock()

    @contextmanager
    def engine(self, spec: ModelSpec | RewardSpec) -> Iterator[Any]:
        """The engine or the reward model of that spec, for the block. It is closed when the block ends with an error: its state is then unknown."""
        with self._held(spec.backend, spec, self._open_engine) as engine:
            yield engine

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """The embedder of that spec, for the block."""
        with self._held("embedder", spec, self._open_embedder) as embedder:
            yield embedder

    def release(self) -> None:
        """Close everything."""
        with self._lock:
            for kind in list(self._open):
                self._close(kind)
            while self._asleep:
                self._asleep.popitem()[1].close()

    @contextmanager
    def _held(self, kind: str, spec: Any, opener: Callable[[Any, Path], Any]) -> Iterator[Any]:
        with self._lock:
            if kind in self._open and _opened_by(self._open[kind][0]) != _opened_by(spec):
                self._put_away(kind)
            if kind not in self._open:
                with reporter().starting(f"{spec.backend if kind != 'embedder' else kind} with {spec.model}"):
                    self._open[kind] = (spec, self._woken(spec) or opener(spec, self.folder))
            try:
                yield self._open[kind][1]
            except BaseException:
                self._close(kind)
                raise

    def _put_away(self, kind: str) -> None:
        spec, engine = self._open[kind]
        if isinstance(spec, ModelSpec) and spec.when_idle == "sleep":
            del self._open[kind]
            engine.sleep()
            self._asleep[_opened_by(spec)] = engine
        else:
            self._close(kind)

    def _woken(self, spec: Spec) -> Any:
        engine = self._asleep.pop(_opened_by(spec), None)
        if engine is not None:
            engine.wake()
        return engine

    def _close(self, kind: str) -> None:
        _, engine = self._open.pop(kind)
        engine.close()


def _opened_by(spec: Spec) -> str:
    """What of a spec decides the engine: two that differ in price share one."""
    return spec.model_dump_json(exclude={"price"})
