"""Embedding of texts with sentence-transformers, by transformer or static models."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from infinity_assets.inference.engines.batching import free
from infinity_assets.settings.models import EmbedderSpec

_CHARS_PER_TOKEN = 32
"""Before their tokens are counted, texts are cut to this number of characters per token of the context window, because
the model cannot read more."""

_STATIC_BATCH = 1024
"""Minimum batch size of a static model, which pads nothing and does little work per text."""


class Reading(NamedTuple):
    """The result of `Embedder.read`: two arrays with one entry per text."""

    cut: np.ndarray
    """True if the text has more tokens than the embedder reads; bool."""
    unknown: np.ndarray
    """Share of tokens without meaning (see `_find_unknown_ids`), 0 for an empty text; float32."""


class Embedder:
    """A sentence-transformers model, on the GPU if there is one."""

    def __init__(self, spec: EmbedderSpec, folder: Path):
        """Load the weights in `folder` as float32."""
        from sentence_transformers import SentenceTransformer
        from tokenizers import Tokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.spec = spec
        self._model: Any = SentenceTransformer(str(folder), local_files_only=True)
        tokenizer = self._model.tokenizer
        if isinstance(tokenizer, Tokenizer):  # a static model reads texts of any length unless its tokenizer truncates
            tokenizer.enable_truncation(spec.max_tokens)
            self._batch = max(spec.batch_size, _STATIC_BATCH)
        else:
            self._model.max_seq_length = spec.max_tokens
            self._batch = spec.batch_size
        # Counting needs a separate tokenizer, because the model's truncates.
        self._counting = Tokenizer.from_str(getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
        self._counting.no_truncation()
        self._counting.no_padding()
        self._unknown = _find_unknown_ids(self._counting)

    @property
    def width(self) -> int:
        """Number of dimensions of a vector."""
        return self._model.get_embedding_dimension()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return a float32 array of shape (texts, width) with one vector of unit length per text.

        Texts are cut to `spec.max_tokens`. If a static model knows none of a text's tokens, the vector is 0.
        """
        # sentence-transformers itself batches texts by length, which saves padding, and restores their order.
        return self._model.encode(
            list(texts),
            batch_size=self._batch,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )

    def read(self, texts: Sequence[str]) -> Reading:
        """Find the texts that are too long, and measure the share of tokens without meaning in each text."""
        window = self.spec.max_tokens
        encodings = self._counting.encode_batch_fast([text[: window * _CHARS_PER_TOKEN] for text in texts])
        tokens = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
        owner = np.repeat(np.arange(len(tokens)), lengths)
        known = ~np.isin(np.concatenate([*tokens, np.empty(0, np.int64)]), self._unknown)
        unknown = 1 - np.bincount(owner, known, minlength=len(tokens)) / np.maximum(lengths, 1)
        longer = np.array([len(text) > window * _CHARS_PER_TOKEN for text in texts], dtype=bool)
        return Reading((lengths > window) | longer, np.where(lengths > 0, unknown, 0).astype(np.float32))

    def close(self) -> None:
        """Free the memory."""
        del self._model
        free()


def _find_unknown_ids(tokenizer: Any) -> list[int]:
    """Return the ids of the tokens without meaning.

    These are the unknown token, bytes of unknown characters, and single letters within a word, unless `_can_be_word`.
    With such letters, an English tokenizer spells Persian.
    """
    model = json.loads(tokenizer.to_str())["model"]
    ids = [tokenizer.token_to_id(model["unk_token"])] if model.get("unk_token") else [model.get("unk_id")]
    for token, number in tokenizer.get_vocab().items():
        inside = token.removeprefix("##") if token.startswith("##") or model["type"] != "WordPiece" else ""
        # White space has meaning, although it may also be spelled as bytes.
        if re.fullmatch(r"<0x(?!0[9AD])[0-9A-F]{2}>", token) or (
            len(inside) == 1 and inside.isalpha() and not _can_be_word(inside)
        ):
            ids.append(number)
    return sorted(number for number in ids if number is not None)


def _can_be_word(letter: str) -> bool:
    """Return whether a letter is ASCII, or belongs to a script in which one character may be a word."""
    return letter.isascii() or unicodedata.name(letter, "").startswith(("CJK", "HANGUL"))
