"""From requests that were looked up and some that were asked to what all calls of an asset come to."""

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
    "row_id": pl.String, "prompt": pl.String, "key": pl.String, "attempt": pl.Int64, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64,
    "error": pl.String, "cached": pl.Boolean, "size": pl.Int64, "room": pl.Int64, "model": pl.String, "call": pl.String, "stage": pl.String,
    "again": pl.Boolean,
}  # fmt: skip

_Counts = tuple[Estimate, Estimate, Estimate | None, Estimate | None]
"""Calls, calls to make, and the prompt and completion tokens of these."""


@dataclass(frozen=True)
class Known:
    """What is known of an asset's calls."""

    looked: Sequence[Batch]
    """All requests that could be made from stored answers alone."""
    asked: Sequence[Batch]
    """Those of the sample."""
    population: pl.DataFrame
    """The rows that models are asked about, and how many rows of the run each stands for: row_id, weight."""
    unanswered: pl.DataFrame
    """Those of them that lack an answer: row_id."""
    sampled: pl.DataFrame
    """Those that were asked, and how many of the unanswered each stands for: row_id, weight."""
    real: bool
    """Whether the rows are those of the run."""
    rows: Estimate
    """Their number, where it is an estimate; else 1, without error."""
    rates: Mapping[str, list[tuple[float, float, float]]]
    """By model: prompt tokens, completion tokens and seconds of batches."""
    before: pl.DataFrame
    """Calls of earlier runs: prompt, model, completion_tokens."""


def calls_of(batches: Sequence[Batch]) -> pl.DataFrame:
    """The calls of some batches, with their model, kind (`call`), stage, and whether they repeat one whose answer could not be used (`again`)."""
    frames = [
        batch.calls.with_columns(
            model=pl.lit(batch.spec.identity),
            call=pl.lit(batch.kind),
            stage=pl.lit(batch.stage),
            again=pl.col("attempt") > 0,
        )
        for batch in batches
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_CALLS)


def project(known: Known) -> list[Stage]:
    """What the calls come to, by prompt and model."""
    looked, asked = calls_of(known.looked), calls_of(known.asked)
    batches = {
        (prompt, b.spec.identity): b for b in (*known.asked, *known.looked) for prompt in b.calls["prompt"].unique()
    }
    stages = []
    groups = pl.concat([looked, asked]).select("call", "prompt", "model", "stage", "again").unique(maintain_order=True)
    for call, prompt, model, stage, again in groups.rows():
        here = (
            (pl.col("call") == call)
            & (pl.col("prompt") == prompt)
            & (pl.col("model") == model)
            & (pl.col("stage") == stage)
        )
        found, made = (calls.filter(here & (pl.col("again") == again)) for calls in (looked, asked))
        batch = batches[prompt, model]
        # If every request of the sample had been made without an answer, all requests were.
        if made.join(found, on="key", how="anti").is_empty():
            others = pl.concat([looked, asked]).filter(
                (pl.col("call") == call) & (pl.col("model") == model) & (pl.col("stage") == stage)
            )
            counts = _counted(known, batch, found, made, others)
        else:
            counts = _expanded(known, found, made)
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


def _counted(known: Known, batch: Batch, found: pl.DataFrame, made: pl.DataFrame, others: pl.DataFrame) -> _Counts:
    """Where all requests are known: their number as it is, their tokens by their sizes; of a prompt that has no answer, as those to the other
    prompts of its stage are.
    """
    one = _each(known, found)
    lacking = pl.col("error").fill_null("") == NOT_ASKED
    fresh = found.filter(lacking).unique("key")
    answered = pl.concat([found.filter(~lacking), made]).unique("key", keep="last")
    if answered.is_empty():
        answered = others.filter(~lacking).unique("key", keep="last")
    calls, to_make = Estimate(found.height * one), Estimate(fresh.height * one)
    paid = (made if known.real else made.head(0)).join(fresh, on="key", how="semi").unique("key")
    rest = fresh.join(paid, on="key", how="anti")
    count, size = rest.height * one, float(rest["size"].sum()) * one
    if answered.is_empty() and rest.height:
        return calls, to_make, *_unanswered(known, batch, rest, count, size)
    sizes, read, written = (
        answered[name].cast(pl.Float64).to_numpy() for name in ("size", "prompt_tokens", "completion_tokens")
    )
    prompt_tokens = predict(sizes, read, count, size) + Estimate(one * float(paid["prompt_tokens"].sum()))
    completion_tokens = predict(np.ones(len(written)), written, count, count) + Estimate(
        one * float(paid["completion_tokens"].sum())
    )
    return calls, to_make, prompt_tokens, completion_tokens


