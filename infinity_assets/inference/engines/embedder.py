"""Vectors of texts, by sentence-transformers: transformers and static models alike."""

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
"""Texts are cut to this many characters per token of the window before they are counted: no more of them can be read."""

_STATIC_BATCH = 1024
"""A static model has no padding to waste and little to do per text: small batches would cost more than they hold."""


class Reading(NamedTuple):
    """What an embedder sees of texts, one entry per text."""

    cut: "np.ndarray"
    """Whether the text has more tokens than the window; bool."""
    unknown: "np.ndarray"
    """Share of the tokens that stand for no piece of text (unknown, a byte, a letter of a word spelled out), of an empty text 0; float32."""


class Embedder:
    """A sentence-transformers model, on the GPU if there is one."""

    def __init__(self, spec: EmbedderSpec, folder: Path):
        """Load the weights in `folder`, in fp32."""
        from sentence_transformers import SentenceTransformer
        from tokenizers import Tokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.spec = spec
        self._model: Any = SentenceTransformer(str(folder), local_files_only=True)
        tokenizer = self._model.tokenizer
        if isinstance(tokenizer, Tokenizer):  # a static model reads a text of any length unless its tokenizer stops
            tokenizer.enable_truncation(spec.max_tokens)
            self._batch = max(spec.batch_size, _STATIC_BATCH)
        else:
            self._model.max_seq_length = spec.max_tokens
            self._batch = spec.batch_size
        # A tokenizer of its own to count with: the model's cuts.
        self._counting = Tokenizer.from_str(getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
        self._counting.no_truncation()
        self._counting.no_padding()
        self._unknown = _unknown_ids(self._counting)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._model.get_embedding_dimension()

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """One vector of unit length per text, in order, as float32 of shape (texts, width). Texts are cut to `spec.max_tokens`.

        A text of which a static model knows no token has the vector 0.
        """
        # sentence-transformers batches by length itself, so that little is padding, and puts the rows back in order.
        return self._model.encode(
            list(texts),
            batch_size=self._batch,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )

    def read(self, texts: Sequence[str]) -> Reading:
        """How much of every text the model sees, and how much of that it knows."""
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


def _unknown_ids(tokenizer: Any) -> list[int]:
    """The ids of the tokens that say nothing about the text: the unknown token, the bytes that a tokenizer falls back to, and single letters
    of other scripts inside a word, which is how an English tokenizer spells Persian.
    """
    model = json.loads(tokenizer.to_str())["model"]
    ids = [tokenizer.token_to_id(model["unk_token"])] if model.get("unk_token") else [model.get("unk_id")]
    for token, number in tokenizer.get_vocab().items():
        inside = token.removeprefix("##") if token.startswith("##") or model["type"] != "WordPiece" else ""
        # White space is text, and is spelled as bytes too.
        if re.fullmatch(r"<0x(?!0[9AD])[0-9A-F]{2}>", token) or (
            len(inside) == 1 and inside.isalpha() and not _writes_words(inside)
        ):
            ids.append(number)
    return sorted(number for number in ids if number is not None)


def _writes_words(letter: str) -> bool:
    """Whether the letter is ASCII, or of a script in which one character may be a word."""
    return letter.isascii() or unicodedata.name(letter, "").startswith(("CJK", "HANGUL"))
