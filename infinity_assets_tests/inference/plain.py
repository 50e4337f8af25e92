"""Reference model for engines: plain transformers as in its manual, one text at a time, in float32."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from infinity_assets.inference.requests import Messages

HEADER = "<|im_start|>assistant\n"
"""The text that the embedded model's chat template writes before an answer."""


class Plain:
    """A language model without batches or caches."""

    def __init__(self, folder: Path):
        """Load the weights in `folder`."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._logprobs_of = lru_cache(maxsize=None)(self._run)  # several tests need equal values

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text without adding any."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def prompt(self, messages: Messages) -> list[int]:
        """Return the tokens before an answer; without messages, those of the header."""
        if not messages:
            return self.encode(HEADER)
        return self.encode(
            self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        )

    def greedy(self, messages: Messages, max_tokens: int) -> str:
        """Return the text that the model writes."""
        import torch

        before = torch.tensor([self.prompt(messages)])
        written = self._model.generate(before, do_sample=False, max_new_tokens=max_tokens)[0, before.shape[1] :]
        return self.tokenizer.decode(written, skip_special_tokens=True)

    def logprobs(self, context: Messages, answer: str) -> list[float]:
        """Return the log-probability of each token of an answer."""
        return list(self._logprobs_of(tuple(self.prompt(context)), tuple(self.encode(answer))))

    def choice_logprobs(self, messages: Messages, choices: Sequence[str]) -> list[float]:
        """Return the normalized log-probability of each choice as an answer."""
        scores = np.array([sum(self.logprobs(messages, choice)) for choice in choices])
        return (scores - np.logaddexp.reduce(scores)).tolist()

    def _run(self, before: tuple[int, ...], after: tuple[int, ...]) -> tuple[float, ...]:
        import torch

        with torch.inference_mode():
            logits = self._model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
            return tuple(logits.log_softmax(-1)[range(len(after)), after].tolist())
