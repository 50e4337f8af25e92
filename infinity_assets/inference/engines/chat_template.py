"""Requests as tokens: what every engine that runs in this process does before and after its model."""

from functools import cached_property
from typing import Any, NamedTuple

from infinity_assets.inference.requests import (
    PROMPT_TOO_LONG,
    CompleteRequest,
    Messages,
    Request,
    Response,
    ScoreRequest,
    failed,
    normalised,
)

MAX_CHOICE_TOKENS = 128  # vLLM's bound on `logprob_token_ids`


class Scored(NamedTuple):
    """The tokens of a score."""

    tokens: list[int]
    """Of the context, then of the answer."""
    answer_start: int
    """Where the answer begins among them."""
    cut_at: int | None
    """The window, where the answer's end did not fit."""


class Prompting:
    """A model's tokenizer, its chat template, and what fits in its window."""

    def __init__(self, tokenizer: Any, window: int):
        """`tokenizer` is one of transformers; `window` is the longest prompt plus answer, in tokens."""
        self._tokenizer, self._window = tokenizer, window

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, and no others: special tokens that stand in it are read as such."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def chat(self, messages: Messages, answering: bool = True) -> list[int]:
        """The tokens of a conversation; `answering` adds the assistant's header."""
        text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=answering)
        return self.encode(text)  # the template has written the special tokens already

    @cached_property
    def header(self) -> list[int]:
        """What the template writes before an answer, and nothing before that; where that is nothing, the token that begins a text."""
        turn = [{"role": "user", "content": "?"}]
        closed, opened = (
            self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=add)
            for add in (False, True)
        )
        tokens = self.encode(opened.removeprefix(closed))
        return tokens or [self._tokenizer.bos_token_id or self._tokenizer.eos_token_id]

    def first_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        """A token per choice that tells it from all others, or None."""
        firsts = tuple(self.encode(choice)[0] for choice in choices)
        return firsts if len(set(firsts)) == len(firsts) <= MAX_CHOICE_TOKENS else None

    def too_long(self, tokens: list[int], room: int) -> Response | None:
        """The response to a prompt that leaves less than `room` tokens in the window."""
        if len(tokens) + room <= self._window:
            return None
        answer = f", and up to {room} of the answer," if room else ""
        cause = f"{len(tokens)} tokens{answer} do not fit in max_model_len = {self._window}"
        return failed(PROMPT_TOO_LONG, cause, len(tokens), window=self._window)

    def score(self, request: ScoreRequest) -> Scored | Response:
        """The tokens of a score, or the response to a context that leaves no room. An answer is cut to the window less one token."""
        context = self.chat(request.context) if request.context else self.header
        answer = self.encode(request.answer)
        room = self._window - 1 - len(context)  # vLLM generates one token, because it knows no request without
        if room < 1:
            cause = f"{len(context)} tokens of context leave no room in max_model_len = {self._window}"
            return failed(PROMPT_TOO_LONG, cause, len(context), window=self._window)
        return Scored(context + answer[:room], len(context), self._window if len(answer) > room else None)


def chosen(choices: tuple[str, ...], logprobs: list[float]) -> tuple[str, tuple[float, ...]]:
    """The most probable choice, the first of several, and the choices' log-probabilities, adding up to 1."""
    shares = normalised(logprobs)
    return choices[max(range(len(shares)), key=shares.__getitem__)], shares


def beginning(request: Request) -> tuple[str, ...]:
    """By this, requests with a common beginning stand side by side."""
    if isinstance(request, ScoreRequest):
        return (*(turn["content"] for turn in request.context), request.answer)
    if isinstance(request, CompleteRequest):
        return (request.text,)
    return tuple(turn["content"] for turn in request.messages)
