"""The pool of the open engines of this process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from infinity_assets.inference.engines.engine import Engine
from infinity_assets.inference.weights.models import Spec, local_path
from infinity_assets.progress import reporter
from infinity_assets.settings.models import EmbedderSpec, ModelSpec, RewardSpec


def open_engine(spec: ModelSpec | RewardSpec, models_dir: Path) -> Any:
    """Open the engine of a model: an `Engine`, or a reward model, which answers reward requests in the same way.

    Raises:
        ModelMissing: The weights have not been fetched.
        EngineUnavailable: The replicas of a model could not be opened.
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
        from infinity_assets.inference.engines.replicas import Replicas

        return Replicas(spec, folder, VllmEngine)
    return VllmEngine(spec, folder)


def open_embedder(spec: EmbedderSpec, models_dir: Path) -> Any:
    """Open an embedder. Raises `ModelMissing`."""
    from infinity_assets.inference.engines.embedder import Embedder

    return Embedder(spec, local_path(spec, models_dir))


class EnginePool:
    """A pool with at most one open engine of each kind: vLLM, transformers, client of a server, embedder.

    Opening a model takes seconds to minutes, so an engine stays open for its next use. Memory holds only one engine of
    a kind, so the pool closes it before it opens another one. If `when_idle` is `sleep`, the engine is put to sleep
    instead, and woken for its next use. Only one thread at a time can use the pool.
    """

    def __init__(
        self,
        models_dir: Path,
        engine: Callable[[ModelSpec, Path], Engine] | Callable[[ModelSpec | RewardSpec, Path], Any] = open_engine,
        embedder: Callable[[EmbedderSpec, Path], Any] = open_embedder,
    ):
        self.folder = models_dir
        self._open_engine = engine
        self._open_embedder = embedder
        self._open: dict[str, tuple[Spec, Any]] = {}
        self._asleep: dict[str, Any] = {}
        self._lock = threading.RLock()
        self.opening_seconds = 0.0
        """Total seconds that opening and waking took."""

    def engine(self, spec: ModelSpec | RewardSpec) -> AbstractContextManager[Any]:
        """Open an engine or reward model for the duration of a `with` block.

        If the block ends with an error, the engine is closed, because its state is unknown.
        """
        return self._hold(spec.backend, spec, self._open_engine)

    def embedder(self, spec: EmbedderSpec) -> AbstractContextManager[Any]:
        """Open an embedder for the duration of a `with` block."""
        return self._hold("embedder", spec, self._open_embedder)

    def release(self) -> None:
        """Close all engines and embedders."""
        with self._lock:
            for kind in list(self._open):
                self._close(kind)
            while self._asleep:
                self._asleep.popitem()[1].close()

    @contextmanager
    def _hold(self, kind: str, spec: Any, opener: Callable[[Any, Path], Any]) -> Iterator[Any]:
        with self._lock:
            if kind in self._open and _engine_key(self._open[kind][0]) != _engine_key(spec):
                self._put_away(kind)
            if kind not in self._open:
                began = time.monotonic()
                with reporter().show_startup(f"{spec.backend if kind != 'embedder' else kind} with {spec.model}"):
                    if engine := self._asleep.pop(_engine_key(spec), None):
                        engine.wake()
                    self._open[kind] = spec, engine or opener(spec, self.folder)
                self.opening_seconds += time.monotonic() - began
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
            self._asleep[_engine_key(spec)] = engine
        else:
            self._close(kind)

    def _close(self, kind: str) -> None:
        self._open.pop(kind)[1].close()


def _engine_key(spec: Spec) -> str:
    """Return the fields of a spec, except its price, as a string. Specs with equal strings can share an engine."""
    return spec.model_dump_json(exclude={"price"})
