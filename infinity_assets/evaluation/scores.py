"""Results of models per benchmark: counted here, or read from lm-evaluation-harness, beside those of a reference."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.errors import InfinityError

SCORE = pl.Schema(
    {
        "model": pl.String,
        "role": pl.String,
        "benchmark": pl.String,
        "domain": pl.String,
        "kind": pl.String,
        "items": pl.Int64,
        "answered": pl.Int64,
        "score": pl.Float64,
        "stderr": pl.Float64,
        "origin": pl.String,
        "error": pl.String,
    }
)
"""A model's result on a benchmark. Key: model, benchmark."""

TESTED, OTHER, REFERENCE = "tested", "other", "reference"
"""The roles of models: the one that the budget goes by; one that is there to compare with; the reference."""

EVALUATOR, LM_EVAL, SETTINGS = "evaluator", "lm-eval file", "reference"
"""Where scores come from."""

_SUFFIX = r"(?:[_-](?:test|val|valid|validation|dev|eval|main|cot|zeroshot|instruct|fewshot|\d+shot|\d+))*"
_METRICS = ("pass@1", "pass_at_1", "exact_match", "math_verify", "acc")
_FILTERS = ("strict-match", "create_test", "extract_code", "none")


def standard_error(score: float, answered: int) -> float | None:
    """The standard error of a share of so many answers: sqrt(p (1 - p) / (n - 1)), as lm-evaluation-harness has it; null of one answer."""
    return math.sqrt(score * (1 - score) / (answered - 1)) if answered > 1 else None


