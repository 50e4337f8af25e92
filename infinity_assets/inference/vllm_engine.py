"""vLLM in this process: the GPU build, or the CPU build with a small model, through one code path.

The engine's step loop is driven from here instead of through `LLM.generate`, which returns nothing before the last request has finished:
finished answers can be stored every few seconds while the batch stays full, and requests to generate, to choose and to score share one
batch.
"""

import gc
import logging
import math
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinity_assets.inference.engine import Admit, always
from infinity_assets.inference.requests import (
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
    most_tokens,
    normalised,
)
from infinity_assets.model_settings import ModelSpec

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # weights are fetched beforehand, by `infinity models fetch`
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in process: ready in a third of the time, and faster on few cores
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
MAX_CHOICE_TOKENS = 128  # vLLM's bound on `logprob_token_ids`


@dataclass
class _Flight:
    """A request that the engine works on."""

    position: int
    tokens: list[int]
    params: "SamplingParams"
    answer_start: int = 0
    """Of a score: where the answer begins among the tokens."""
    cut_at: int | None = None
    """Of a score whose answer did not fit: the window."""
    choices: tuple[str, ...] = ()
    """Of a choice by first tokens: the choices, in the order of `choice_tokens`."""
    choice_tokens: tuple[int, ...] = ()
    submitted: float = 0.0


class VllmEngine:
    """A model in vLLM. One per process at a time; not safe for several threads."""

    def __init__(self, spec: ModelSpec, folder: Path):
        """Load the weights in `folder`: about 16 seconds for the embedded model on two cores, most of it imports."""
        self.spec = spec
        self._llm = _load(spec, folder)
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._in_flight = self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        self._submitted = 0

    def run(self, requests: Sequence[Request], admit: Admit = always) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, in the order in which they finish.

        Requests with a common beginning are submitted together, because vLLM keeps what it computed for the first. When a step of the
        engine fails, what was in flight is tried again one by one, so that only the request at fault fails.
        """
        engine = self._llm.llm_engine
        waiting = deque(sorted(range(len(requests)), key=lambda position: _beginning(requests[position])))
        suspects: deque[int] = deque()
        flying: dict[str, _Flight] = {}
        try:
            while waiting or suspects or flying:
                queue, limit = (suspects, 1) if suspects else (waiting, self._in_flight)
                while queue and len(flying) < limit:
                    position = queue.popleft()
                    try:
                        flight = self._prepare(position, requests[position])
                        if isinstance(flight, Response):
                            yield position, flight
                        elif queue is suspects or admit(len(flight.tokens), most_tokens(requests[position])):
                            flying[self._submit(flight)] = flight
                        else:
                            waiting.clear()
                    except Exception as error:
                        yield position, failed(INVALID_REQUEST if _is_refusal(error) else ENGINE_ERROR, repr(error))
                if not flying:
                    continue
                try:
                    finished = [output for output in engine.step() if output.finished]
                except Exception as error:
                    engine.abort_request(list(flying))
                    if len(flying) > 1:
                        suspects.extend(flight.position for flight in flying.values())
                    else:
                        yield next(iter(flying.values())).position, failed(ENGINE_ERROR, repr(error))
                    flying.clear()
                    continue
                for output in finished:
                    flight = flying.pop(output.request_id)
                    yield flight.position, _response(flight, output)  # pyright: ignore[reportArgumentType]
        finally:
            if flying:  # the caller has stopped listening
                engine.abort_request(list(flying))

    def close(self) -> None:
        """Free the memory, so that another engine can be opened in this process."""
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm, self._tokenizer
        gc.collect()
        cleanup_dist_env_and_memory()

    def _submit(self, flight: _Flight) -> str:
        self._submitted += 1
        name = str(self._submitted)
        flight.submitted = time.monotonic()
        self._llm.llm_engine.add_request(name, {"prompt_token_ids": flight.tokens}, flight.params)
        return name

    def _prepare(self, position: int, request: Request) -> _Flight | Response:
        match request:
            case ScoreRequest():
                return self._prepare_score(position, request)
            case CompleteRequest():
                return self._prepare_complete(position, request)
            case GenerateRequest():
                return self._prepare_generate(position, request)

    def _prepare_generate(self, position: int, request: GenerateRequest) -> _Flight | Response:
        tokens = self._prompt(request.messages)
        firsts = self._first_tokens(request.choices) if request.choices else None
        room = 1 if firsts else request.sampling.max_tokens
        if long := self._too_long(tokens, room):
            return long
        if request.choices and firsts:
            # One forward pass and no grammar: the most probable of the choices is found from the log-probabilities of their first tokens.
            params = _params(temperature=0.0, max_tokens=1, logprob_token_ids=list(firsts), detokenize=False)
            return _Flight(position, tokens, params, choices=request.choices, choice_tokens=firsts)
        if request.choices:
            params = _params(temperature=0.0, max_tokens=room, structured_outputs=_structured(choice=list(request.choices)))
            return _Flight(position, tokens, params)
        structured = _structured(json=request.schema) if request.schema is not None else None
        temperature, top_p = request.sampling.temperature, request.sampling.top_p
        params = _params(temperature=temperature, top_p=top_p, max_tokens=room, seed=request.seed, structured_outputs=structured)
        return _Flight(position, tokens, params)

    def _prepare_complete(self, position: int, request: CompleteRequest) -> _Flight | Response:
        tokens = self._tokenizer.encode(request.text, add_special_tokens=False)
        sampling = request.sampling
        if long := self._too_long(tokens, sampling.max_tokens):
            return long
        params = _params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=request.seed,
            stop=list(request.stop),
            skip_special_tokens=False,  # or a stop that is a special token would not be seen
        )
        return _Flight(position, tokens, params)

    def _too_long(self, tokens: list[int], room: int) -> Response | None:
        window = self.spec.max_model_len
        if len(tokens) + room <= window:
            return None
        cause = f"{len(tokens)} tokens, and up to {room} of the answer, do not fit in max_model_len = {window}"
        return failed(PROMPT_TOO_LONG, cause, len(tokens), window=window)

    def _prepare_score(self, position: int, request: ScoreRequest) -> _Flight | Response:
        context = self._prompt(request.context) if request.context else self._header
        answer = self._tokenizer.encode(request.answer, add_special_tokens=False)
        window = self.spec.max_model_len
        room = window - 1 - len(context)  # one token is generated, because vLLM knows no request without
        if room < 1:
            cause = f"{len(context)} tokens of context leave no room in max_model_len = {window}"
            return failed(PROMPT_TOO_LONG, cause, len(context), window=window)
        # Flat log-probabilities hold a few lists instead of a dictionary per token.
        params = _params(temperature=0.0, max_tokens=1, prompt_logprobs=0, flat_logprobs=True, detokenize=False)
        return _Flight(position, context + answer[:room], params, answer_start=len(context), cut_at=window if len(answer) > room else None)

    def _prompt(self, messages: Messages) -> list[int]:
        text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return self._tokenizer.encode(text, add_special_tokens=False)  # the template has written them already

    @cached_property
    def _header(self) -> list[int]:
        """What the template writes before an answer, and nothing before that; where that is nothing, the token that begins a text."""
        turn = [{"role": "user", "content": "?"}]
        closed, opened = (self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=add) for add in (False, True))
        tokens = self._tokenizer.encode(opened.removeprefix(closed), add_special_tokens=False)
        return tokens or [self._tokenizer.bos_token_id or self._tokenizer.eos_token_id]

    def _first_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        """A token per choice that tells it from all others, or None."""
        firsts = tuple(self._tokenizer.encode(choice, add_special_tokens=False)[0] for choice in choices)
        return firsts if len(set(firsts)) == len(firsts) <= MAX_CHOICE_TOKENS else None


def _load(spec: ModelSpec, folder: Path) -> "LLM":
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # "Triton not available", on every CPU
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.platforms import current_platform

        on_cpu = current_platform.is_cpu()
        if on_cpu:
            # Eager or not, vLLM compiles its ranking of log-probabilities at the first use: 15 seconds, and it wants a C++ compiler.
            os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        from vllm import LLM

        _settle_llvmlite()
        arguments: dict[str, Any] = {
            "max_model_len": spec.max_model_len,
            "dtype": spec.dtype,
            "tensor_parallel_size": spec.tensor_parallel_size,
            "enable_prefix_caching": True,  # what requests with a common beginning share is computed once
            "enforce_eager": on_cpu,  # on a CPU, compiling gains 8 % and takes 77 seconds
            # A seeded request whose prompt is read in pieces breaks the step on a CPU: its generator cannot be wound back (vLLM 0.32).
            "enable_chunked_prefill": not on_cpu,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        return LLM(str(folder), **{**arguments, **spec.engine})


def _settle_llvmlite() -> None:
    """Give llvmlite's handle of its library a `__dict__`.

    vLLM 0.32 on a CPU looks at `vars()` of all that modules hold. Once numba has been used that is also this handle, which makes a C function of
    any name it is asked for, `__dict__` too, and the engine does not start.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab["__dict__"] = {}


