"""Engine with transformers in this process, for models that vLLM does not support.

Requests of similar length are answered in batches. Every request has its own random numbers, so its answer does not
depend on the rest of the batch, except for rounding in the model's arithmetic.
"""

import json
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from infinity_assets.inference.engines.batching import Job, free, is_out_of_memory, pad, run_batches
from infinity_assets.inference.engines.chat_template import Prompting, make_choice
from infinity_assets.inference.engines.engine import Admit, admit_all
from infinity_assets.inference.engines.hardware import device, precision
from infinity_assets.inference.requests import (
    CompleteRequest,
    GenerateRequest,
    Request,
    Response,
    ScoreRequest,
    make_score,
    request_key,
    room_of,
    text_of,
)
from infinity_assets.settings.models import ModelSpec, Sampling

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = {"cpu": 16_384, "cuda": 131_072}
"""Maximum number of tokens of a batch by device: requests x (longest prompt + longest answer). It bounds the memory of
the attention cache, which needs 128 KiB per token in a current 8B model."""
BATCH_ROWS = 256
LOGITS = 2**25
"""Maximum number of logits in memory during scoring; 128 MiB as float32."""
PROBE = (1, 2, 3)


@dataclass(frozen=True)
class _ScoringJob(Job):
    """A request that one forward pass answers with the log-probabilities of known tokens."""

    places: list[int]
    """Positions of the tokens after which a log-probability is read."""
    targets: list[int]
    """Tokens whose log-probability is read at those positions."""
    answer: Callable[[list[float]], Response]
    """Function that makes the response from those log-probabilities."""
    room: int = 0


@dataclass(frozen=True)
class _WritingJob(Job):
    """A request whose answer is generated token by token."""

    sampling: Sampling
    seed: int
    grammar: Any = None
    """Compiled grammar of xgrammar, or None."""
    stop: tuple[str, ...] = ()
    special: bool = False
    """True if special tokens are kept in the text of the answer."""

    @property
    def room(self) -> int:
        return self.sampling.max_tokens


_Job: TypeAlias = _ScoringJob | _WritingJob


