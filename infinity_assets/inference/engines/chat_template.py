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

MAX_CHOICE_TOKENS = 128  # maximum of `logprob_token_ids` in vLLM


class Scored(NamedTuple):
    """The token ids of a score request."""

    tokens: list[int]
    """Tokens of the context, followed by those of the answer."""
    answer_start: int
    """Position of the answer's first token."""
    cut_at: int | None
    """The context window, in tokens, if the answer was cut to fit into it, otherwise None."""


class Prompting:
    """A model's tokenizer and chat template, and its `window`: the maximum tokens of prompt and answer together."""

    def __init__(self, tokenizer: Any, window: int):
        self._tokenizer = tokenizer
        self._window = window

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text. Special tokens in the text are recognized, and none are added."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def encode_chat(self, messages: Messages, answering: bool = True) -> list[int]:
        """Return the token ids of a conversation, with the header of a further assistant turn if `answering`."""
        text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=answering)
        return self.encode(text)  # the template has added the special tokens already

    @cached_property
    def header(self) -> list[int]:
        """Token ids that the chat template writes directly before an answer, or begin of text if there are none."""
        turn = [{"role": "user", "content": "?"}]
        closed, opened = (
            self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=add)
            for add in (False, True)
        )
        tokens = self.encode(opened.removeprefix(closed))
        return tokens or [self._tokenizer.bos_token_id or self._tokenizer.eos_token_id]

    def find_first_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        """Return the first token id of every choice. None if two are equal, or there are over `MAX_CHOICE_TOKENS`."""
        firsts = tuple(self.encode(choice)[0] for choice in choices)
        return firsts if len(set(firsts)) == len(firsts) <= MAX_CHOICE_TOKENS else None

    def reject_too_long(self, tokens: list[int], room: int) -> Response | None:
        """Return `prompt_too_long` if the prompt leaves fewer than `room` tokens in the window, otherwise None."""
        if len(tokens) + room <= self._window:
            return None
        answer = f", and up to {room} of the answer," if room else ""
        cause = f"{len(tokens)} tokens{answer} do not fit in max_model_len = {self._window}"
        return make_failure(PROMPT_TOO_LONG, cause, len(tokens), window=self._window)

    def score(self, request: ScoreRequest) -> Scored | Response:
        """Return the tokens of a score request, or `prompt_too_long` if the context leaves no room for the answer.

        The answer is cut so that one token of the context window stays free.
        """
        context = self.encode_chat(request.context) if request.context else self.header
        return join_score(context, self.encode(request.answer), self._window)


def join_score(context: list[int], answer: list[int], window: int) -> Scored | Response:
    """Return the joined tokens of context and answer, or `prompt_too_long` if no token of the answer fits."""
    room = window - 1 - len(context)  # vLLM always generates at least one token
    if room < 1:
        cause = f"{len(context)} tokens of context leave no room in max_model_len = {window}"
        return make_failure(PROMPT_TOO_LONG, cause, len(context), window=window)
    return Scored(context + answer[:room], len(context), window if len(answer) > room else None)


def make_choice(choices: tuple[str, ...], logprobs: list[float]) -> Response:
    """Return a response of one token with the most probable choice, or the first of equally probable choices."""
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
