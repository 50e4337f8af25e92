"""Embedding of texts with sentence-transformers, by transformers or static models."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infinity_assets.settings.models import EmbedderSpec

if TYPE_CHECKING:
    import numpy as np

_CHARS_PER_TOKEN = 32
"""Number of characters per token of the window to which texts are cut before their tokens are counted: the model cannot
read more."""

_STATIC_BATCH = 1024
"""Smallest batch of a static model, which pads nothing and does little work per text."""


class Reading(NamedTuple):
    """Coverage of texts by an embedder, one entry per text."""

    cut: "np.ndarray"
    """True if the text has more tokens than the window; bool."""
    unknown: "np.ndarray"
    """Share of meaningless tokens (unknown, a byte, a letter of a word spelled out), 0 for an empty text; float32."""


class Embedder:
    """A sentence-transformers model, on the GPU if there is one."""

    def __init__(self, spec: EmbedderSpec, folder: Path):
        """Load the weights in `folder` as fp32."""
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

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """Return vectors of unit length as float32 of shape (texts, width), in order.

        Texts are cut to `spec.max_tokens`. If a static model has none of a text's tokens, the vector is 0.
        """
        # sentence-transformers itself batches by length, which saves padding, and restores the order.
        return self._model.encode(
            list(texts),
            batch_size=self._batch,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )

    def read(self, texts: Sequence[str]) -> Reading:
        """Measure which texts are cut and which share of their tokens is unknown."""
        import numpy as np

        window = self.spec.max_tokens
        pieces = [
            encoding.ids
            for encoding in self._counting.encode_batch_fast([text[: window * _CHARS_PER_TOKEN] for text in texts])
        ]
        lengths = np.array([len(ids) for ids in pieces], dtype=np.int64)
        owner = np.repeat(np.arange(len(pieces)), lengths)
        known = ~np.isin(
            np.fromiter((token for ids in pieces for token in ids), np.int64, int(lengths.sum())), self._unknown
        )
        unknown = 1 - np.bincount(owner, known, minlength=len(pieces)) / np.maximum(lengths, 1)
        longer = np.array([len(text) > window * _CHARS_PER_TOKEN for text in texts], dtype=bool)
        return Reading((lengths > window) | longer, np.where(lengths > 0, unknown, 0).astype(np.float32))

    def close(self) -> None:
        """Free the memory."""
        import torch

        del self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _find_unknown_ids(tokenizer: Any) -> list[int]:
    """Find the ids of tokens without meaning.

    These are the unknown token, fallback bytes, and single letters of other scripts inside a word, which is how an
    English tokenizer spells Persian.
    """
    model = json.loads(tokenizer.to_str())["model"]
    ids = [tokenizer.token_to_id(model["unk_token"])] if model.get("unk_token") else [model.get("unk_id")]
    for token, number in tokenizer.get_vocab().items():
        inside = token.removeprefix("##") if token.startswith("##") or model["type"] != "WordPiece" else ""
        # White space counts as text, although it is spelled as bytes too.
        if re.fullmatch(r"<0x(?!0[9AD])[0-9A-F]{2}>", token) or (
            len(inside) == 1 and inside.isalpha() and not _can_be_word(inside)
        ):
            ids.append(number)
    return sorted(number for number in ids if number is not None)


def _can_be_word(letter: str) -> bool:
    """Return whether the letter is ASCII, or of a script in which one character may be a word."""
    return letter.isascii() or unicodedata.name(letter, "").startswith(("CJK", "HANGUL"))