class TransformersEngine:
    """A model in transformers, on the GPU if there is one. Not thread-safe."""

    def __init__(self, spec: ModelSpec, folder: Path):
        """Load the weights in `folder`, with `spec.engine` as arguments of `from_pretrained`."""
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._tokenizer = cast(Any, AutoTokenizer.from_pretrained(folder, local_files_only=True))
        arguments: dict[str, Any] = {"dtype": precision(spec.dtype, device()), "local_files_only": True, **spec.engine}
        model: Any = AutoModelForCausalLM.from_pretrained(folder, **arguments).eval()
        self._model = model if "device_map" in arguments else model.to(device())
        self._prompting = Prompting(self._tokenizer, spec.max_model_len)
        self._vocabulary: int = self._model.get_output_embeddings().weight.shape[0]
        ends = self._model.generation_config.eos_token_id
        self._ends = {self._tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        # Defaults of the model's authors (a penalty, a temperature) must not change the requested sampling.
        self._model.generation_config = GenerationConfig()
        self._head = self._find_head()
        self._compiler: Any = None
        self._batch_tokens = BATCH_TOKENS[self._model.device.type]

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, the longest first. A failed batch is halved until only the faulty request fails."""
        order = sorted(range(len(requests)), key=lambda position: _sort_key(requests[position]), reverse=True)
        yield from run_batches(requests, order, self._prepare, self._batches, self._answer, admit)

    def close(self) -> None:
        """Free the memory."""
        del self._model, self._head
        free()

    def _prepare(self, position: int, request: Request) -> _Job | Response:
        match request:
            case ScoreRequest():
                return self._prepare_score(position, request)
            case CompleteRequest():
                tokens, special, stop = self._prompting.encode(request.text), True, request.stop
            case GenerateRequest():
                tokens, special, stop = self._prompting.encode_chat(request.messages), False, ()
                firsts = self._prompting.find_first_tokens(request.choices) if request.choices else None
                if request.choices and firsts:
                    places = [len(tokens) - 1] * len(firsts)
                    job = _ScoringJob(position, tokens, places, list(firsts), partial(make_choice, request.choices), 1)
                    return self._prompting.reject_too_long(tokens, 1) or job
        if long := self._prompting.reject_too_long(tokens, request.sampling.max_tokens):
            return long
        # Draws must be reproducible even without a seed.
        seed = int(request_key("", request)[:16], 16) if request.seed is None else request.seed
        grammar, sampling = None, request.sampling
        if isinstance(request, GenerateRequest):
            grammar = self._grammar(request)
            if request.choices:
                sampling = sampling.model_copy(update={"temperature": 0.0})
        return _WritingJob(position, tokens, sampling, seed, grammar, stop, special)

    def _prepare_score(self, position: int, request: ScoreRequest) -> _Job | Response:
        scored = self._prompting.score(request)
        if isinstance(scored, Response):
            return scored
        tokens, start, cut_at = scored
        places = list(range(start - 1, len(tokens) - 1))
        return _ScoringJob(position, tokens, places, tokens[start:], partial(make_score, cut_at=cut_at))

    def _grammar(self, request: GenerateRequest) -> Any:
        """Compile the schema or the choices of a request with xgrammar, whose compiler caches its results."""
        if request.schema is None and request.choices is None:
            return None
        import xgrammar

        if self._compiler is None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                self._tokenizer, vocab_size=self._vocabulary, stop_token_ids=sorted(self._ends) or None
            )
            self._compiler = xgrammar.GrammarCompiler(info)
        if request.choices:
            return self._compiler.compile_grammar(
                "root ::= " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in request.choices)
            )
        # With free white space, a small model might fill its answer with blanks.
        return self._compiler.compile_json_schema(
            json.dumps(request.schema), any_whitespace=False, separators=(",", ":")
        )

    def _batches(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Yield batches of jobs of one class and similar length, as large as the limits allow, the longest first."""
        waiting = sorted(jobs, key=lambda job: (isinstance(job, _ScoringJob), job.room, len(job.tokens)))
        while waiting:
            batch = [waiting.pop()]
            while waiting and type(waiting[-1]) is type(batch[0]) and len(batch) < BATCH_ROWS:
                if _batch_cost([*batch, waiting[-1]]) > self._batch_tokens:
                    break
                batch.append(waiting.pop())
            yield batch

    def _answer(self, batch: Sequence[_Job]) -> list[Response]:
        import torch

        try:
            with torch.inference_mode():
                if isinstance(batch[0], _ScoringJob):
                    return self._score_batch([job for job in batch if isinstance(job, _ScoringJob)])
                return self._write_batch([job for job in batch if isinstance(job, _WritingJob)])
        except Exception as error:
            if is_out_of_memory(error):
                self._batch_tokens = min(self._batch_tokens, _batch_cost(batch) // 2)
            raise

    def _score_batch(self, batch: list[_ScoringJob]) -> list[Response]:
        import torch

        ids, mask = pad([job.tokens for job in batch], self._model.device)
        inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        head = self._head
        states = self._model(**inputs).logits if head is None else self._model.base_model(**inputs).last_hidden_state
        rows = torch.tensor([row for row, job in enumerate(batch) for _ in job.places], device=states.device)
        places = torch.tensor([place for job in batch for place in job.places], device=states.device)
        targets = torch.tensor([target for job in batch for target in job.targets], device=states.device)
        logprobs: list[float] = []
        for part in torch.arange(len(rows), device=states.device).split(max(1, LOGITS // self._vocabulary)):
            selected = states[rows[part], places[part]]
            logits = (selected if head is None else head(selected)).float()
            logprobs += (logits.gather(1, targets[part, None])[:, 0] - logits.logsumexp(1)).tolist()
        values = iter(logprobs)
        return [job.answer([next(values) for _ in job.places]) for job in batch]

    def _write_batch(self, batch: list[_WritingJob]) -> list[Response]:
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        ids, mask = pad([job.tokens for job in batch], self._model.device, left=True)
        drafts = _Drafts(batch, self._ends, self._tokenizer, self._vocabulary)
        self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=GenerationConfig(do_sample=False, max_new_tokens=max(job.room for job in batch)),
            logits_processor=LogitsProcessorList([drafts.next]),
            stopping_criteria=StoppingCriteriaList([drafts.ended]),
        )
        return drafts.responses()

    def _find_head(self) -> Any:
        """Return the layer that turns hidden states into logits, or None if the model also caps or scales the logits.

        With this layer, logits can be computed in parts, so that those of a long batch need not fit into memory.
        """
        import torch

        with torch.inference_mode():
            ids = torch.tensor([PROBE], device=self._model.device)
            head = self._model.get_output_embeddings()
            whole = self._model(input_ids=ids, use_cache=False).logits
            try:
                parts = head(self._model.base_model(input_ids=ids, use_cache=False).last_hidden_state)
            except Exception:  # the model is not built from these parts
                return None
        return head if parts.shape == whole.shape and torch.allclose(parts, whole) else None


@dataclass
class _Draft:
    """The answer to one request of a batch, as far as it is generated."""

    job: _WritingJob
    uniforms: np.ndarray
    """One random number in [0, 1) per token; empty if sampling is greedy."""
    matcher: Any = None
    tokens: list[int] = field(default_factory=list)
    finish: str | None = None


class _Drafts:
    """The answers of a batch while they are generated. The loop of transformers calls `next` and `ended` per token."""

    def __init__(self, jobs: list[_WritingJob], ends: set[int], tokenizer: Any, vocabulary: int):
        self._ends = ends
        self._tokenizer = tokenizer
        self._rows = [
            _Draft(job, np.random.default_rng(job.seed).random(job.room if job.sampling.temperature > 0 else 0))
            for job in jobs
        ]
        guided = [row for row in self._rows if row.job.grammar is not None]
        if guided:
            import xgrammar

            self._mask = xgrammar.allocate_token_bitmask(len(jobs), vocabulary)
            for row in guided:
                row.matcher = xgrammar.GrammarMatcher(row.job.grammar)

    def next(self, ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return scores that allow only one token per row: the most probable one, or one drawn at random."""
        import torch

        active = [number for number, row in enumerate(self._rows) if row.finish is None]
        self._allow(scores, [number for number in active if self._rows[number].matcher is not None])
        tokens = scores.argmax(1)
        for nucleus in (False, True):  # separately, so that the draw of a row does not depend on other rows
            drawn = [
                n for n in active if self._rows[n].uniforms.size and (self._rows[n].job.sampling.top_p < 1) is nucleus
            ]
            if drawn:
                tokens[drawn] = self._draw(scores[drawn], [self._rows[number] for number in drawn], nucleus)
        for number, token in zip(active, tokens[active].tolist(), strict=True):
            self._take(self._rows[number], token)
        return torch.full_like(scores, -math.inf).scatter_(1, tokens[:, None], 0)

    def ended(self, ids: "torch.Tensor", scores: Any, **_: Any) -> "torch.Tensor":
        """Return a boolean tensor with one entry per row: true if its answer has ended."""
        import torch

        return torch.tensor([row.finish is not None for row in self._rows], device=ids.device)

    def responses(self) -> list[Response]:
        """Return the responses. Call this after all rows have ended."""
        return [
            Response(text=self._text(row), finish_reason=row.finish, completion_tokens=len(row.tokens))
            for row in self._rows
        ]

    def _allow(self, scores: "torch.Tensor", guided: list[int]) -> None:
        """Mask, in place, the tokens that the grammars of the `guided` rows forbid."""
        if not guided:
            return
        import xgrammar

        for number in guided:
            self._rows[number].matcher.fill_next_token_bitmask(self._mask, number)
        xgrammar.apply_token_bitmask_inplace(scores, self._mask.to(scores.device), indices=guided)

    def _draw(self, scores: "torch.Tensor", rows: list[_Draft], nucleus: bool) -> "torch.Tensor":
        """Draw one token per row by inversion sampling.

        It is the first token of the vocabulary whose cumulative probability exceeds the row's next random number.
        """
        import torch

        def column(values: list[float]) -> "torch.Tensor":
            return torch.tensor(values, dtype=torch.float64, device=scores.device)[:, None]

        shares = (scores / column([row.job.sampling.temperature for row in rows])).softmax(1)
        if nucleus:
            ordered = shares.sort(1, descending=True).values
            outside = ordered.cumsum(1) - ordered >= column([row.job.sampling.top_p for row in rows])
            shares = shares.where(shares >= ordered.masked_fill(outside, 1.0).amin(1, keepdim=True), 0.0)
        reached = shares.cumsum(1)
        wanted = column([row.uniforms[len(row.tokens)] for row in rows]) * reached[:, -1:]
        return torch.searchsorted(reached, wanted, right=True)[:, 0].clamp(max=scores.shape[1] - 1)

    def _take(self, row: _Draft, token: int) -> None:
        row.tokens.append(token)
        if row.matcher is not None:
            row.matcher.accept_token(token)
        if token in self._ends or (row.job.stop and self._stopped(row)):
            row.finish = "stop"
        elif len(row.tokens) == row.job.room:
            row.finish = "length"

    def _stopped(self, row: _Draft) -> bool:
        # A token has at least one byte, so this many last tokens contain any stop string that the last one completes.
        reach = 1 + max(len(stop.encode()) for stop in row.job.stop)
        tail = self._tokenizer.decode(
            row.tokens[-reach:], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return any(stop in tail for stop in row.job.stop)

    def _text(self, row: _Draft) -> str:
        tokens = row.tokens[:-1] if row.tokens[-1] in self._ends else row.tokens
        # Decode the answer together with the end of the prompt: some tokenizers drop a space before the first word.
        before = row.job.tokens[-4:]
        head, whole = (
            self._tokenizer.decode(part, skip_special_tokens=not row.job.special, clean_up_tokenization_spaces=False)
            for part in (before, before + tokens)
        )
        text = whole.removeprefix(head)
        return text[: min((place for stop in row.job.stop if (place := text.find(stop)) >= 0), default=len(text))]


def _batch_cost(batch: Sequence[_Job]) -> int:
    """Return the number of tokens of a batch, including padding and the longest answer."""
    return len(batch) * (max(len(job.tokens) for job in batch) + max(job.room for job in batch))


def _sort_key(request: Request) -> tuple[bool, int, int]:
    """Return the sort key of a request whose tokens are not known yet: job class, maximum answer tokens, length."""
    score = isinstance(request, ScoreRequest)
    choice = isinstance(request, GenerateRequest) and request.choices is not None
    return score or choice, 1 if choice else room_of(request), len(text_of(request))
