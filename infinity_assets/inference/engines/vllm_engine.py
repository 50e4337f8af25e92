"""Engine with vLLM in this process. The same code runs the GPU build, and the CPU build with a small model.

The module runs the step loop of vLLM itself, because `LLM.generate` returns nothing before the last request has
finished. So finished answers can be stored every few seconds while the batch stays full, and requests to generate,
choose and score share one batch.
"""

import gc
import logging
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinity_assets.inference.engines.chat_template import Prompting, make_choice, prefix_key
from infinity_assets.inference.engines.engine import Admit, admit_all
from infinity_assets.inference.engines.hardware import precision
from infinity_assets.inference.requests import (
    ENGINE_ERROR,
    INVALID_REQUEST,
    CompleteRequest,
    Request,
    Response,
    ScoreRequest,
    make_failure,
    make_score,
    most_tokens,
)
from infinity_assets.settings.models import ModelSpec, RewardSpec

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # `infinity models fetch` has fetched the weights
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # vLLM starts in a third of the time and is faster on few cores
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


@dataclass
class _InFlight:
    """A prepared request, before and after its submission to vLLM."""

    position: int
    tokens: list[int]
    params: "SamplingParams"
    read: Callable[["RequestOutput"], Response]
    """Function that makes the response from vLLM's output."""
    submitted: float = 0.0


class VllmEngine:
    """A model in vLLM. A process can have one at a time; not thread-safe."""

    def __init__(self, spec: ModelSpec, folder: Path):
        """Load the weights in `folder`. For the embedded model on two cores, this takes 12 seconds, mostly imports."""
        self._llm = load(spec, folder)
        self._prompting = Prompting(self._llm.get_tokenizer(), spec.max_model_len)
        self._in_flight = self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        self._submitted = 0

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests in order of completion.

        Requests with a common prefix are submitted one after the other, because vLLM caches the computation of a
        prefix. If a step fails, the requests in flight are repeated one by one, so that only the faulty one fails.
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
                        kind = INVALID_REQUEST if _is_invalid_request(error) else ENGINE_ERROR
                        yield position, make_failure(kind, repr(error))
                if not flying:
                    continue
                try:
                    finished: list[Any] = [output for output in engine.step() if output.finished]
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
                    response = flight.read(output)
                    seconds = time.monotonic() - flight.submitted
                    yield flight.position, replace(response, prompt_tokens=len(flight.tokens), seconds=seconds)
        finally:
            if flying:  # the caller has stopped listening
                engine.abort_request(list(flying))

    def close(self) -> None:
        """Free the memory, so that another engine can be opened in this process."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm, self._prompting
        free()

    def sleep(self) -> None:
        """Move the weights to main memory and release the GPU. The prefix cache is lost."""
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
        if isinstance(request, ScoreRequest):
            return self._prepare_score(position, request)
        sampling = request.sampling
        arguments: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": request.seed}
        if isinstance(request, CompleteRequest):
            tokens = self._prompting.encode(request.text)
            arguments |= {"stop": list(request.stop), "skip_special_tokens": False}  # a stop can be a special token
        else:
            tokens = self._prompting.encode_chat(request.messages)
            firsts = self._prompting.find_first_tokens(request.choices) if request.choices else None
            if request.choices and firsts:
                return self._prepare_choice(position, tokens, request.choices, firsts)
            if request.choices:
                arguments = {"temperature": 0.0, "structured_outputs": {"choice": list(request.choices)}}
            elif request.schema is not None:
                arguments["structured_outputs"] = {"json": request.schema}
        if long := self._prompting.reject_too_long(tokens, sampling.max_tokens):
            return long
        params = _sampling_params(max_tokens=sampling.max_tokens, **arguments)
        return _InFlight(position, tokens, params, _read_text)

    def _prepare_choice(
        self, position: int, tokens: list[int], choices: tuple[str, ...], choice_tokens: tuple[int, ...]
    ) -> _InFlight | Response:
        """Prepare a request with choices: one forward pass gives the log-probabilities of their first tokens."""

        def read(output: "RequestOutput") -> Response:
            first: Any = output.outputs[0].logprobs[0]  # pyrefly: ignore[unsupported-operation]
            return make_choice(choices, [first[token].logprob for token in choice_tokens])

        if long := self._prompting.reject_too_long(tokens, 1):
            return long
        params = _sampling_params(
            temperature=0.0, max_tokens=1, logprob_token_ids=list(choice_tokens), detokenize=False
        )
        return _InFlight(position, tokens, params, read)

    def _prepare_score(self, position: int, request: ScoreRequest) -> _InFlight | Response:
        scored = self._prompting.score(request)
        if isinstance(scored, Response):
            return scored

        def read(output: "RequestOutput") -> Response:
            flat: Any = output.prompt_logprobs
            return make_score(flat.logprobs[flat.start_indices[scored.answer_start] :], cut_at=scored.cut_at)

        # Flat log-probabilities are a few lists instead of a dictionary per token.
        params = _sampling_params(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, flat_logprobs=True, detokenize=False
        )
        return _InFlight(position, scored.tokens, params, read)


def import_vllm() -> bool:
    """Set `ENVIRONMENT`, import vLLM, and return whether it is the CPU build.

    The import takes most of the time to open a model: 9 of 12 seconds for the embedded model on two cores. If Python
    has to compile the modules first, it takes another 12 seconds.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # it warns of missing Triton on every CPU
    collecting = gc.isenabled()
    gc.disable()  # an import leaves no garbage, and the search for garbage takes a tenth of the time
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
    """Load the weights in `folder` into vLLM: for generation and scores, or for rewards if `spec` is a `RewardSpec`."""
    on_cpu = import_vllm()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm import LLM

        arguments: dict[str, Any] = {
            "max_model_len": spec.max_model_len,
            "dtype": precision(spec.dtype, "cpu" if on_cpu else "gpu"),
            "enforce_eager": on_cpu,  # on a CPU, compilation gains 8 % and takes 77 seconds
            # On a CPU, a step fails on a chunked prompt with a seed, because its generator cannot be reset (vLLM 0.32).
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
        arguments |= spec.engine
        return LLM(str(folder), **arguments)


def free() -> None:
    """Return unused memory to the device and prepare this process for another engine."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    gc.collect()
    cleanup_dist_env_and_memory()


def _patch_llvmlite() -> None:
    """Give the object in which llvmlite wraps its C library a `__dict__`.

    On a CPU, vLLM 0.32 calls `vars()` on all values in all modules. Once numba has been used, this object is among
    them. It returns a C function for any attribute, even `__dict__`, and then vLLM does not start.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab["__dict__"] = {}


def _sampling_params(structured_outputs: dict[str, Any] | None = None, **arguments: Any) -> "SamplingParams":
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    if structured_outputs:
        arguments["structured_outputs"] = StructuredOutputsParams(**structured_outputs)
    return SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **arguments)


def _is_invalid_request(error: Exception) -> bool:
    """Return whether the chat template or vLLM has rejected a part of the request: a role, a schema, a parameter."""
    from jinja2 import TemplateError
    from vllm.exceptions import VLLMValidationError

    return isinstance(error, (VLLMValidationError, TemplateError, ValueError, TypeError, LookupError))


def _read_text(output: "RequestOutput") -> Response:
    answer = output.outputs[0]
    return Response(answer.text, answer.finish_reason, completion_tokens=len(answer.token_ids))
