"""Conversion of requests into tokens, shared by all engines that run in this process."""

from functools import cached_property
from typing import Any, NamedTuple

from infinity_assets.inference.requests import (
    PROMPT_TOO_LONG,
    CompleteRequest,
    Messages,
    Request,
    Response,
    ScoreRequest,
    make_failure,
    normalize_logprobs,
)

MAX_CHOICE_TOKENS = 128  # vLLM's bound on `logprob_token_ids`


class Scored(NamedTuple):
    """The tokens of a score request."""

    tokens: list[int]
    """Tokens of the context, followed by those of the answer."""
    answer_start: int
    """Position of the answer's first token."""
    cut_at: int | None
    """The window if the answer did not fit in it, otherwise None."""


class Prompting:
    """A model's tokenizer, chat template and window.

    Args:
        tokenizer: A tokenizer of transformers.
        window: Maximum number of tokens of prompt and answer together.
    """

    def __init__(self, tokenizer: Any, window: int):
        self._tokenizer = tokenizer
        self._window = window

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, with no begin or end token added. Special tokens in the text are recognized."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def encode_chat(self, messages: Messages, answering: bool = True) -> list[int]:
        """Return the tokens of a conversation; `answering` adds the assistant's header."""
        text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=answering)
        return self.encode(text)  # the template has added the special tokens already

    @cached_property
    def header(self) -> list[int]:
        """Tokens that the template writes directly before an answer, or the begin-of-text token if there are none."""
        turn = [{"role": "user", "content": "?"}]
        closed, opened = (
            self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=add)
            for add in (False, True)
        )
        tokens = self.encode(opened.removeprefix(closed))
        return tokens or [self._tokenizer.bos_token_id or self._tokenizer.eos_token_id]

    def find_first_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        """Return the first token of every choice, or None if two share one or there are more than
        `MAX_CHOICE_TOKENS`.
        """
        firsts = tuple(self.encode(choice)[0] for choice in choices)
        return firsts if len(set(firsts)) == len(firsts) <= MAX_CHOICE_TOKENS else None

    def reject_too_long(self, tokens: list[int], room: int) -> Response | None:
        """Return the error response if the prompt leaves less than `room` tokens in the window, otherwise None."""
        if len(tokens) + room <= self._window:
            return None
        answer = f", and up to {room} of the answer," if room else ""
        cause = f"{len(tokens)} tokens{answer} do not fit in max_model_len = {self._window}"
        return make_failure(PROMPT_TOO_LONG, cause, len(tokens), window=self._window)

    def score(self, request: ScoreRequest) -> Scored | Response:
        """Return the tokens of a score request, or the error response if the context leaves no room for the answer.

        The answer is cut so that one token of the window stays free.
        """
        context = self.encode_chat(request.context) if request.context else self.header
        return join_score(context, self.encode(request.answer), self._window)


def join_score(context: list[int], answer: list[int], window: int) -> Scored | Response:
    """Return the tokens of context and answer, or the error response if the context leaves no room for the answer."""
    room = window - 1 - len(context)  # vLLM always generates at least one token
    if room < 1:
        cause = f"{len(context)} tokens of context leave no room in max_model_len = {window}"
        return make_failure(PROMPT_TOO_LONG, cause, len(context), window=window)
    return Scored(context + answer[:room], len(context), window if len(answer) > room else None)


def make_choice(choices: tuple[str, ...], logprobs: list[float]) -> Response:
    """Return the response with the most probable choice, the first in a tie, by one token."""
    shares = normalize_logprobs(logprobs)
    best = max(range(len(shares)), key=shares.__getitem__)
    return Response(choices[best], "stop", completion_tokens=1, choice_logprobs=shares)


def prefix_key(request: Request) -> tuple[str, ...]:
    """Return a sort key that puts requests with a common prefix next to each other."""
    if isinstance(request, ScoreRequest):
        return (*(turn["content"] for turn in request.context), request.answer)
    if isinstance(request, CompleteRequest):
        return (request.text,)
    return tuple(turn["content"] for turn in request.messages)
