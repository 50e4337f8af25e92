"""Tokens and turns without loading a model agree with its tokenizer."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.models import ModelMissing
from infinity_assets.inference.weights.tokens import estimate, read_user_turn, tokens_of
from infinity_assets.settings.models import ModelSpec

TEXTS = ["", "Tea is hot.", "茶是热的。", "<|im_start|> <CON> Tea, 茶 </CON>\n\n<QUE> q <ANS> a </END><|im_end|>"]


def test_token_counts_equal_those_of_transformers(models_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(models_dir / "smollm2-135m-instruct"))
    tokens = tokens_of(ModelSpec(), models_dir)
    assert (tokens.bos, tokens.eos) == (tokenizer.bos_token, tokenizer.eos_token)
    assert [tokens.count(text) for text in TEXTS] == [
        len(tokenizer.encode(text, add_special_tokens=False)) for text in TEXTS
    ]


@pytest.mark.parametrize(
    ("token", "expected"), [("<s>", "<s>"), ({"content": "<s>", "lstrip": False}, "<s>"), (None, "")]
)
def test_special_tokens_are_read_in_every_spelling(tmp_path: Path, token: object, expected: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": token}))
    tokens = tokens_of(ModelSpec(model=str(tmp_path)), tmp_path)
    assert (tokens.bos, tokens.eos, tokens.count) == (expected, "</s>", estimate)


def test_tokens_of_a_model_on_a_server_are_estimated(tmp_path: Path) -> None:
    tokens = tokens_of(ModelSpec(backend="openai", model="m"), tmp_path)
    assert (tokens.bos, tokens.eos) == ("<s>", "</s>")
    assert [tokens.count(text) for text in ("", "Tea is hot.", "茶是热的。")] == [0, 5, 6]


def test_a_missing_local_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="infinity models fetch"):
        tokens_of(ModelSpec(model="nobody/knows"), tmp_path)


def copy_with_template(models_dir: Path, folder: Path, template: str | None) -> ModelSpec:
    """Copy the embedded model's tokenizer with another chat template."""
    source = models_dir / "smollm2-135m-instruct"
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(source / name, folder)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return ModelSpec(model=str(folder))


def test_the_user_turn_comes_from_the_template(models_dir: Path) -> None:
    turn = read_user_turn(ModelSpec(), models_dir)
    assert turn.before("Be kind.") == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
    assert turn.stops == ("<|im_end|>",)


def test_an_unclosed_turn_ends_at_the_header_of_the_answer(models_dir: Path, tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    turn = read_user_turn(copy_with_template(models_dir, tmp_path, template), models_dir)
    assert (turn.before("Be kind."), turn.stops) == ("<system>Be kind.<user>", ("<assistant>", "<|im_end|>"))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "cannot be used"),
        (
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system, please') }}{% endif %}",
            "No system, please",
        ),
        ("<user>{{ messages[-1]['content'] }}", "no place for a system prompt"),
    ],
)
def test_an_unusable_template_is_an_error(models_dir: Path, tmp_path: Path, template: str | None, says: str) -> None:
    with pytest.raises(InfinityError, match=says) as error:
        read_user_turn(copy_with_template(models_dir, tmp_path, template), models_dir)
    assert "\n" not in str(error.value)
