"""Estimates of an asset's calls, tokens, duration and cost, from stored responses and the calls of a sample."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from infinity_assets.inference.client import Answering
from infinity_assets.runs.estimate import Estimate, expand, predict, total
from infinity_assets.runs.observed_calls import NOT_ASKED
from infinity_assets.runs.plan import Stage
from infinity_assets.settings.models import ModelSpec

_BYTES_PER_TOKEN = 3.5
"""Assumed bytes of text per prompt token if there is no answer to measure; the embedded models have 2.9 to 3.4."""

_LACKING = pl.col("error").fill_null("") == NOT_ASKED

_Counts = tuple[Estimate, Estimate, Estimate | None, Estimate | None]
"""The number of all calls and of the calls to make; prompt tokens and completion tokens of the calls to make."""


@dataclass(frozen=True)
class KnownCalls:
    """The known calls of an asset. Frames of calls have the schema `CALLS` unless their columns are listed."""

    looked: pl.DataFrame
    """All calls whose requests could be built from stored responses alone."""
    asked: pl.DataFrame
    """The calls of the sample."""
    paid: pl.DataFrame
    """The calls that the samples of all assets have made so far for this plan."""
    specs: Mapping[str, Answering]
    """The settings of the models, by `weights_id`."""
    population: pl.DataFrame
    """The rows that go to models: row_id, weight (the number of rows of the run that it stands for)."""
    unanswered: pl.DataFrame
    """The rows of the population that lack an answer: row_id, among other columns."""
    sampled: pl.DataFrame
    """The sampled rows: row_id, weight (the number of unanswered rows that it stands for)."""
    real: bool
    """True if the population is exactly the rows that the run will have."""
    rows: Estimate
    """The estimated number of rows, for its relative error; 1 without error if the number is known exactly."""
    before: pl.DataFrame
    """Calls of earlier runs: prompt, model, completion_tokens."""


def project(known: KnownCalls) -> list[Stage]:
    """Estimate the calls of an asset: one stage per prompt and model. Retries of unusable answers are other stages."""
    again = (pl.col("attempt") > 0).alias("again")
    looked, asked = known.looked.with_columns(again), known.asked.with_columns(again)
    groups = pl.concat([looked, asked]).select("kind", "model", "stage", "prompt", "again").unique(maintain_order=True)
    stages = []
    for group in groups.iter_rows(named=True):
        stored, sampled = looked.filter(**group), asked.filter(**group)
        # If stored responses alone led to every request of the sample, then they led to all requests of the run.
        if sampled.join(stored, on="key", how="anti").is_empty():
            of_stage = {name: group[name] for name in ("kind", "model", "stage")}
            counts = _count(known, stored, sampled, pl.concat([looked, asked]).filter(**of_stage))
        else:
            counts = _expand(known, stored, sampled)
        calls, to_make = (count.among(known.rows) for count in counts[:2])
        read, written = (count and count.among(known.rows) for count in counts[2:])
        spec = known.specs[group["model"]]
        seconds = _seconds(known.paid, spec, group["stage"], read, written)
        name = f"{group['prompt']}, again" if group["again"] else group["prompt"]
        stages.append(
            Stage(name, group["model"], calls, to_make, read, written, seconds, _cost(spec, read, written, seconds))
        )
    return stages


def _count(known: KnownCalls, stored: pl.DataFrame, sampled: pl.DataFrame, of_stage: pl.DataFrame) -> _Counts:
    """Count calls whose requests are all known, and predict their tokens from the sizes of the requests.

    If no call of the prompt has been answered, the prediction uses the other prompts of its stage.
    """
    weight = _rows_per_call(known, stored)
    fresh = stored.filter(_LACKING).unique("key")
    answered = pl.concat([stored.filter(~_LACKING), sampled]).unique("key", keep="last")
    if answered.is_empty():
        answered = of_stage.filter(~_LACKING).unique("key", keep="last")
    calls, to_make = Estimate(stored.height * weight), Estimate(fresh.height * weight)
    paid = (sampled if known.real else sampled.clear()).join(fresh, on="key", how="semi").unique("key")
    rest = fresh.join(paid, on="key", how="anti")
    if answered.is_empty() and rest.height:
        read_tokens = Estimate(float(rest["size"].sum()) * weight / _BYTES_PER_TOKEN)
        return calls, to_make, read_tokens, _written(known, rest, weight)
    sizes, read, written = (
        answered[name].cast(pl.Float64).to_numpy() for name in ("size", "prompt_tokens", "completion_tokens")
    )
    count = rest.height * weight
    prompt_tokens = predict(sizes, read, count, float(rest["size"].sum()) * weight)
    completion_tokens = predict(np.ones(len(written)), written, count, count)
    return (
        calls,
        to_make,
        prompt_tokens + Estimate(weight * float(paid["prompt_tokens"].sum())),
        completion_tokens + Estimate(weight * float(paid["completion_tokens"].sum())),
    )


def _written(known: KnownCalls, fresh: pl.DataFrame, weight: float) -> Estimate | None:
    """Estimate completion tokens if no call was answered: the token limit if it is 0 or 1, else as in earlier runs."""
    count = fresh.height * weight
    if fresh["room"].max() in (0, 1):
        return Estimate(count * float(fresh["room"][0]))
    alike = known.before.filter(prompt=fresh["prompt"][0], model=fresh["model"][0])
    written = alike["completion_tokens"].drop_nulls().cast(pl.Float64).to_numpy()
    return predict(np.ones(len(written)), written, count, count) if len(written) else None


def _expand(known: KnownCalls, stored: pl.DataFrame, sampled: pl.DataFrame) -> _Counts:
    """Estimate the number and tokens of calls whose requests depend on answers, from the calls of the sampled rows."""
    share = known.sampled.height / known.unanswered.height if known.real else 0.0

    def estimate_total(values: pl.Expr) -> Estimate:
        per_row = sampled.group_by("row_id").agg(values.cast(pl.Float64).alias("value"))
        line = known.sampled.join(per_row, on="row_id", how="left", maintain_order="left")
        return expand(line["value"].fill_null(0.0).to_numpy(), line["weight"].to_numpy(), share)

    settled = stored.join(known.unanswered, on="row_id", how="anti")
    fresh = ~pl.col("cached")
    return (
        estimate_total(pl.len()) + Estimate(settled.height * _rows_per_call(known, settled)),
        estimate_total(fresh.sum()),
        estimate_total(pl.col("prompt_tokens").filter(fresh).sum()),
        estimate_total(pl.col("completion_tokens").filter(fresh).sum()),
    )


def _rows_per_call(known: KnownCalls, calls: pl.DataFrame) -> float:
    """Return the average number of calls of the run that a call stands for: above 1 if its row was sampled upstream."""
    weights = calls.select("row_id").join(known.population, on="row_id", how="left")["weight"].fill_null(1.0)
    return float(weights.sum()) / calls.height if calls.height else 1.0


def _seconds(
    paid: pl.DataFrame, spec: Answering, stage: str, read: Estimate | None, written: Estimate | None
) -> Estimate | None:
    """Estimate the seconds of calls from the speed in the settings, or else from calls of the stage or the model."""
    tokens = total([read, written])
    if read is None or written is None or tokens is None:
        return None
    if not tokens.value:
        return Estimate(0.0)
    if isinstance(spec, ModelSpec) and spec.speed:
        return read.times(1 / spec.speed.prompt) + written.times(1 / spec.speed.completion)
    of_model = paid.filter(model=spec.weights_id)
    for calls in (of_model.filter(stage=stage), of_model):
        if used := float(calls["prompt_tokens"].sum()) + float(calls["completion_tokens"].sum()):
            return tokens.times(float(calls["took"].sum()) / used)
    return None


def _cost(
    spec: Answering, read: Estimate | None, written: Estimate | None, seconds: Estimate | None
) -> Estimate | None:
    parts = ((spec.price.prompt / 1e6, read), (spec.price.completion / 1e6, written), (spec.price.hour / 3600, seconds))
    return total(number and number.times(price) for price, number in parts if price)
