"""Evaluation of a model: it answers tasks, and every answer is checked."""

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
"""Names of the prompts, by kind of task."""

_LETTER = Sampling(temperature=0.0, max_tokens=1)
_WRONG = (EMPTY, INVALID_CHOICE, REFUSED)
"""Error classes of calls that count as wrong answers."""


class Evaluation(NamedTuple):
    """The verdicts on a model's answers."""

    verdicts: pl.DataFrame
    """One line per task: item_id, right (null if there is no verdict), error (the reason for the null)."""
    programs: Counter[str]
    """Number of programs by status, or by status and reason (`failed: AssertionError`)."""


def evaluate(
    inference: Inference,
    spec: ModelSpec,
    tasks: pl.DataFrame,
    sampling: Sampling,
    limits: Limits,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Ask a model to answer tasks, and check its answers.

    Args:
        inference, spec: Access to models, and the model to evaluate.
        tasks: Tasks of schema `tasks.TASK`. Their kind is not null.
        sampling: Sampling of the answers, except to multiple choice: there the most probable letter is taken.
        limits: Limits on the programs that the model writes.
        folder: Folder with the user's prompts.
        progress: Called with the number of programs that have run and their total.
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
    for item, (status, reason, _) in zip(programs, verdicts, strict=True):
        is_unknown = reason is not None and reason.startswith(sandbox.NOT_RUN)
        found[item] = (None, reason) if is_unknown else (status == "passed", None)
    schema = {"item_id": pl.String, "right": pl.Boolean, "error": pl.String}
    table = pl.DataFrame([(item, *verdict) for item, verdict in found.items()], schema=schema, orient="row")
    kinds = (
        verdict.status if verdict.reason is None else f"{verdict.status}: {verdict.reason.partition(':')[0]}"
        for verdict in verdicts
    )
    return Evaluation(table, Counter(kinds))


def _is_right(task: dict) -> bool:
    if task["kind"] == CHOICE:
        return task["text"] == task["expected"]
    return answers.is_right(task["text"], answers.Expected(cast(answers.Form, task["form"]), task["expected"]))


def _build_requests(tasks: pl.DataFrame, sampling: Sampling, folder: Path | None) -> list[GenerateRequest]:
    """Build one request per task, grouped by the kind of task and the number of options."""
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
