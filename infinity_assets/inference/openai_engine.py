"""Any server that speaks OpenAI's API. Generating works with all of them; choices and scores use what `vllm serve` adds to it.

The key is read from the environment variable that the settings name and goes nowhere but into the request's header: causes of errors are
searched for it, because servers like to quote it.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

from infinity_assets.inference.engine import Admit, EngineUnavailable, always
from infinity_assets.inference.requests import (
    CONNECTION,
    ENGINE_ERROR,
    INVALID_REQUEST,
    PROMPT_TOO_LONG,
    CompleteRequest,
    GenerateRequest,
    Messages,
    Request,
    Response,
    ScoreRequest,
    failed,
    normalised,
)
from infinity_assets.model_settings import ModelSpec

RETRIES = 6  # with the client's back-off, from half a second doubling to eight, or what the server asks for: about half a minute in all
TIMEOUT = 600.0  # seconds for one answer; a long answer of a large model under load takes minutes
TOP_LOGPROBS = 20  # as many as `vllm serve` gives by default, and OpenAI at all
ANOTHER_SHAPE = (ValueError, TypeError, LookupError, AttributeError)  # what reading a reply raises that is not what the API promises


class OpenAIEngine:
    """A model on a server. The requests in flight live on an event loop in a thread of their own."""

    def __init__(self, spec: ModelSpec, retries: int = RETRIES):
        import openai

        self.spec = spec
        self._key = os.environ.get(spec.api_key_env, "")
        # Not None: the client would then take OPENAI_API_KEY, and send it to whatever server this is.
        self._client: Any = openai.AsyncOpenAI(
            base_url=spec.base_url, api_key=self._key or "none", max_retries=retries, timeout=openai.Timeout(TIMEOUT, connect=10.0)
        )
        self._header: list[int] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-engine", daemon=True)
        self._thread.start()

    def run(self, requests: Sequence[Request], admit: Admit = always) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, in the order in which they finish; `spec.concurrency` of them are in flight."""
        answers: queue.SimpleQueue[tuple[int, Response] | None] = queue.SimpleQueue()
        running = asyncio.run_coroutine_threadsafe(self._ask_all(requests, answers), self._loop)
        running.add_done_callback(lambda _: answers.put(None))
        try:
            while (answer := answers.get()) is not None:
                yield answer
            running.result()
        finally:
            running.cancel()

    def close(self) -> None:
        """Close the connections and end the thread."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ask_all(self, requests: Sequence[Request], answers: "queue.SimpleQueue[tuple[int, Response] | None]") -> None:
        numbered = iter(enumerate(requests))

        async def work() -> None:
            for position, request in numbered:  # one iterator for all workers: each takes the next
                answers.put((position, await self._ask(request)))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.spec.concurrency, len(requests))):
                    group.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _ask(self, request: Request) -> Response:
        import openai

        start = time.monotonic()
        try:
            if isinstance(request, ScoreRequest):
                return await self._score(request, start)
            if isinstance(request, CompleteRequest):
                return await self._complete(request, start)
            return await self._generate(request, start)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            cause = f"{self.spec.base_url} refuses the key in {self.spec.api_key_env}: {self._safe(error)}"
            raise EngineUnavailable(cause) from None
        except openai.NotFoundError as error:
            raise EngineUnavailable(f"{error.request.url} or the model {self.spec.model} is not there: {self._safe(error)}") from None
        except openai.APIConnectionError as error:
            cause = f"{self.spec.base_url}: {error} {error.__cause__ or ''}"
            return failed(CONNECTION, self._safe(cause), seconds=time.monotonic() - start)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            cause, seconds = self._safe(error), time.monotonic() - start
            if "context length" in cause or "context_length" in cause:
                return failed(PROMPT_TOO_LONG, cause, seconds=seconds, window=self.spec.max_model_len)
            return failed(INVALID_REQUEST, cause, seconds=seconds)
        except (openai.OpenAIError, *ANOTHER_SHAPE) as error:
            return failed(ENGINE_ERROR, self._safe(error), seconds=time.monotonic() - start)

    async def _generate(self, request: GenerateRequest, start: float) -> Response:
        sampling = request.sampling
        arguments: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
        if request.seed is not None:
            arguments["seed"] = request.seed
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.choices:
            arguments |= {"temperature": 0.0, "top_p": 1.0, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
            arguments["extra_body"] = {"structured_outputs": {"choice": list(request.choices)}}
        reply = await self._client.chat.completions.create(model=self.spec.model, messages=list(request.messages), **arguments)
        choice = reply.choices[0]
        text = choice.message.content or ""
        return Response(
            text=text.strip() if request.choices else text,
            finish_reason=choice.finish_reason,
            prompt_tokens=reply.usage.prompt_tokens if reply.usage else 0,
            completion_tokens=reply.usage.completion_tokens if reply.usage else 0,
            seconds=time.monotonic() - start,
            choice_logprobs=_choice_logprobs(request.choices, choice.logprobs) if request.choices else None,
        )

    async def _complete(self, request: CompleteRequest, start: float) -> Response:
        """`/v1/completions`. That no special token is added or hidden is asked for as `vllm serve` reads it."""
        sampling = request.sampling
        arguments: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
        if request.seed is not None:
            arguments["seed"] = request.seed
        if request.stop:
            arguments["stop"] = list(request.stop)
        reply = await self._client.completions.create(
            model=self.spec.model,
            prompt=request.text,
            extra_body={"add_special_tokens": False, "skip_special_tokens": False},
            **arguments,
        )
        choice = reply.choices[0]
        return Response(
            text=choice.text or "",
            finish_reason=choice.finish_reason,
            prompt_tokens=reply.usage.prompt_tokens if reply.usage else 0,
            completion_tokens=reply.usage.completion_tokens if reply.usage else 0,
            seconds=time.monotonic() - start,
        )

    async def _score(self, request: ScoreRequest, start: float) -> Response:
        """As in process: the tokens of the context and of the answer are found apart, joined, and sent as a prompt of token ids."""
        context = await self._chat_tokens(request.context) if request.context else await self._header_tokens()
        answer = await self._tokenize(prompt=request.answer, add_special_tokens=False)
        window = self.spec.max_model_len
        room = window - 1 - len(context)
        if room < 1:
            cause = f"{len(context)} tokens of context leave no room in max_model_len = {window}"
            return failed(PROMPT_TOO_LONG, cause, len(context), window=window)
        tokens, cut = context + answer[:room], len(answer) > room
        reply = await self._client.completions.create(
            model=self.spec.model, prompt=tokens, max_tokens=1, temperature=0.0, extra_body={"prompt_logprobs": 0}
        )
        positions = getattr(reply.choices[0], "prompt_logprobs", None)
        if positions is None:
            raise EngineUnavailable(f"{self.spec.base_url} gives no prompt_logprobs: scores need `vllm serve`, or the vllm backend")
        logprobs = [next(iter(position.values()))["logprob"] for position in positions[len(context) :]]
        return Response(
            finish_reason="cut" if cut else "scored",
            prompt_tokens=len(tokens),
            seconds=time.monotonic() - start,
            sum_logprob=sum(logprobs),
            answer_tokens=len(logprobs),
            window=window if cut else None,
        )

    async def _chat_tokens(self, messages: Messages, add_generation_prompt: bool = True) -> list[int]:
        return await self._tokenize(messages=list(messages), add_generation_prompt=add_generation_prompt, add_special_tokens=False)

    async def _header_tokens(self) -> list[int]:
        """What the chat template writes before an answer, and nothing before that."""
        if self._header is None:
            turn = ({"role": "user", "content": "?"},)
            closed = await self._chat_tokens(turn, add_generation_prompt=False)
            self._header = (await self._chat_tokens(turn))[len(closed) :]
        return self._header

    async def _tokenize(self, **body: Any) -> list[int]:
        url = self.spec.base_url.rstrip("/").removesuffix("/v1") + "/tokenize"
        reply = await self._client.post(url, body={"model": self.spec.model, **body}, cast_to=object)
        return reply["tokens"]

    def _safe(self, error: object) -> str:
        """An error in words, without the key."""
        response = getattr(error, "response", None)
        text = f"{response.status_code} {response.text}" if response is not None else str(error)
        return text.replace(self._key, "***") if self._key else text


def _choice_logprobs(choices: tuple[str, ...], logprobs: Any) -> tuple[float, ...] | None:
    """The log-probabilities of the choices by their first tokens, or None where the server gave none or a token fits two choices."""
    if not logprobs or not logprobs.content:
        return None
    found = dict.fromkeys(choices, float("-inf"))
    for entry in logprobs.content[0].top_logprobs:
        fitting = [choice for choice in choices if entry.token and choice.startswith(entry.token)]
        if len(fitting) > 1:
            return None
        if fitting:
            found[fitting[0]] = max(found[fitting[0]], entry.logprob)
    values = [found[choice] for choice in choices]
    return normalised(values) if max(values) > float("-inf") else None
