"""Engine with vLLM in this process: the GPU build, or the CPU build with a small model, in one code path.

The module drives the engine's step loop itself, because `LLM.generate` returns nothing before the last request has
finished. So finished answers can be stored every few seconds while the batch stays full, and requests to generate,
choose and score share one batch.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinity_assets.inference.engines.chat_template import Prompting, choose, prefix_key
from infinity_assets.inference.engines.engine import Admit, admit_all
from infinity_assets.inference.engines.hardware import precision
from infinity_assets.inference.requests import (
    ENGINE_ERROR,
    INVALID_REQUEST,
    CompleteRequest,
    GenerateRequest,
    Request,
    Response,
    ScoreRequest,
    make_failure,
    most_tokens,
)
from infinity_assets.settings.models import ModelSpec, RewardSpec

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # `infinity models fetch` has fetched the weights
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in process, it starts in a third of the time and is faster on few cores
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


@dataclass
class _InFlight:
    """A request in the engine."""

    position: int
    tokens: list[int]
    params: "SamplingParams"
    answer_start: int = 0
    """For a score: position of the answer's first token."""
    cut_at: int | None = None
    """For a score whose answer did not fit: the window."""
    choices: tuple[str, ...] = ()
    """For a choice by first tokens: the choices, in the order of `choice_tokens`."""
    choice_tokens: tuple[int, ...] = ()
    submitted: float = 0.0


class VllmEngine:
    """A model in vLLM. A process can have one at a time; not thread-safe."""

    def __init__(self, spec: ModelSpec, folder: Path):
        """Load the weights in `folder`: about 12 seconds for the embedded model on two cores, most of it imports."""
        self.spec = spec
        self._llm = load(spec, folder)
        self._prompting = Prompting(self._llm.get_tokenizer(), spec.max_model_len)
        self._in_flight = self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        self._submitted = 0

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests in order of completion.

        Requests with a common prefix are submitted together, because vLLM caches the computation of the first. If a
        step of the engine fails, the requests in flight are repeated one by one, so that only the faulty one fails.
        """
        engine = self._llm.llm_engine
        waiting = deque(sorted(range(len(requests)), key=lambda position: prefix_key(requests[position])))
        suspects: deque[int] = deque()
        flying: dict[str, _InFlight] = {}
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
                        yield (
                            position,
                            make_failure(INVALID_REQUEST if _is_invalid_request(error) else ENGINE_ERROR, repr(error)),
                        )
                if not flying:
                    continue
                try:
                    finished = [output for output in engine.step() if output.finished]
                except Exception as error:
                    engine.abort_request(list(flying))
                    if len(flying) > 1:
                        suspects.extend(flight.position for flight in flying.values())
                    else:
                        yield next(iter(flying.values())).position, make_failure(ENGINE_ERROR, repr(error))
                    flying.clear()
                    continue
                for output in finished:
                    flight = flying.pop(output.request_id)
                    yield flight.position, _make_response(flight, output)  # pyright: ignore[reportArgumentType]
        finally:
            if flying:  # the caller has stopped listening
                engine.abort_request(list(flying))

    def close(self) -> None:
        """Free the memory, so that another engine can be opened in this process."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm, self._prompting
        free()

    def sleep(self) -> None:
        """Move the weights to main memory and release the GPU; the engine's cache of prompts is lost."""
        self._llm.sleep(level=1)

    def wake(self) -> None:
        """Move the weights back to the GPU."""
        self._llm.wake_up()

    def _submit(self, flight: _InFlight) -> str:
        self._submitted += 1
        name = str(self._submitted)
        flight.submitted = time.monotonic()
        self._llm.llm_engine.add_request(name, {"prompt_token_ids": flight.tokens}, flight.params)
        return name

    def _prepare(self, position: int, request: Request) -> _InFlight | Response:
        match request:
            case ScoreRequest():
                return self._prepare_score(position, request)
            case CompleteRequest():
                return self._prepare_complete(position, request)
            case GenerateRequest():
                return self._prepare_generate(position, request)

    def _prepare_generate(self, position: int, request: GenerateRequest) -> _InFlight | Response:
        tokens = self._prompting.encode_chat(request.messages)
        firsts = self._prompting.find_first_tokens(request.choices) if request.choices else None
        room = 1 if firsts else request.sampling.max_tokens
        if long := self._prompting.reject_too_long(tokens, room):
            return long
        if request.choices and firsts:
            # The log-probabilities of first tokens decide in one forward pass, without a grammar.
            params = _sampling_params(temperature=0.0, max_tokens=1, logprob_token_ids=list(firsts), detokenize=False)
            return _InFlight(position, tokens, params, choices=request.choices, choice_tokens=firsts)
        if request.choices:
            params = _sampling_params(
                temperature=0.0, max_tokens=room, structured_outputs=_structured_outputs(choice=list(request.choices))
            )
            return _InFlight(position, tokens, params)
        structured = _structured_outputs(json=request.schema) if request.schema is not None else None
        temperature, top_p = request.sampling.temperature, request.sampling.top_p
        params = _sampling_params(
            temperature=temperature, top_p=top_p, max_tokens=room, seed=request.seed, structured_outputs=structured
        )
        return _InFlight(position, tokens, params)

    def _prepare_complete(self, position: int, request: CompleteRequest) -> _InFlight | Response:
        tokens = self._prompting.encode(request.text)
        sampling = request.sampling
        if long := self._prompting.reject_too_long(tokens, sampling.max_tokens):
            return long
        params = _sampling_params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=request.seed,
            stop=list(request.stop),
            skip_special_tokens=False,  # a stop can be a special token
        )
        return _InFlight(position, tokens, params)

    def _prepare_score(self, position: int, request: ScoreRequest) -> _InFlight | Response:
        scored = self._prompting.score(request)
        if isinstance(scored, Response):
            return scored
        # Flat log-probabilities are a few lists instead of a dictionary per token.
        params = _sampling_params(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, flat_logprobs=True, detokenize=False
        )
        return _InFlight(position, scored.tokens, params, answer_start=scored.answer_start, cut_at=scored.cut_at)


