"""An embedder with a small vocabulary, like a static model but without libraries that take seconds to load."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.engines.pool import EnginePool


class Words:
    """An embedder whose vector is the mean of the word vectors. Unknown words share a vector."""

    width = 16

    def __init__(self, words: Sequence[str]):
        self._number = {word: number for number, word in enumerate(words, 1)}
        self._table = np.random.default_rng(0).normal(size=(len(words) + 1, self.width)).astype(np.float32)

    def _numbers(self, text: str) -> list[int]:
        return [self._number.get(word, 0) for word in text.split()]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            if numbers := self._numbers(text):
                vectors[row] = self._table[numbers].mean(axis=0)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def read(self, texts: Sequence[str]) -> Reading:
        unknown = [numbers.count(0) / max(len(numbers), 1) for numbers in map(self._numbers, texts)]
        return Reading(np.zeros(len(texts), bool), np.array(unknown, np.float32))

    def close(self) -> None: ...

    def pool(self) -> EnginePool:
        """Return a pool that opens this embedder for every spec."""
        return EnginePool(Path("nowhere"), embedder=lambda spec, models: self)
