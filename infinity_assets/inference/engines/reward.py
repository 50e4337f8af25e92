"""Reward models, which rate the answers of a conversation with one number, in transformers or vLLM.

The model's chat template renders the conversation, without a header for a further answer. The reward is the logit of a
sequence-classification head at its end, a float32 of any size and sign.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines import vllm_engine
from infinity_assets.inference.engines.batching import Job, free, iterate_chunks, pad, run_batches
from infinity_assets.inference.engines.chat_template import Prompting
from infinity_assets.inference.engines.engine import Admit, admit_all
from infinity_assets.inference.engines.hardware import device, precision
from infinity_assets.inference.requests import Response, RewardRequest, text_of
from infinity_assets.settings.models import RewardSpec

POOLED = 128
"""Number of conversations that are passed to vLLM at a time. vLLM divides them into batches itself."""


class RewardModel(ABC):
    """Base class of reward models. Subclasses load a model and compute the rewards of a batch. Not thread-safe."""

    _batch: int
    """Number of conversations per batch."""
    _prompting: Prompting

    def run(
        self, requests: Sequence[RewardRequest], admit: Admit = admit_all
    ) -> Generator[tuple[int, Response], None, None]:
        """Answer requests like `engine.Engine.run`, the longest first.

        A conversation longer than the context window gets the error `prompt_too_long`; an infinite or NaN reward gets
        `not_finite`.
        """
        order = sorted(range(len(requests)), key=lambda position: -len(text_of(requests[position])))
        yield from run_batches(requests, order, self._prepare, self._batches, self._answer, admit)

    @abstractmethod
    def close(self) -> None:
        """Free the memory."""

    @abstractmethod
    def _rewards(self, batch: Sequence[Job]) -> list[float]: ...

    def _prepare(self, position: int, request: RewardRequest) -> Job | Response:
        tokens = self._prompting.encode_chat(request.messages, answering=False)
        return self._prompting.reject_too_long(tokens, 0) or Job(position, tokens)

    def _batches(self, jobs: list[Job]) -> Iterator[list[Job]]:
        return iterate_chunks(sorted(jobs, key=lambda job: -len(job.tokens)), self._batch)

    def _answer(self, batch: Sequence[Job]) -> list[Response]:
        return [Response(reward=reward) for reward in self._rewards(batch)]


class TransformersReward(RewardModel):
    """A reward model in transformers, on the GPU if there is one."""

    def __init__(self, spec: RewardSpec, folder: Path):
        """Load the weights in `folder`. Raises `InfinityError` if the model's output is not one number."""
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
        # If the weights have no head, transformers creates a random one.
        if loading["missing_keys"] or loading["mismatched_keys"] or model.config.num_labels != 1:
            raise InfinityError(
                f"{spec.model} is not a reward model: its weights have no head with one number as its output"
            )
        self._batch = spec.batch_size
        self._model: Any = model.eval() if "device_map" in arguments else model.eval().to(device())
        self._prompting = Prompting(AutoTokenizer.from_pretrained(folder, local_files_only=True), spec.max_model_len)
        self._filler = self._model.config.get_text_config().pad_token_id

    def close(self) -> None:
        """Free the memory."""
        del self._model
        free()

    def _rewards(self, batch: Sequence[Job]) -> list[float]:
        import torch

        # The model finds the end of a conversation by its padding token. If it has none, use any token that does not
        # occur in the batch.
        filler = self._filler
        if filler is None:
            present = {token for job in batch for token in job.tokens}
            filler = next(token for token in count() if token not in present)
        self._model.config.get_text_config().pad_token_id = filler
        ids, mask = pad([job.tokens for job in batch], self._model.device, filler=filler)
        with torch.inference_mode():
            return self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0].float().tolist()


class VllmReward(RewardModel):
    """A reward model in vLLM's pooling runner."""

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

    def _rewards(self, batch: Sequence[Job]) -> list[float]:
        from vllm import PoolingParams

        prompts = [{"prompt_token_ids": job.tokens} for job in batch]
        params = PoolingParams(use_activation=False)  # the logit itself
        outputs = self._llm.encode(prompts, params, use_tqdm=False, pooling_task="classify")
        return [output.outputs.data.float().item() for output in outputs]


def open_reward(spec: RewardSpec, folder: Path) -> RewardModel:
    """Open a reward model in vLLM or transformers, as `spec.backend` says."""
    return VllmReward(spec, folder) if spec.backend == "vllm" else TransformersReward(spec, folder)