def _expanded(known: Known, found: pl.DataFrame, made: pl.DataFrame) -> _Counts:
    """Where answers decide which requests there are: what the sample's rows came to stands for all."""
    share = known.sampled.height / known.unanswered.height if known.real else 0.0

    def expanded(values: pl.Expr) -> Estimate:
        per_row = made.group_by("row_id").agg(values.cast(pl.Float64).alias("value"))
        line = known.sampled.join(per_row, on="row_id", how="left", maintain_order="left")
        return expand(line["value"].fill_null(0.0).to_numpy(), line["weight"].to_numpy(), share)

    settled = found.join(known.unanswered, on="row_id", how="anti")
    fresh = ~pl.col("cached")
    prompt_tokens, completion_tokens = (
        expanded(pl.col(name).filter(fresh).sum()) for name in ("prompt_tokens", "completion_tokens")
    )
    return (
        expanded(pl.len()) + Estimate(settled.height * _each(known, settled)),
        expanded(fresh.sum()),
        prompt_tokens,
        completion_tokens,
    )


def _each(known: Known, calls: pl.DataFrame) -> float:
    """How many calls each of these stands for: where the rows came from a sample, several."""
    if not known.population.height or not calls.height:
        return 1.0
    weights = (
        calls.select("row_id")
        .join(known.population.select("row_id", "weight"), on="row_id", how="left")["weight"]
        .fill_null(1.0)
    )
    return float(weights.sum()) / calls.height


def _unanswered(
    known: Known, batch: Batch, fresh: pl.DataFrame, count: float, size: float
) -> tuple[Estimate | None, Estimate | None]:
    """Tokens of requests of which none was answered: of prompts by the tokenizer; of answers as those to the same prompt were in earlier runs, or
    where they can only have one length.
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
    alike = known.before.filter((pl.col("prompt") == fresh["prompt"][0]) & (pl.col("model") == batch.spec.identity))
    written = alike["completion_tokens"].drop_nulls().cast(pl.Float64).to_numpy()
    return prompt, predict(np.ones(len(written)), written, count, count) if len(written) else None


def _time(
    known: Known, spec: Answering, stage: str, prompt: Estimate | None, completion: Estimate | None
) -> float | None:
    """By the settings, else as the sample's batches of the stage went, else as other batches of the model did."""
    if prompt is None or completion is None:
        return None
    if not prompt.value + completion.value:
        return 0.0
    if isinstance(spec, ModelSpec) and spec.speed:
        return prompt.value / spec.speed.prompt + completion.value / spec.speed.completion
    tokens = took = 0.0
    for batch in known.asked:
        if batch.stage == stage and batch.spec.identity == spec.identity:
            new = batch.calls.filter(~pl.col("cached"))
            tokens += float(new["prompt_tokens"].sum()) + float(new["completion_tokens"].sum())
            took += batch.seconds if new.height else 0.0
    if tokens:
        return took * (prompt.value + completion.value) / tokens
    return seconds(prompt.value, completion.value, known.rates.get(spec.identity, []))


def _cost(spec: Answering, prompt: Estimate | None, completion: Estimate | None, took: float | None) -> float | None:
    price = spec.price
    if price.hour and took is None:
        return None
    if prompt is None or completion is None:
        return None if price.prompt or price.completion else 0.0
    return (prompt.value * price.prompt + completion.value * price.completion) / 1e6 + (took or 0.0) / 3600 * price.hour
