"""Requests for a whole frame: one per row, with the row's id and a seed drawn from (stage, row id)."""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

import polars as pl

from infinity_assets.inference.requests import GenerateRequest, Messages, RewardRequest, ScoreRequest
from infinity_assets.prompts import CHINESE, Bilingual, Prompt
from infinity_assets.rows.ids import digest
from infinity_assets.settings.models import Sampling


def seed_of(stage: str, row_id: str) -> int:
    """The seed with which an answer about a row is drawn."""
    return int(digest(f"{stage}:{row_id}")[:8], 16)


def from_prompt(
    prompt: Bilingual,
    rows: pl.DataFrame,
    sampling: Sampling,
    stage: str,
    schema: Mapping[str, Any] | None = None,
    choices: tuple[str, ...] | None = None,
    **constants: str,
) -> list[GenerateRequest]:
    """A prompt, filled in for every row, in Chinese where the row is.

    Args:
        prompt: The template; its variables are columns of `rows` or named in `constants`. What stands in them is never read as a template.
        rows: row_id, language (BCP 47, or null) and the variables, none of them null; `index` numbers the requests of one row where it has several.
        sampling: How the answers are drawn.
        stage: With the row id it seeds the sampling.
        schema: A JSON schema that the answers must fit.
        choices: The answers that are allowed.
        constants: Variables with the same value for every row.

    Returns:
        One request per row: those in English, then those in Chinese, each in the order of the rows.

    Raises:
        ValueError: The columns and constants are not the variables, or a variable is null.
    """
    columns = [name for name in prompt.en.variables if name not in constants]
    if not set(constants) <= set(prompt.en.variables) or not set(columns) <= set(rows.columns):
        raise ValueError(
            f"prompt {prompt.en.name} takes {sorted(prompt.en.variables)}, not {sorted({*constants, *rows.columns})}"
        )
    if any(rows.select(pl.col(columns).null_count()).row(0)):
        raise ValueError(f"prompt {prompt.en.name}: {' or '.join(columns)} is null in a row")
    rows = rows if "index" in rows.columns else rows.with_columns(index=pl.lit(0))
    chinese = rows["language"].str.contains(CHINESE).fill_null(False)
    return [
        GenerateRequest(
            row_id=row_id,
            prompt=wording.label,
            prompt_hash=wording.hash,
            messages=messages,
            sampling=sampling,
            schema=dict(schema) if schema else None,
            choices=choices,
            seed=seed_of(f"{stage}:{index}" if index else stage, row_id) if sampling.temperature > 0 else None,
            index=index,
        )
        for wording, asked in ((prompt.en, rows.filter(~chinese)), (prompt.zh, rows.filter(chinese)))
        for row_id, index, messages in zip(
            asked["row_id"], asked["index"], _filled(wording, asked, constants), strict=True
        )
    ]


def _filled(prompt: Prompt, rows: pl.DataFrame, constants: Mapping[str, str]) -> Iterator[Messages]:
    """The messages of every row. Turns that are the same for all rows are one object."""
    turns = []
    for turn in prompt.turns:
        if set(turn.variables) <= set(constants):
            turns.append(repeat({"role": turn.role, "content": turn.filled(constants)}, rows.height))
            continue
        pieces = [
            pl.col(piece) if place % 2 and piece not in constants else pl.lit(constants[piece] if place % 2 else piece)
            for place, piece in enumerate(turn.pieces)
        ]
        turns.append(
            [{"role": turn.role, "content": content} for content in rows.select(pl.concat_str(pieces)).to_series()]
        )
    return zip(*turns, strict=True)


def as_they_are(
    name: str, rows: pl.DataFrame, sampling: Sampling, stage: str, samples: int = 1
) -> list[GenerateRequest]:
    """Every row's conversation, put to the model with nothing around it.

    Args:
        name: Stands in the place of the prompt's name in the books.
        rows: row_id and messages, each ending with the user.
        sampling: How the answers are drawn.
        stage: With the row id it seeds the sampling.
        samples: Draws per row, numbered from 0; their requests stand together.
    """
    return [
        GenerateRequest(
            row_id=row_id,
            prompt=name,
            prompt_hash="",
            messages=tuple(messages),
            sampling=sampling,
            # A draw of its own has a seed of its own: an engine gives the same seed the same answer.
            seed=seed_of(f"{stage}:{index}" if index else stage, row_id) if sampling.temperature > 0 else None,
            index=index,
        )
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
        for index in range(samples)
    ]


def last_answers(rows: pl.DataFrame, with_context: bool) -> list[ScoreRequest]:
    """The likelihood of every row's last answer, given all turns before it or given nothing.

    Args:
        rows: row_id and messages, each ending with the assistant.
        with_context: Whether the turns before the answer are given.
    """
    name = "answer_in_context" if with_context else "answer_alone"
    return [
        ScoreRequest(
            row_id=row_id,
            prompt=name,
            context=tuple(messages[:-1]) if with_context else (),
            answer=messages[-1]["content"],
        )
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]


def last_requests(rows: pl.DataFrame) -> list[ScoreRequest]:
    """The likelihood of every row's last request, given nothing.

    Args:
        rows: row_id and messages, each ending with a request and its answer.
    """
    return [
        ScoreRequest(row_id=row_id, prompt="request_alone", context=(), answer=messages[-2]["content"])
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]


def conversations(rows: pl.DataFrame) -> list[RewardRequest]:
    """The reward of every row's whole conversation.

    Args:
        rows: row_id and messages, each ending with the assistant.
    """
    return [
        RewardRequest(row_id, "conversation", tuple(messages))
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]
