"""Functions that build model requests from the rows of a frame. Sampling seeds derive from stage and row id."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

import polars as pl

from infinity_assets.inference.requests import GenerateRequest, Messages, RewardRequest, ScoreRequest
from infinity_assets.prompts import CHINESE, Bilingual, Prompt
from infinity_assets.rows.ids import digest
from infinity_assets.settings.models import Sampling


def seed_of(stage: str, row_id: str) -> int:
    """Return the sampling seed of a row in a stage."""
    return int(digest(f"{stage}:{row_id}")[:8], 16)


def build_prompt_requests(
    prompt: Bilingual,
    rows: pl.DataFrame,
    sampling: Sampling,
    stage: str,
    schema: Mapping[str, Any] | None = None,
    choices: tuple[str, ...] | None = None,
    **constants: str,
) -> list[GenerateRequest]:
    """Build a request for every row from a prompt, in Chinese if the row is Chinese and in English otherwise.

    Args:
        prompt: The template. Its variables are columns of `rows` or keys of `constants`; values are inserted literally.
        rows: row_id, language (BCP 47, or null), and the variables without nulls. An optional column `index` numbers
            the requests of a row that has several.
        sampling: Sampling of the answers. The seeds derive from stage, row id and index.
        constants: Variables with the same value for every row.

    Returns:
        One request per row of `rows`: first the English ones, then the Chinese ones, each in row order.

    Raises:
        ValueError: The columns and constants do not match the prompt's variables, or a variable is null.
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
            row_id,
            wording.label,
            wording.hash,
            messages,
            sampling,
            schema=dict(schema) if schema else None,
            choices=choices,
            seed=_draw_seed(sampling, stage, row_id, index),
            index=index,
        )
        for wording, subset in ((prompt.en, rows.filter(~chinese)), (prompt.zh, rows.filter(chinese)))
        for row_id, index, messages in zip(
            subset["row_id"], subset["index"], _render_messages(wording, subset, constants), strict=True
        )
    ]


def _draw_seed(sampling: Sampling, stage: str, row_id: str, index: int) -> int | None:
    """Return the seed of one draw, or None at temperature 0. Draws with equal seeds would be equal."""
    return seed_of(f"{stage}:{index}" if index else stage, row_id) if sampling.temperature > 0 else None


def _render_messages(prompt: Prompt, rows: pl.DataFrame, constants: Mapping[str, str]) -> Iterator[Messages]:
    """Render the messages of every row. A turn that is equal in all rows is one shared object."""
    turns: list[Iterable[dict[str, str]]] = []
    for turn in prompt.turns:
        if set(turn.variables) <= set(constants):
            turns.append(repeat({"role": turn.role, "content": turn.fill(constants)}, rows.height))
            continue
        pieces = [
            pl.col(piece) if place % 2 and piece not in constants else pl.lit(constants[piece] if place % 2 else piece)
            for place, piece in enumerate(turn.pieces)
        ]
        turns.append(
            [{"role": turn.role, "content": content} for content in rows.select(pl.concat_str(pieces)).to_series()]
        )
    return zip(*turns, strict=True)


def build_chat_requests(
    name: str, rows: pl.DataFrame, sampling: Sampling, stage: str, samples: int = 1
) -> list[GenerateRequest]:
    """Build requests for the next answer in every row's conversation, without a prompt around it.

    Args:
        name: Value of the column `prompt` in the ledger table `generations`.
        rows: row_id and messages. Each conversation ends with a user turn.
        sampling: Sampling of the answers. The seeds derive from stage, row id and draw.
        samples: Number of draws per row, which are numbered from 0. The requests of a row are adjacent.
    """
    return [
        GenerateRequest(
            row_id, name, "", tuple(messages), sampling, seed=_draw_seed(sampling, stage, row_id, index), index=index
        )
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
        for index in range(samples)
    ]


def build_answer_score_requests(rows: pl.DataFrame, with_context: bool) -> list[ScoreRequest]:
    """Build requests for the log-probability of every row's last answer, with or without the turns before it.

    `rows` has row_id and messages. Each conversation ends with an assistant turn.
    """
    name = "answer_in_context" if with_context else "answer_alone"
    return [
        ScoreRequest(row_id, name, tuple(messages[:-1]) if with_context else (), messages[-1]["content"])
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]


def build_user_turn_score_requests(rows: pl.DataFrame) -> list[ScoreRequest]:
    """Build requests for the log-probability of every row's last user turn, without context.

    `rows` has row_id and messages. Each conversation ends with a user turn and its answer.
    """
    return [
        ScoreRequest(row_id, "request_alone", (), messages[-2]["content"])
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]


def build_reward_requests(rows: pl.DataFrame) -> list[RewardRequest]:
    """Build requests for the reward of every row's whole conversation, which ends with an assistant turn."""
    return [
        RewardRequest(row_id, "conversation", tuple(messages))
        for row_id, messages in rows.select("row_id", "messages").iter_rows()
    ]
