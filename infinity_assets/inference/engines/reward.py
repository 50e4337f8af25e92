"""Reward models: how good a conversation's answers are, as one number, by transformers or by vLLM's pooling.

The number is the logit of a sequence-classification head at the end of the conversation, which is written in the model's own chat template,
with no header for a further answer. Both ways give it in float32, of any size and sign.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines import vllm_engine
from infinity_assets.inference.engines.batching import by_halves, free, padded, pieces
from infinity_assets.inference.engines.chat_template import Prompting
from infinity_assets.inference.engines.engine import Admit, always
from infinity_assets.inference.engines.hardware import device, precision
from infinity_assets.inference.requests import (
    ENGINE_ERROR,
    INVALID_REQUEST,
    Response,
    RewardRequest,
    failed,
    finite,
    most_tokens,
)
from infinity_assets.settings.models import RewardSpec

PREPARED = 1024
"""Conversations that are turned into tokens at a time."""
POOLED = 128
"""Conversations that vLLM is given at a time; it makes its own batches of them."""


class _Job(NamedTuple):
    position: int
    tokens: list[int]


class RewardModel(ABC):
    """A reward model. Its two kinds differ in how they load and in how they answer a batch. Not safe for several threads."""

    _batch: int
    """Conversations per batch."""
    _prompting: Prompting

    def run(
        self, requests: Sequence[RewardRequest], admit: Admit = always
    ) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, the longest first, as `engine.Engine` says. A batch that fails is halved, so that only the request at fault fails.

        A conversation longer than the window gets `prompt_too_long`, a number that is none `not_finite`.
        """
        order = sorted(
            range(len(requests)),
            key=lambda position: -sum(len(turn["content"]) for turn in requests[position].messages),
        )
        for some in pieces(order, PREPARED):
            jobs: list[_Job] = []
            for position in some:
                job = self._prepare(position, requests[position])
                if isinstance(job, Response):
                    yield position, job
                else:
                    jobs.append(job)
            jobs.sort(key=lambda job: -len(job.tokens))
            for batch in pieces(jobs, self._batch):
                admitted = list(
                    takewhile(lambda job: admit(len(job.tokens), most_tokens(requests[job.position])), batch)
                )
                started = time.monotonic()
                for job, found in by_halves(admitted, self._rewards) if admitted else ():
                    response = (
                        failed(ENGINE_ERROR, repr(found))
                        if isinstance(found, Exception)
                        else finite(Response(reward=found))
                    )
                    yield (
                        job.position,
                        replace(response, prompt_tokens=len(job.tokens), seconds=time.monotonic() - started),
                    )
                if len(admitted) < len(batch):
                    return

    @abstractmethod
    def close(self) -> None:
        """Free the memory."""

    @abstractmethod
    def _rewards(self, batch: Sequence[_Job]) -> list[float]: ...

    def _prepare(self, position: int, request: RewardRequest) -> _Job | Response:
        try:
            tokens = self._prompting.chat(request.messages, answering=False)
        except Exception as error:  # of the chat template
            return failed(INVALID_REQUEST, repr(error))
        return self._prompting.too_long(tokens, 0) or _Job(position, tokens)


class TransformersReward(RewardModel):
    """By transformers, on the GPU if there is one."""

    def __init__(self, spec: RewardSpec, folder: Path):
        """Load the weights in `folder`. Raises `InfinityError` when they are not those of a model with one number as its output."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        arguments: dict[str, Any] = {
            "dtype": precision(spec.dtype, device()),
            "local_files_only": True,
            "output_loading_info": True,
            **spec.engine,
        }
        model, loading = AutoModelForSequenceClassification.from_pretrained(folder, **arguments)
        # transformers makes a head at random where the weights have none.
        if loading["missing_keys"] or loading["mismatched_keys"] or model.config.num_labels != 1:
            raise InfinityError(
                f"{spec.model} is no reward model: its weights hold no head with one number as its output"
            )
        self._batch = spec.batch_size
        self._model: Any = model.eval() if "device_map" in arguments else model.eval().to(device())
        self._prompting = Prompting(AutoTokenizer.from_pretrained(folder, local_files_only=True), spec.max_model_len)
        self._filler = self._model.config.get_text_config().pad_token_id

    def close(self) -> None:
        """Free the memory."""
        del self._model
        free()

    def _rewards(self, batch: Sequence[_Job]) -> list[float]:
        import torch

        # The model finds the end of a conversation by its padding: where it names none, a token that is in no conversation of the batch.
        filler = self._filler if self._filler is not None else _absent(batch)
        self._model.config.get_text_config().pad_token_id = filler
        ids, mask = padded([job.tokens for job in batch], self._model.device, filler=filler)
        with torch.inference_mode():
            return self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0].float().tolist()


class VllmReward(RewardModel):
    """By vLLM's pooling runner."""

    _batch = POOLED

    def __init__(self, spec: RewardSpec, folder: Path):
        """Load the weights in `folder`."""
        self._llm: Any = vllm_engine.load(spec, folder)
        self._prompting = Prompting(self._llm.get_tokenizer(), spec.max_model_len)

    def close(self) -> None:
        """Free the memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm, self._prompting
        vllm_engine.free()

    def _rewards(self, batch: Sequence[_Job]) -> list[float]:
        from vllm import PoolingParams

        # Without the activation: the logit itself.
        prompts, params = [{"prompt_token_ids": job.tokens} for job in batch], PoolingParams(use_activation=False)
        outputs = self._llm.encode(prompts, params, use_tqdm=False, pooling_task="classify")
        return [output.outputs.data.float().item() for output in outputs]


def open_reward(spec: RewardSpec, folder: Path) -> RewardModel:
    """The reward model that a spec names, ready to be asked."""
    return VllmReward(spec, folder) if spec.backend == "vllm" else TransformersReward(spec, folder)


def _absent(batch: Sequence[_Job]) -> int:
    """The smallest token that is in none of the conversations."""
    present = {token for job in batch for token in job.tokens}
    return next(token for token in range(len(present) + 1) if token not in present)
