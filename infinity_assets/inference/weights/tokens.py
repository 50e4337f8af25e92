"""Special tokens, token counts, and the marks of a user turn in a chat template, without loading a model."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.models import local_path
from infinity_assets.rows.text import word_count
from infinity_assets.settings.models import ModelSpec

BOS, EOS = "<s>", "</s>"
"""Special tokens assumed for a model on a server. `EOS` is also assumed for a local model that names no end of text.
The published synthesizer and other descendants of Llama use them."""

TOKENS_PER_WORD = 1.5
"""Estimate for models without a tokenizer, from the code of Instruction Pre-Training (arXiv 2406.14491). A CJK
character counts as a word."""


@dataclass(frozen=True)
class Tokens:
    """A model's special tokens and its token counter."""

    bos: str
    """Token that begins a text; empty if the model has none."""
    eos: str
    """Token that ends a text."""
    count: Callable[[str], int]
    """Function that counts the tokens of a text."""


def tokens_of(spec: ModelSpec, models_dir: Path) -> Tokens:
    """Return the special tokens and the token counter of a model. They are estimates if the model is on a server.

    The tokenizer is read without transformers, whose import takes ten seconds. Raises `ModelMissing`.
    """
    if spec.backend == "openai":
        return Tokens(BOS, EOS, estimate)
    folder = local_path(spec, models_dir)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    bos, eos = (_token_text(config.get(name)) for name in ("bos_token", "eos_token"))
    return Tokens(bos or "", eos or EOS, _load_counter(folder / "tokenizer.json"))


_SYSTEM, _USER = "THE_SYSTEM_PROMPT", "THE_USERS_WORDS"


@dataclass(frozen=True)
class UserTurn:
    """The marks that a model's chat template writes before and after a user's message."""

    opening: str
    """Text before the user's message, with a placeholder for the system prompt."""
    stops: tuple[str, ...]
    """Texts that end the user's message: the template's end of turn, and the end-of-text token."""

    def before(self, system: str) -> str:
        """Return the text before the user's message, with the given system prompt."""
        return self.opening.replace(_SYSTEM, system)


def read_user_turn(spec: ModelSpec, models_dir: Path) -> UserTurn:
    """Read the marks of a user turn from the chat template of a model on this machine.

    Raises:
        ModelMissing: The weights have not been fetched.
        InfinityError: The model has no chat template, or its template does not support system prompts.
    """
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    folder = local_path(spec, models_dir)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    turns = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
    try:
        closed, opened = (
            str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add))
            for add in (False, True)
        )
    except (ValueError, TemplateError) as error:
        raise InfinityError(
            f"The chat template of {spec.model} cannot be used: {' '.join(str(error).split())[:200]}"
        ) from error
    opening, _, end = closed.partition(_USER)
    if _SYSTEM not in opening:
        raise InfinityError(
            f"The chat template of {spec.model} has no place for a system prompt before the user's words."
        )
    # If a template does not close turns, the header of the next turn ends the user's message.
    ends = (end.strip() or opened.partition(_USER)[2].strip(), tokens_of(spec, models_dir).eos)
    return UserTurn(opening, tuple(dict.fromkeys(text for text in ends if text)))


def estimate(text: str) -> int:
    """Estimate the number of tokens of a text from its words."""
    return math.ceil(TOKENS_PER_WORD * pl.select(word_count(pl.lit(text))).item())


def _load_counter(file: Path) -> Callable[[str], int]:
    if not file.is_file():
        return estimate
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _token_text(token: object) -> str | None:
    """Return the text of a special token, which the file contains as a string or as an object with `content`."""
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None