def _params(**arguments: Any) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **arguments)


def _structured(**arguments: Any) -> Any:
    from vllm.sampling_params import StructuredOutputsParams

    # Without free whitespace a small model cannot fill its answer with blanks.
    return StructuredOutputsParams(disable_any_whitespace=True, **arguments)


def _is_refusal(error: Exception) -> bool:
    """Whether the request itself is at fault: the chat template or vLLM does not take a role, a schema, a parameter."""
    from jinja2 import TemplateError
    from vllm.exceptions import VLLMValidationError

    return isinstance(error, (VLLMValidationError, TemplateError, ValueError, TypeError, LookupError))


def _beginning(request: Request) -> tuple[str, ...]:
    """By this, requests with a common beginning stand side by side."""
    if isinstance(request, ScoreRequest):
        return (*(turn["content"] for turn in request.context), request.answer)
    if isinstance(request, CompleteRequest):
        return (request.text,)
    return tuple(turn["content"] for turn in request.messages)


def _response(flight: _Flight, output: "RequestOutput") -> Response:
    answer = output.outputs[0]
    prompt_tokens, completion_tokens = len(flight.tokens), len(answer.token_ids)
    seconds = time.monotonic() - flight.submitted
    if flight.answer_start:
        flat: Any = output.prompt_logprobs
        logprobs = flat.logprobs[flat.start_indices[flight.answer_start] :]
        return Response(
            finish_reason="scored" if flight.cut_at is None else "cut",
            prompt_tokens=prompt_tokens,
            seconds=seconds,
            sum_logprob=math.fsum(logprobs),
            answer_tokens=len(logprobs),
            window=flight.cut_at,
        )
    if flight.choices:
        first: Any = answer.logprobs[0]  # pyright: ignore[reportOptionalSubscript]
        logprobs = normalised([first[token].logprob for token in flight.choice_tokens])
        best = max(range(len(logprobs)), key=logprobs.__getitem__)
        return Response(
            text=flight.choices[best],
            finish_reason="stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=seconds,
            choice_logprobs=logprobs,
        )
    return Response(
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        seconds=seconds,
    )