def import_vllm() -> bool:
    """Set `ENVIRONMENT`, import vLLM, and return whether it is the CPU build.

    The import takes most of the time for opening a model: 9 of 12 seconds for the embedded model on two cores, and 12
    more if Python has yet to compile the modules.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # it warns of missing Triton on every CPU
    collecting = gc.isenabled()
    gc.disable()  # an import leaves no garbage, and the search for it takes a tenth of the time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from vllm.platforms import current_platform

            on_cpu = current_platform.is_cpu()
            if on_cpu:
                # Even in eager mode, vLLM compiles its ranking of log-probabilities at the first use, which takes 15
                # seconds and a C++ compiler.
                os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
            from vllm import LLM  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    _patch_llvmlite()
    return on_cpu


def load(spec: ModelSpec | RewardSpec, folder: Path) -> "LLM":
    """Load the weights in `folder` into vLLM, for generation and scores, or for rewards."""
    on_cpu = import_vllm()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm import LLM

        arguments: dict[str, Any] = {
            "max_model_len": spec.max_model_len,
            "dtype": precision(spec.dtype, "cpu" if on_cpu else "gpu"),
            "enforce_eager": on_cpu,  # on a CPU, compilation gains 8 % and takes 77 seconds
            # On a CPU, a chunked prompt of a seeded request breaks the step: its generator cannot be reset (vLLM 0.32).
            "enable_chunked_prefill": not on_cpu,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if isinstance(spec, RewardSpec):
            arguments |= {"runner": "pooling", "convert": "classify"}
        else:
            arguments |= {
                "tensor_parallel_size": spec.tensor_parallel_size,
                "enable_sleep_mode": spec.when_idle == "sleep" and not on_cpu,
                "enable_prefix_caching": True,  # common prefixes of requests are computed once
            }
        return LLM(str(folder), **{**arguments, **spec.engine})


def free() -> None:
    """Return unused memory to the device and prepare this process for another engine."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    gc.collect()
    cleanup_dist_env_and_memory()


def _patch_llvmlite() -> None:
    """Give llvmlite's handle of its library a `__dict__`.

    On a CPU, vLLM 0.32 calls `vars()` on all values in modules. Once numba has been used, this handle is among them. It
    returns a C function for any attribute, even `__dict__`, and then the engine does not start.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab["__dict__"] = {}


def _sampling_params(**arguments: Any) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **arguments)


def _structured_outputs(**arguments: Any) -> Any:
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(**arguments)


def _is_invalid_request(error: Exception) -> bool:
    """Return whether the chat template or vLLM has rejected a part of the request: a role, a schema, a parameter."""
    from jinja2 import TemplateError
    from vllm.exceptions import VLLMValidationError

    return isinstance(error, (VLLMValidationError, TemplateError, ValueError, TypeError, LookupError))


def _make_response(flight: _InFlight, output: "RequestOutput") -> Response:
    answer = output.outputs[0]
    prompt_tokens = len(flight.tokens)
    completion_tokens = len(answer.token_ids)
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
        text, logprobs = choose(flight.choices, [first[token].logprob for token in flight.choice_tokens])
        return Response(
            text=text,
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
