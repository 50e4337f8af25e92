"""Requests for a whole frame: one per row, with the row's id and a seed drawn from (stage, row id)."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from infinity_assets.inference.requests import GenerateRequest, RewardRequest, ScoreRequest
from infinity_assets.model_settings import Sampling
from infinity_assets.prompts import Prompt
from infinity_assets.rows.ids import digest


def _seed(stage: str, row_id: str) -> int:
    return int(digest(f"{stage}:{row_id}")[:8], 16)


def from_prompt(
    prompt: Prompt,
    rows: pl.DataFrame,
    sampling: Sampling,
    stage: str,
    schema: Mapping[str, Any] | None = None,
    choices: tuple[str, ...] | None = None,
    **constants: str,
) -> list[GenerateRequest]:
    """A prompt, filled in for every row.

    Args:
        prompt: The template; its variables are columns of `rows` or named in `constants`.
        rows: row_id and the variables.
        sampling: How the answers are drawn.
        stage: With the row id it seeds the sampling.
        schema: A JSON schema that the answers must fit.
        choices: The answers that are allowed.
        constants: Variables with the same value for every row.
    """
    columns = ["row_id", *(name for name in prompt.variables if name not in constants)]
    return [
        GenerateRequest(
            row_id=values["row_id"],
            prompt=prompt.name,
            prompt_hash=prompt.hash,
            messages=tuple(prompt.render(**constants, **{name: values[name] for name in columns[1:]})),
            sampling=sampling,
            schema=dict(schema) if schema else None,
            choices=choices,
            seed=_seed(stage, values["row_id"]) if sampling.temperature > 0 else None,
        )
        for values in rows.select(columns).iter_rows(named=True)
    ]


def as_they_are(name: str, rows: pl.DataFrame, sampling: Sampling, stage: str) -> list[GenerateRequest]:
    """Every row's instruction (column `request`), put to the model with nothing around it.

    Args:
        name: Stands in the place of the prompt's name in the books.
        rows: row_id and request.
        sampling: How the answers are drawn.
        stage: With the row id it seeds the sampling.
    """
    return [
        GenerateRequest(
            row_id=row_id,
            prompt=name,
            prompt_hash="",
            messages=({"role": "user", "content": request},),
            sampling=sampling,
            schema=None,
            choices=None,
            seed=_seed(stage, row_id) if sampling.temperature > 0 else None,
        )
        for row_id, request in rows.select("row_id", "request").iter_rows()
    ]


def last_answers(rows: pl.DataFrame, with_context: bool) -> list[ScoreRequest]:
    """The likelihood of every row's last answer, given all turns before it or given nothing.

    Args:
        rows: row_id and messages, each ending with the assistant.
        with_context: Whether the turns before the answer are given.
    """
    name = "answer_in_context" if with_context else "answer_alone"
    return [
        ScoreRequest(row_id=row_id, prompt=name, context=tuple(messages[:-1]) if with_context else (), answer=messages[-1]["content"])
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]


def conversations(rows: pl.DataFrame) -> list[RewardRequest]:
    """The reward of every row's whole conversation.

    Args:
        rows: row_id and messages, each ending with the assistant.
    """
    return [RewardRequest(row_id, "conversation", tuple(messages)) for row_id, messages in rows.select("row_id", "messages").iter_rows()]
