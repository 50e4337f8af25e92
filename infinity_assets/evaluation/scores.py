"""Scores of models per benchmark, from our evaluator, from lm-evaluation-harness, or of the reference model."""

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
        "model": pl.String, "role": pl.String, "benchmark": pl.String, "domain": pl.String, "kind": pl.String,
        "items": pl.Int64, "answered": pl.Int64, "score": pl.Float64, "stderr": pl.Float64,
        "origin": pl.String, "error": pl.String,
    }
)  # fmt: skip
"""Results, one line per model and benchmark. Key: model, benchmark."""

TESTED, OTHER, REFERENCE = "tested", "other", "reference"
"""Roles of models: the model under test, which decides the budget; a model for comparison; the reference model."""

EVALUATOR, LM_EVAL, SETTINGS = "evaluator", "lm-eval file", "reference"
"""Origins of scores."""

_SUFFIX = r"(?:[_-](?:test|val|valid|validation|dev|eval|main|cot|zeroshot|instruct|fewshot|\d+shot|\d+))*"
_METRICS = ("pass@1", "pass_at_1", "exact_match", "math_verify", "acc")
_FILTERS = ("strict-match", "create_test", "extract_code", "none")


def count_results(model: str, role: str, tasks: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Compute the score of a model on each benchmark, as `SCORE`.

    `tasks` has the schema `tasks.TASK`. `verdicts` has one line per task: item_id, right (null if there is no verdict),
    error (the reason for the null). Tasks without a verdict do not affect the score; `error` counts them by reason.
    """
    lines = []
    for (benchmark,), rows in tasks.join(verdicts, on="item_id", how="left").group_by("benchmark"):
        answered, failed = rows["right"].count(), rows.filter(pl.col("right").is_null())
        reasons = failed["error"].fill_null("no answer").value_counts().sort("error")
        score = int(rows["right"].sum()) / answered if answered else None
        error = "; ".join(f"{reason}: {count} of {rows.height}" for reason, count in reasons.iter_rows())
        line = {
            "model": model,
            "role": role,
            "benchmark": benchmark,
            **{name: rows[name].mode().sort()[0] for name in ("domain", "kind")},
            "items": rows.height,
            "answered": answered,
            "score": score,
            # The standard error of a share of n answers, as lm-evaluation-harness computes it.
            "stderr": math.sqrt(score * (1 - score) / (answered - 1)) if score is not None and answered > 1 else None,
            "origin": EVALUATOR,
            "error": error or None,
        }
        lines.append(line)
    return pl.DataFrame(lines, schema=SCORE).sort("benchmark")


def list_skipped(model: str, reasons: Mapping[str, tuple[str | None, int, str]]) -> pl.DataFrame:
    """List skipped benchmarks as `SCORE`. `reasons`: domain, number of items and reason in words, by benchmark."""
    same = {"model": model, "role": TESTED, "answered": 0, "origin": EVALUATOR}
    lines = [
        {**same, "benchmark": name, "domain": domain, "items": items, "error": why}
        for name, (domain, items, why) in reasons.items()
    ]
    return pl.DataFrame(lines, schema=SCORE).sort("benchmark")


def match_name(benchmark: str, names: Mapping[str, Any]) -> str | None:
    """Return the longest of `names` that equals a benchmark's name without suffixes such as `_test`, or `None`."""
    fitting = [name for name in names if re.fullmatch(re.escape(name.lower()) + _SUFFIX, benchmark.lower())]
    alias = _ALIASES.get(benchmark.lower())
    return max(fitting, key=len) if fitting else alias if alias in names else None


_ALIASES = {"hendrycks_math": "math", "minerva_math": "math", "ceval-valid": "ceval"}
"""Benchmark names by task of lm-evaluation-harness, for tasks with other names."""


def list_references(scores: pl.DataFrame, model: str, reference: Mapping[str, float]) -> pl.DataFrame:
    """List the reference model's scores on the benchmarks in `scores`, as `SCORE`. `reference`: scores by benchmark."""
    known = scores.select("benchmark", "domain", "kind").unique("benchmark", keep="first", maintain_order=True)
    lines = [
        {**row, "model": model, "role": REFERENCE, "score": reference[name], "origin": SETTINGS}
        for row in known.sort("benchmark").iter_rows(named=True)
        if (name := match_name(row["benchmark"], reference))
    ]
    return pl.DataFrame(lines, schema=SCORE)


def find_result_files(path: Path) -> list[Path]:
    """Find the result files at a path, a file or a folder. Raise `InfinityError` if there is no such file."""
    files = sorted(path.rglob("results*.json")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        missing = f"{path} has no results_*.json of lm-evaluation-harness."
        raise InfinityError(f"Setting `foundation.loop.lm_eval`: {missing}")
    return files


def read_lm_eval(path: Path, domains: Mapping[str, str]) -> pl.DataFrame:
    """Read results of lm-evaluation-harness (`results_*.json`) as `SCORE`, one line per model and task.

    The latest result of a model on a task counts, and the model of the latest file is the one under test. Tasks without
    a domain have an `error`, except the members of a group of tasks with a domain: they are left out.

    Args:
        path: A result file, or a folder with result files.
        domains: Domain by task.

    Raises:
        InfinityError: There is no result file, or one cannot be read.
    """
    latest_lines: dict[tuple[str, str], dict[str, Any]] = {}
    latest = (float("-inf"), "")
    for file in find_result_files(path):
        try:
            output = json.loads(file.read_text(encoding="utf-8"))
            results = {str(task): dict(values) for task, values in output["results"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = "is not an output of lm-evaluation-harness: it has no `results` by task."
            raise InfinityError(f"{file} {reason}") from error
        date, model = float(output.get("date") or 0.0), _model_name(output, file)
        latest = max(latest, (date, model))
        for line in _read_tasks(results, output.get("n-samples") or {}, domains):
            key = (model, line["benchmark"])
            if key not in latest_lines or latest_lines[key]["date"] <= date:
                latest_lines[key] = {**line, "model": model, "date": date}
    lines = [
        {**line, "role": TESTED if line["model"] == latest[1] else OTHER, "origin": LM_EVAL}
        for _, line in sorted(latest_lines.items())
    ]
    return pl.DataFrame([{name: line.get(name) for name in SCORE} for line in lines], schema=SCORE)


def _read_tasks(
    results: Mapping[str, Any], samples: Mapping[str, Any], domains: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    groups = [name for name in results if name in domains]
    for task, values in results.items():
        if task not in domains and any(task.startswith((f"{group}_", f"{group}-")) for group in groups):
            continue
        line: dict[str, Any] = {"benchmark": task, "domain": domains.get(task)}
        metric = _find_metric(values)
        if metric is None:
            listed = ", ".join(sorted(set(values) - {"alias"})) or "there are none"
            line["error"] = f"no accuracy from 0 to 1 among its numbers: {listed}"
        elif line["domain"] is None:
            line["error"] = "set its domain in `foundation.loop.task_domains`"
        else:
            line["kind"], line["score"], line["stderr"] = metric
        counts = samples.get(task)
        if isinstance(counts, dict):
            line["items"], line["answered"] = counts.get("original"), counts.get("effective")
        yield line


def _find_metric(values: Mapping[str, Any]) -> tuple[str, float, float | None] | None:
    """Return the preferred metric (by the order of `_METRICS`, then `_FILTERS`): name, value, standard error."""
    ranked = []
    for key, value in values.items():
        metric, _, filter_name = key.partition(",")
        if metric in _METRICS and isinstance(value, (int, float)) and 0 <= value <= 1:  # false for NaN, too
            place = _FILTERS.index(filter_name) if filter_name in _FILTERS else len(_FILTERS)
            ranked.append((_METRICS.index(metric), place, key, float(value)))
    if not ranked:
        return None
    _, _, key, value = min(ranked)
    metric, comma, filter_name = key.partition(",")
    error = values.get(f"{metric}_stderr{comma}{filter_name}")
    return key, value, float(error) if isinstance(error, (int, float)) and math.isfinite(error) else None


def _model_name(output: Mapping[str, Any], file: Path) -> str:
    arguments = (output.get("config") or {}).get("model_args")
    if isinstance(arguments, str) and (match := re.search(r"(?:pretrained|model)=([^,]+)", arguments)):
        arguments = match[1]
    elif isinstance(arguments, dict):
        arguments = arguments.get("pretrained") or arguments.get("model")
    return str(output.get("model_name") or arguments or file.stem)
