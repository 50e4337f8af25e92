"""Evaluation of a model on tasks."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple, cast

import polars as pl

from infinity_assets import prompts, sandbox
from infinity_assets.evaluation import answers
from infinity_assets.evaluation.tasks import CHOICE, CODE, EXACT, build_program
from infinity_assets.inference import batch
from infinity_assets.inference.client import Inference
from infinity_assets.inference.requests import EMPTY, INVALID_CHOICE, REFUSED, GenerateRequest
from infinity_assets.settings.foundation import Limits
from infinity_assets.settings.models import ModelSpec, Sampling

PROMPTS = {EXACT: "evaluate_exact", CHOICE: "evaluate_choice", CODE: "evaluate_code"}
"""Prompts by kind of task."""

_LETTER = Sampling(temperature=0.0, max_tokens=1)
_WRONG = (EMPTY, INVALID_CHOICE, REFUSED)
"""Errors that count as wrong answers."""


class Evaluation(NamedTuple):
    """Verdicts on a model's answers."""

    verdicts: pl.DataFrame
    """One line per task: item_id, right (null if there is no verdict), error (why)."""
    programs: Counter[str]
    """Number of programs by verdict."""


def evaluate(
    inference: Inference,
    spec: ModelSpec,
    tasks: pl.DataFrame,
    sampling: Sampling,
    limits: Limits,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Ask a model and check its answers.

    Args:
        inference, spec: The models, and the one to evaluate.
        tasks: `tasks.TASK`, all of a kind that can be checked.
        sampling: Sampling of the answers; a letter is always the most probable one.
        limits: Limits of the model's programs.
        folder: Folder with the user's prompts.
        progress: Called with the number of programs done and the total.
    """
    frame = inference.generate(spec, _build_requests(tasks, sampling, folder), "evaluate").frame
    responses = frame.select("text", "error", item_id="row_id")
    found: dict[str, tuple[bool | None, str | None]] = {}
    programs = {}
    for task in tasks.join(responses, on="item_id", how="left", maintain_order="left").iter_rows(named=True):
        item, error = task["item_id"], task["error"]
        if error is not None:
            found[item] = (False, None) if error in _WRONG else (None, error)
        elif task["kind"] == CODE:
            found[item] = None, None
            programs[item] = build_program(task, task["text"])
        else:
            found[item] = _is_right(task), None
    verdicts = sandbox.run([*programs.values()], limits, progress=progress)
    found |= {item: _judge_program(verdict) for item, verdict in zip(programs, verdicts, strict=True)}
    schema = {"item_id": pl.String, "right": pl.Boolean, "error": pl.String}
    table = pl.DataFrame([(item, *verdict) for item, verdict in found.items()], schema=schema, orient="row")
    kinds = (
        verdict.status if verdict.reason is None else f"{verdict.status}: {verdict.reason.partition(':')[0]}"
        for verdict in verdicts
    )
    return Evaluation(table, Counter(kinds))


def _judge_program(verdict: sandbox.Verdict) -> tuple[bool | None, str | None]:
    """Return right and error of a program. A program that could not be confined has no verdict."""
    not_run = verdict.reason is not None and verdict.reason.startswith(sandbox.NOT_RUN)
    return (None, verdict.reason) if not_run else (verdict.status == "passed", None)


def _is_right(task: dict) -> bool:
    if task["kind"] == CHOICE:
        return task["text"] == task["expected"]
    return answers.is_right(task["text"], answers.Expected(cast(answers.Form, task["form"]), task["expected"]))


def _build_requests(tasks: pl.DataFrame, sampling: Sampling, folder: Path | None) -> list[GenerateRequest]:
    """Build one request per task, grouped by kind."""
    requests = []
    for kind, name in PROMPTS.items():
        rows = tasks.filter(pl.col("kind") == kind)
        prompt = prompts.load_bilingual(name, folder)
        for (options,), alike in rows.group_by("options", maintain_order=True):
            asked = alike.select("language", "question", row_id="item_id")
            letters = tuple(ascii_uppercase[: cast(int, options)]) if kind == CHOICE else None
            requests += batch.build_prompt_requests(
                prompt, asked, _LETTER if kind == CHOICE else sampling, "evaluate", choices=letters
            )
    return requests
