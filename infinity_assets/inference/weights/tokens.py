"""What is known of a model's tokens without loading it: its begin and end of text, how many tokens a text has, and how its chat template opens and
closes a user's turn.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.models import local_path
from infinity_assets.rows.text import word_count
from infinity_assets.settings.models import ModelSpec

BOS, EOS = "<s>", "</s>"
"""Of a model that is not here, and the end of text of one that names none: those of the published synthesizer, as of all that descend from Llama."""

TOKENS_PER_WORD = 1.5
"""Where there is no tokenizer: Instruction Pre-Training's estimate (arXiv 2406.14491, its code). A CJK character is a word."""


@dataclass(frozen=True)
class Tokens:
    """A model's special tokens as it spells them, and its count of tokens."""

    bos: str
    """Begin of text; empty where it has none."""
    eos: str
    """End of text."""
    count: Callable[[str], int]


def tokens_of(spec: ModelSpec, models_dir: Path) -> Tokens:
    """Of a model on this machine, by its tokenizer; of one on a server, estimated. Raises `ModelMissing` when it should be here and is not.

    The tokenizer is read without transformers, whose import takes ten seconds.
    """
    if spec.backend == "openai":
        return Tokens(BOS, EOS, estimate)
    folder = local_path(spec, models_dir)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return Tokens(
        _content(config.get("bos_token")) or "",
        _content(config.get("eos_token")) or EOS,
        _counter(folder / "tokenizer.json"),
    )


_SYSTEM, _USER = "THE_SYSTEM_PROMPT", "THE_USERS_WORDS"


@dataclass(frozen=True)
class UserTurn:
    """Where a user's words stand in a model's chat template."""

    opening: str
    """All that comes before them."""
    stops: tuple[str, ...]
    """What ends them: the template's end of turn, and the end of text."""

    def before(self, system: str) -> str:
        """All that comes before them, with this system prompt."""
        return self.opening.replace(_SYSTEM, system)


def user_turn(spec: ModelSpec, models_dir: Path) -> UserTurn:
    """The user's turn of a model on this machine.

    Raises:
        ModelMissing: It is not here.
        InfinityError: It has no chat template, or one without a place for a system prompt.
    """
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    folder = local_path(spec, models_dir)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
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
    # A template that closes no turn has the next one's header there.
    ends = (end.strip() or opened.partition(_USER)[2].strip(), tokens_of(spec, models_dir).eos)
    return UserTurn(opening, tuple(dict.fromkeys(text for text in ends if text)))


def estimate(text: str) -> int:
    """The number of tokens of a text, by its words."""
    return math.ceil(TOKENS_PER_WORD * pl.select(word_count(pl.lit(text))).item())


def _counter(file: Path) -> Callable[[str], int]:
    if not file.is_file():
        return estimate
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _content(token: object) -> str | None:
    """A special token, which stands in the file as a text or as an object that has it."""
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None
