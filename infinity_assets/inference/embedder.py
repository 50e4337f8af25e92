"""Vectors of texts, by sentence-transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinity_assets.settings import EmbedderSpec

if TYPE_CHECKING:
    import numpy as np


class Embedder:
    """A sentence-transformers model, on the GPU if there is one."""

    def __init__(self, spec: EmbedderSpec, folder: Path):
        """Load the weights in `folder`, in fp32."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.spec = spec
        self._model: Any = SentenceTransformer(str(folder), local_files_only=True)
        self._model.max_seq_length = spec.max_tokens

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """One vector of unit length per text, in order, as float32 of shape (texts, width). Texts are cut to `spec.max_tokens`."""
        # sentence-transformers batches by length itself, so that little is padding, and puts the rows back in order.
        return self._model.encode(
            list(texts), batch_size=self.spec.batch_size, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )

    def close(self) -> None:
        """Free the memory."""
        import torch

        del self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
