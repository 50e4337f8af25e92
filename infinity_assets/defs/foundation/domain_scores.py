"""`domain_scores`: how good a model is, benchmark by benchmark. Grain: a model on a benchmark. Key: model, benchmark."""

from collections import Counter

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Lake, Outcome, file_hash
from infinity_assets.defs.curate.benchmarks import benchmark_files
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.defs.training import tuned_model, weights_of
from infinity_assets.evaluation.evaluate import PROMPTS, evaluate
from infinity_assets.evaluation.loop import PROXY
from infinity_assets.evaluation.scores import (
    OTHER,
    SCORE,
    TESTED,
    counted,
    left_out,
    read_lm_eval,
    references,
    result_files,
)
from infinity_assets.evaluation.tasks import TASK, chosen, read_tasks, why_not
from infinity_assets.reading.pool import Pool
from infinity_assets.report import charts
from infinity_assets.settings.foundation import Loop
from infinity_assets.settings.models import ModelSpec


def models_under_test(loop: Loop, lake: Lake) -> dict[str, ModelSpec]:
    """The models that are evaluated, by name, the one under test last: what proxies are made from, and the last proxy."""
    tested = {loop.model.model: loop.model}
    if loop.proxy.enabled and (folder := weights_of(lake, "proxy")):
        tested[f"{PROXY} {folder.name}"] = tuned_model(loop.model, folder)
    return tested


def _files(step: Step) -> dict[str, str]:
    loop = step.settings.foundation.loop
    if loop.lm_eval:
        return {f"results {file}": file_hash(file) for file in result_files(loop.lm_eval)}
    if not loop.items:
        return {}
    # A proxy is behind F, and F behind these scores: the last one is read, which the next run finds to be another.
    return {**benchmark_files(step), "models under test": ", ".join(models_under_test(loop, step.lake))}


@dataset(
    group="foundation",
    reads=("benchmarks",),
    settings=lambda s: (s.foundation.loop.scoring, *prompts.hashes(s.prompts_dir, *sorted(PROMPTS.values()))),
    files=_files,
    columns=SCORE,
    meaning={
        "model": "its name; `proxy` and the hash of its training for one that was trained on F",
        "role": "tested: the budget goes by it; other: to compare with; reference",
        "benchmark": "name of the benchmark's folder, or of the task of lm-evaluation-harness",
        "domain": "domain of the benchmark",
        "kind": "exact_match, multiple_choice or code_execution; or the metric",
        "items": "items that were asked",
        "answered": "those whose call did not fail: an answer that cannot be used counts as wrong",
        "score": "share of right answers",
        "stderr": "its standard error",
        "origin": "evaluator, lm-eval file or reference",
        "error": "why there is no score, or why calls failed",
    },
    kinds=("polars", "parquet", "vllm"),
)
def domain_scores(step: Step) -> Outcome:
    """Results of the model under test on the evaluation sets, beside those of a reference model.

    Grain: a model on a benchmark. Key: model, benchmark. Empty unless `foundation.loop.items` asks for an evaluation or `foundation.loop.lm_eval`
    names results. The model under test is the last proxy, or `foundation.loop.model` until there is one. A benchmark that cannot be evaluated says
    why. Programs are run in a sandbox.
    """
    loop = step.settings.foundation.loop
    if not loop.lm_eval and not loop.items:
        return Outcome(pl.DataFrame(schema=SCORE), measures={"evaluation": "off: foundation.loop.items is 0"})
    programs: dict[str, Counter[str]] = {}
    scores = read_lm_eval(loop.lm_eval, loop.task_domains) if loop.lm_eval else _evaluated(step, programs)
    table = pl.concat([scores, references(scores, loop.reference_model, loop.reference)])
    domains = (
        table.filter(pl.col("role") == TESTED)
        .drop_nulls("score")
        .group_by("domain")
        .agg(pl.col("score").mean())
        .sort("domain")
    )
    ran = {f"programs of {model}": charts.counts(counts) for model, counts in programs.items() if counts}
    return Outcome(
        table,
        measures={f"{domain}, model under test": score for domain, score in domains.iter_rows()},
        charts={"scores": charts.table(table.select(pl.exclude("role", "origin")), rows=40), **ran},
    )


def tasks_of(pool: Pool, items: pl.DataFrame, most: int) -> tuple[pl.DataFrame, dict[str, tuple[str | None, int, str]]]:
    """What is asked, and of the benchmarks that cannot be evaluated: domain, items and why.

    Args:
        pool: Where the benchmarks lie.
        items: The rows of `benchmarks`.
        most: Items of each benchmark that are asked.
    """
    tasks, reasons = [pl.DataFrame(schema=TASK)], {}
    for name, folder in pool.benchmark_folders().items():
        of_it = items.filter(pl.col("benchmark") == name)
        read = read_tasks(folder, of_it)
        if why := why_not(read):
            reasons[name] = (of_it["domain"].first() if of_it.height else None, of_it.height, why)
        else:
            tasks.append(read)
    return chosen(pl.concat(tasks), most), reasons


def _evaluated(step: Step, programs: dict[str, Counter[str]]) -> pl.DataFrame:
    loop, items = step.settings.foundation.loop, step.read("benchmarks").collect()
    asked, reasons = tasks_of(step.pool, items, loop.items)
    # Under the names that a plan knows its rows by.
    asked = step.sampled(asked.with_columns(row_id="item_id", source="benchmark", seed="question")).select(list(TASK))
    found, models = [], models_under_test(loop, step.lake)
    for number, (name, spec) in enumerate(models.items(), 1):
        made = evaluate(
            step.inference(), spec, asked, loop.sampling, loop.sandbox, step.settings.prompts_dir,
            lambda done, total: step.advance(done, total, "programs"),
        )  # fmt: skip
        role = TESTED if number == len(models) else OTHER
        found.append(counted(name, role, asked, made.verdicts))
        programs[name] = made.programs
    return pl.concat([*found, left_out(next(reversed(models)), reasons)])
