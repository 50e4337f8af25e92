"""Projection of an asset's calls, tokens, duration and cost from stored responses and a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from infinity_assets.inference.client import Answering
from infinity_assets.inference.weights.models import ModelMissing
from infinity_assets.inference.weights.tokens import estimate, tokens_of
from infinity_assets.locations import models_dir
from infinity_assets.runs.estimate import Estimate, expand, predict, seconds
from infinity_assets.runs.observed_calls import NOT_ASKED, Batch
from infinity_assets.runs.plan import Stage
from infinity_assets.settings.models import ModelSpec

_CALLS = {
    "row_id": pl.String, "prompt": pl.String, "key": pl.String, "attempt": pl.Int64, "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64, "error": pl.String, "cached": pl.Boolean, "size": pl.Int64, "room": pl.Int64,
    "model": pl.String, "call": pl.String, "stage": pl.String, "again": pl.Boolean,
}  # fmt: skip

_Counts = tuple[Estimate, Estimate, Estimate | None, Estimate | None]
"""Calls, calls to make, and the prompt and completion tokens of the calls to make."""


@dataclass(frozen=True)
class KnownCalls:
    """The calls of an asset as far as they are known."""

    looked: Sequence[Batch]
    """All requests that can be built from stored responses alone."""
    asked: Sequence[Batch]
    """The requests of the sample."""
    population: pl.DataFrame
    """The rows that go to models, and the number of rows of the run that each stands for: row_id, weight."""
    unanswered: pl.DataFrame
    """The rows of the population without an answer: row_id."""
    sampled: pl.DataFrame
    """The sampled rows, and the number of unanswered rows that each stands for: row_id, weight."""
    real: bool
    """True if the rows are the rows of the run itself."""
    rows: Estimate
    """The estimated number of rows; 1 without error if it is known exactly."""
    rates: Mapping[str, list[tuple[float, float, float]]]
    """Prompt tokens, completion tokens and seconds of batches, by model."""
    before: pl.DataFrame
    """Calls of earlier runs: prompt, model, completion_tokens."""


def calls_of(batches: Sequence[Batch]) -> pl.DataFrame:
    """Return the calls of batches with their model, kind (`call`) and stage.

    `again` is true for a call that repeats another one because its answer could not be used.
    """
    frames = [
        batch.calls.with_columns(
            model=pl.lit(batch.spec.weights_id),
            call=pl.lit(batch.kind),
            stage=pl.lit(batch.stage),
            again=pl.col("attempt") > 0,
        )
        for batch in batches
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_CALLS)


def project(known: KnownCalls) -> list[Stage]:
    """Project the calls of an asset, by prompt and model."""
    looked, asked = calls_of(known.looked), calls_of(known.asked)
    batches = {
        (prompt, b.spec.weights_id): b for b in (*known.asked, *known.looked) for prompt in b.calls["prompt"].unique()
    }
    stages = []
    groups = pl.concat([looked, asked]).select("call", "prompt", "model", "stage", "again").unique(maintain_order=True)
    for call, prompt, model, stage, again in groups.rows():
        of_stage = (pl.col("call") == call) & (pl.col("model") == model) & (pl.col("stage") == stage)
        of_group = of_stage & (pl.col("prompt") == prompt) & (pl.col("again") == again)
        stored, sampled = (calls.filter(of_group) for calls in (looked, asked))
        batch = batches[prompt, model]
        # If stored responses alone led to every request of the sample, they led to all requests.
        if sampled.join(stored, on="key", how="anti").is_empty():
            others = pl.concat([looked, asked]).filter(of_stage)
            counts = _count(known, batch, stored, sampled, others)
        else:
            counts = _expand(known, stored, sampled)
        calls, to_make, prompt_tokens, completion_tokens = (
            count.among(known.rows) if count else None for count in counts
        )
        took = _time(known, batch.spec, stage, prompt_tokens, completion_tokens)
        cost = _cost(batch.spec, prompt_tokens, completion_tokens, took)
        name = f"{prompt}, again" if again else prompt
        assert calls
        assert to_make
        stages.append(Stage(name, model, calls, to_make, prompt_tokens, completion_tokens, took, cost))
    return stages


def _count(
    known: KnownCalls, batch: Batch, stored: pl.DataFrame, sampled: pl.DataFrame, others: pl.DataFrame
) -> _Counts:
    """Count calls whose requests are all known, and predict their tokens from their sizes.

    A prompt without an answer is taken to have answers like the other prompts of its stage.
    """
    one = _rows_per_call(known, stored)
    lacking = pl.col("error").fill_null("") == NOT_ASKED
    fresh = stored.filter(lacking).unique("key")
    answered = pl.concat([stored.filter(~lacking), sampled]).unique("key", keep="last")
    if answered.is_empty():
        answered = others.filter(~lacking).unique("key", keep="last")
    calls, to_make = Estimate(stored.height * one), Estimate(fresh.height * one)
    paid = (sampled if known.real else sampled.head(0)).join(fresh, on="key", how="semi").unique("key")
    rest = fresh.join(paid, on="key", how="anti")
    count, size = rest.height * one, float(rest["size"].sum()) * one
    if answered.is_empty() and rest.height:
        return calls, to_make, *_estimate_unanswered(known, batch, rest, count, size)
    sizes, read, written = (
        answered[name].cast(pl.Float64).to_numpy() for name in ("size", "prompt_tokens", "completion_tokens")
    )
    prompt_tokens = predict(sizes, read, count, size) + Estimate(one * float(paid["prompt_tokens"].sum()))
    completion_tokens = predict(np.ones(len(written)), written, count, count) + Estimate(
        one * float(paid["completion_tokens"].sum())
    )
    return calls, to_make, prompt_tokens, completion_tokens


def _expand(known: KnownCalls, stored: pl.DataFrame, sampled: pl.DataFrame) -> _Counts:
    """Estimate calls whose requests depend on answers, from the calls of the sampled rows."""
    share = known.sampled.height / known.unanswered.height if known.real else 0.0

    def estimate_total(values: pl.Expr) -> Estimate:
        per_row = sampled.group_by("row_id").agg(values.cast(pl.Float64).alias("value"))
        line = known.sampled.join(per_row, on="row_id", how="left", maintain_order="left")
        return expand(line["value"].fill_null(0.0).to_numpy(), line["weight"].to_numpy(), share)

    settled = stored.join(known.unanswered, on="row_id", how="anti")
    fresh = ~pl.col("cached")
    prompt_tokens, completion_tokens = (
        estimate_total(pl.col(name).filter(fresh).sum()) for name in ("prompt_tokens", "completion_tokens")
    )
    return (
        estimate_total(pl.len()) + Estimate(settled.height * _rows_per_call(known, settled)),
        estimate_total(fresh.sum()),
        prompt_tokens,
        completion_tokens,
    )


def _rows_per_call(known: KnownCalls, calls: pl.DataFrame) -> float:
    """Return the number of calls of the run that each of these calls stands for: more than 1 for sampled rows."""
    if not known.population.height or not calls.height:
        return 1.0
    weights = (
        calls.select("row_id")
        .join(known.population.select("row_id", "weight"), on="row_id", how="left")["weight"]
        .fill_null(1.0)
    )
    return float(weights.sum()) / calls.height


def _estimate_unanswered(
    known: KnownCalls, batch: Batch, fresh: pl.DataFrame, count: float, size: float
) -> tuple[Estimate | None, Estimate | None]:
    """Estimate the prompt and completion tokens of requests if there is no answer to learn from.

    Prompts are counted by the tokenizer. Answers are known if they have room for one token, else they are taken to be
    like the answers to the same prompt in earlier runs; without those the estimate is None.
    """
    try:
        length = tokens_of(batch.spec, models_dir()).count if isinstance(batch.spec, ModelSpec) else estimate
    except ModelMissing:
        length = estimate
    counted = np.array([length(text) for text in batch.texts], dtype=np.float64)
    prompt = predict(np.array([len(text.encode()) for text in batch.texts], dtype=np.float64), counted, count, size)
    room = int(fresh["room"].max())  # pyright: ignore[reportArgumentType]
    if room <= 1:
        return prompt, Estimate(count * room)
    alike = known.before.filter((pl.col("prompt") == fresh["prompt"][0]) & (pl.col("model") == batch.spec.weights_id))
    written = alike["completion_tokens"].drop_nulls().cast(pl.Float64).to_numpy()
    return prompt, predict(np.ones(len(written)), written, count, count) if len(written) else None


def _time(
    known: KnownCalls, spec: Answering, stage: str, prompt: Estimate | None, completion: Estimate | None
) -> float | None:
    """Return the seconds of calls: by the settings, else by the sample's batches of the stage, else by the model's."""
    if prompt is None or completion is None:
        return None
    if not prompt.value + completion.value:
        return 0.0
    if isinstance(spec, ModelSpec) and spec.speed:
        return prompt.value / spec.speed.prompt + completion.value / spec.speed.completion
    tokens = took = 0.0
    for batch in known.asked:
        if batch.stage == stage and batch.spec.weights_id == spec.weights_id:
            new = batch.calls.filter(~pl.col("cached"))
            tokens += float(new["prompt_tokens"].sum()) + float(new["completion_tokens"].sum())
            took += batch.seconds if new.height else 0.0
    if tokens:
        return took * (prompt.value + completion.value) / tokens
    return seconds(prompt.value, completion.value, known.rates.get(spec.weights_id, []))


def _cost(spec: Answering, prompt: Estimate | None, completion: Estimate | None, took: float | None) -> float | None:
    price = spec.price
    if price.hour and took is None:
        return None
    if prompt is None or completion is None:
        return None if price.prompt or price.completion else 0.0
    return (prompt.value * price.prompt + completion.value * price.completion) / 1e6 + (took or 0.0) / 3600 * price.hour
