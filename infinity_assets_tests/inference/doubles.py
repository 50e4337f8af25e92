"""A scripted engine, requests for it, and builders of small models."""

import random
import shutil
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infinity_assets.inference.engines.engine import Admit, Engine, admit_all
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, Request, Response, most_tokens
from infinity_assets.settings.models import ModelSpec, Sampling

SPEC = ModelSpec(model="scripted")
EMBEDDED = ModelSpec(dtype="float32", max_model_len=1024)
"""The embedded model for tests, in float32: bf16 rounds differently on every kind of CPU, so texts would differ."""


def ask(row_id: str, content: str | None = None, **changes) -> GenerateRequest:
    """Build a request, by default with a question that contains the row id."""
    arguments: dict[str, Any] = {
        "row_id": row_id,
        "prompt": "answer",
        "prompt_hash": "p1",
        "messages": ({"role": "user", "content": content or f"question {row_id}"},),
        "sampling": Sampling(temperature=0.0, top_p=0.9),
    }
    return GenerateRequest(**{**arguments, **changes})


def echo(request: Request) -> Response:
    """Answer with the question."""
    assert isinstance(request, GenerateRequest)
    return Response(
        text=request.messages[-1]["content"], finish_reason="stop", prompt_tokens=3, completion_tokens=2, seconds=0.1
    )


class ScriptedEngine:
    """An engine that answers by a function in shuffled order and records its requests."""

    def __init__(self, answer: Callable[[Request], Response] = echo, prompt_tokens: int = 3):
        self.answer = answer
        self.prompt_tokens = prompt_tokens
        self.asked: list[Request] = []
        self.opened = 0
        self.closed = 0

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        order = list(range(len(requests)))
        random.Random(0).shuffle(order)
        for position in order:
            if not admit(self.prompt_tokens, most_tokens(requests[position])):
                return
            self.asked.append(requests[position])
            yield position, self.answer(requests[position])

    def close(self) -> None:
        self.closed += 1

    def pool(self) -> EnginePool:
        """Return a pool that opens this engine for any spec."""

        def opener(spec: ModelSpec, models_dir: Path) -> ScriptedEngine:
            self.opened += 1
            return self

        return EnginePool(Path("nowhere"), engine=opener)


class Lengths:
    """An embedder whose vector is the length and the first letter of a text."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.extend(texts)
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)

    def close(self) -> None:
        pass


def save_static_model(folder: Path, words: Sequence[str], width: int = 16) -> Path:
    """Save a static model like sentence-transformers: with a modules.json and without a config.json."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).normal(size=(len(vocabulary), width)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, table)], device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
    return folder


def save_language_model(folder: Path, tokenizer: Path) -> Path:
    """Save a small Llama with seeded weights, and the tokenizer and chat template of another model.

    It writes nonsense that depends on everything it has read, and its most probable token is rarely in doubt.
    """
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(_small_llama(eos_token_id=2, initializer_range=0.2))
    torch.nn.init.normal_(model.lm_head.weight, std=0.75)
    return _save(model, folder, tokenizer)


def save_reward_model(folder: Path, tokenizer: Path, **config) -> Path:
    """Save a small seeded Llama with one number as its output, and the tokenizer and chat template of another model."""
    import torch
    from transformers import LlamaForSequenceClassification

    model = LlamaForSequenceClassification(_small_llama(**{"num_labels": 1, **config}))
    torch.nn.init.normal_(model.score.weight)  # large enough that rewards differ
    return _save(model, folder, tokenizer)


def _small_llama(**config) -> Any:
    """Configure a Llama with two layers and the smallest heads that vLLM accepts on a CPU, and seed the next draws."""
    import torch
    from transformers import LlamaConfig

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": 49152,
        "max_position_embeddings": 2048,
        "pad_token_id": None,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    return LlamaConfig(**{**sizes, **config})


def _save(model: Any, folder: Path, tokenizer: Path) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer / name, folder)
    return folder


def run_engine(engine: Engine, requests: Sequence[Request]) -> list[Response]:
    """Return the responses in the order of the requests, and assert that each request has one."""
    responses = dict(engine.run(requests))
    assert sorted(responses) == list(range(len(requests)))
    return [responses[position] for position in range(len(requests))]