def counted(model: str, role: str, tasks: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Results of a model on the tasks that it was asked.

    Args:
        model: Its name.
        role: Its role.
        tasks: `tasks.TASK`.
        verdicts: A line per task: item_id, right (null where the call failed), error (why it failed).

    Returns:
        `SCORE`, a line per benchmark. Answers that cannot be used count as wrong; calls that failed do not count, and are told.
    """
    lines = []
    for (benchmark,), rows in tasks.join(verdicts, on="item_id", how="left").group_by("benchmark"):
        answered, failed = rows["right"].count(), rows.filter(pl.col("right").is_null())
        reasons = failed["error"].fill_null("no answer").value_counts().sort("error")
        score = int(rows["right"].sum()) / answered if answered else None
        lines.append(
            {
                "model": model,
                "role": role,
                "benchmark": benchmark,
                "domain": rows["domain"].mode().sort()[0],
                "kind": rows["kind"].mode().sort()[0],
                "items": rows.height,
                "answered": answered,
                "score": score,
                "stderr": None if score is None else standard_error(score, answered),
                "origin": EVALUATOR,
                "error": "; ".join(f"{reason}: {count} of {rows.height}" for reason, count in reasons.iter_rows())
                or None,
            }
        )
    return pl.DataFrame(lines, schema=SCORE).sort("benchmark")


def left_out(model: str, reasons: Mapping[str, tuple[str | None, int, str]]) -> pl.DataFrame:
    """Lines for benchmarks that cannot be evaluated: domain, items and the reason in words, by name."""
    lines = [
        {
            "model": model,
            "role": TESTED,
            "benchmark": name,
            "domain": domain,
            "items": items,
            "answered": 0,
            "origin": EVALUATOR,
            "error": why,
        }
        for name, (domain, items, why) in reasons.items()
    ]
    return pl.DataFrame(lines, schema=SCORE).sort("benchmark")


def named(benchmark: str, names: Mapping[str, Any]) -> str | None:
    """The name that stands for a benchmark or a task: the longest of those that it begins with, `_test` and the like behind it."""
    fitting = [name for name in names if re.fullmatch(re.escape(name.lower()) + _SUFFIX, benchmark.lower())]
    alias = _ALIASES.get(benchmark.lower())
    return max(fitting, key=len) if fitting else alias if alias in names else None


_ALIASES = {"hendrycks_math": "math", "minerva_math": "math", "ceval-valid": "ceval"}
"""Tasks of lm-evaluation-harness under the names of their benchmarks."""


def references(scores: pl.DataFrame, model: str, reference: Mapping[str, float]) -> pl.DataFrame:
    """The reference's lines for the benchmarks of a table of scores: `SCORE`."""
    known = (
        scores.select("benchmark", "domain", "kind")
        .unique("benchmark", keep="first", maintain_order=True)
        .sort("benchmark")
    )
    lines = [
        {**row, "model": model, "role": REFERENCE, "score": reference[name], "origin": SETTINGS}
        for row in known.iter_rows(named=True)
        if (name := named(row["benchmark"], reference))
    ]
    return pl.DataFrame(lines, schema=SCORE)


def result_files(path: Path) -> list[Path]:
    """The files of results under a path, which is one or a folder.

    Raises:
        InfinityError: There is none.
    """
    files = sorted(path.rglob("results*.json")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise InfinityError(
            f"Setting `foundation.loop.lm_eval` names {path}, where there is no results_*.json of lm-evaluation-harness."
        )
    return files


def read_lm_eval(path: Path, domains: Mapping[str, str]) -> pl.DataFrame:
    """Results as lm-evaluation-harness writes them (`results_*.json`).

    Of several results of a model on a task the latest counts; the model of the latest file is the one under test. A task whose domain is not known is
    told, unless it is a part of one that is.

    Args:
        path: A file, or a folder with some.
        domains: Domain by task.

    Returns:
        `SCORE`.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    latest = (float("-inf"), "")
    for file in result_files(path):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            results = {str(task): dict(values) for task, values in told["results"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InfinityError(
                f"{file} is no output of lm-evaluation-harness: it has no `results`, task by task."
            ) from error
        date, model = float(told.get("date") or 0.0), _model(told, file)
        latest = max(latest, (date, model))
        for line in _tasks(results, told.get("n-samples") or {}, domains):
            key = (model, line["benchmark"])
            if key not in found or found[key]["date"] <= date:
                found[key] = {**line, "model": model, "date": date}
    lines = [
        {**line, "role": TESTED if line["model"] == latest[1] else OTHER, "origin": LM_EVAL}
        for _, line in sorted(found.items())
    ]
    return pl.DataFrame([{name: line.get(name) for name in SCORE} for line in lines], schema=SCORE)


def _tasks(
    results: Mapping[str, Any], samples: Mapping[str, Any], domains: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    groups = [name for name in results if name in domains]
    for task, values in results.items():
        if task not in domains and any(task.startswith((f"{group}_", f"{group}-")) for group in groups):
            continue
        line: dict[str, Any] = {"benchmark": task, "domain": domains.get(task)}
        measured = _measured(values)
        if measured is None:
            line["error"] = "none of its numbers is an accuracy from 0 to 1: " + (
                ", ".join(sorted(set(values) - {"alias"})) or "it has none"
            )
        elif line["domain"] is None:
            line["error"] = "name its domain in `foundation.loop.task_domains`"
        else:
            line["kind"], line["score"], line["stderr"] = measured
        counts = samples.get(task)
        if isinstance(counts, dict):
            line["items"], line["answered"] = counts.get("original"), counts.get("effective")
        yield line


def _measured(values: Mapping[str, Any]) -> tuple[str, float, float | None] | None:
    """Metric with its filter, value and standard error: of several the one that stands first in our lists."""
    ranked = []
    for key, value in values.items():
        metric, _, chosen = key.partition(",")
        if metric in _METRICS and isinstance(value, (int, float)) and 0 <= value <= 1:  # NaN is neither
            place = _FILTERS.index(chosen) if chosen in _FILTERS else len(_FILTERS)
            ranked.append((_METRICS.index(metric), place, key, float(value)))
    if not ranked:
        return None
    _, _, key, value = min(ranked)
    metric, comma, chosen = key.partition(",")
    error = values.get(f"{metric}_stderr{comma}{chosen}")
    return key, value, float(error) if isinstance(error, (int, float)) and math.isfinite(error) else None


def _model(told: Mapping[str, Any], file: Path) -> str:
    arguments = (told.get("config") or {}).get("model_args")
    if isinstance(arguments, str) and (named := re.search(r"(?:pretrained|model)=([^,]+)", arguments)):
        arguments = named[1]
    elif isinstance(arguments, dict):
        arguments = arguments.get("pretrained") or arguments.get("model")
    return str(told.get("model_name") or arguments or file.stem)
