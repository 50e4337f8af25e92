"""`domain_scores`: scores of models on benchmarks. Grain: a model and a benchmark. Key: model, benchmark."""

from collections import Counter

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Lake, Outcome, file_hash
from infinity_assets.defs.curate.benchmarks import benchmark_files
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.defs.training import tuned_model, weights_of
from infinity_assets.evaluation import scores as scoring
from infinity_assets.evaluation.evaluate import PROMPTS, evaluate
from infinity_assets.evaluation.loop import PROXY
from infinity_assets.evaluation.tasks import TASK, explain_unusable, read_tasks, sample_tasks
from infinity_assets.reading.pool import Pool
from infinity_assets.report import charts
from infinity_assets.settings.foundation import Loop
from infinity_assets.settings.models import ModelSpec


def models_under_test(loop: Loop, lake: Lake) -> dict[str, ModelSpec]:
    """Return the models to evaluate, by name: the base model of the proxies, then the last proxy if there is one.

    The last entry is the model under test.
    """
    tested = {loop.model.model: loop.model}
    if (folder := weights_of(lake, "proxy")) and loop.proxy.enabled:
        tested[f"{PROXY} {folder.name}"] = tuned_model(loop.model, folder)
    return tested


def _files(step: Step) -> dict[str, str]:
    loop = step.settings.foundation.loop
    if loop.lm_eval:
        return {f"results {file}": file_hash(file) for file in scoring.find_result_files(loop.lm_eval)}
    if not loop.items:
        return {}
    # The proxy depends on InfInstruct-F, which depends on these scores. So this is the proxy of the previous run.
    return {**benchmark_files(step), "models under test": ", ".join(models_under_test(loop, step.lake))}


@dataset(
    group="foundation",
    reads=("benchmarks",),
    settings=lambda s: (
        s.foundation.loop.scoring, s.calls.retries, *prompts.hashes(s.prompts_dir, *sorted(PROMPTS.values()))
    ),
    files=_files,
    columns=scoring.SCORE,
    kinds=("polars", "parquet", "vllm"),
)  # fmt: skip
def domain_scores(step: Step) -> Outcome:
    """Scores of the model under test on the benchmarks and, for comparison, the scores of a reference model.

    Grain: one model and one benchmark. Key: model, benchmark. The table is empty unless `foundation.loop.items` is
    above 0 or `foundation.loop.lm_eval` names results. The model under test is the last proxy, or
    `foundation.loop.model` if there is no proxy yet. A benchmark that cannot be evaluated has a reason instead of a
    score. Generated programs run in a sandbox.
    """
    loop = step.settings.foundation.loop
    if not loop.lm_eval and not loop.items:
        return Outcome(pl.DataFrame(schema=scoring.SCORE), measures={"evaluation": "off: foundation.loop.items is 0"})
    programs: dict[str, Counter[str]] = {}
    scores = scoring.read_lm_eval(loop.lm_eval, loop.task_domains) if loop.lm_eval else _evaluate_models(step, programs)
    table = pl.concat([scores, scoring.list_references(scores, loop.reference_model, loop.reference)])
    domains = (
        table.filter(role=scoring.TESTED).drop_nulls("score").group_by("domain").agg(pl.mean("score")).sort("domain")
    )
    ran = {f"programs of {model}": charts.counts(counts) for model, counts in programs.items() if counts}
    return Outcome(
        table,
        measures={f"{domain}, model under test": score for domain, score in domains.iter_rows()},
        charts={"scores": charts.table(table.select(pl.exclude("role", "origin")), rows=40), **ran},
    )


def tasks_of(pool: Pool, items: pl.DataFrame, most: int) -> tuple[pl.DataFrame, dict[str, tuple[str | None, int, str]]]:
    """Return the tasks to evaluate (`TASK`), and the benchmarks that cannot be evaluated.

    Args:
        items: The rows of `benchmarks`.
        most: Maximum number of items per benchmark.

    Returns:
        The tasks, and the domain, number of items and reason of each benchmark without tasks, by its name.
    """
    tasks, reasons = [pl.DataFrame(schema=TASK)], {}
    for name, folder in pool.benchmark_folders().items():
        of_it = items.filter(pl.col("benchmark") == name)
        read = read_tasks(folder, of_it)
        if why := explain_unusable(read):
            reasons[name] = (of_it["domain"].first() if of_it.height else None, of_it.height, why)
        else:
            tasks.append(read)
    return sample_tasks(pl.concat(tasks), most), reasons


def _evaluate_models(step: Step, programs: dict[str, Counter[str]]) -> pl.DataFrame:
    loop, items = step.settings.foundation.loop, step.read("benchmarks").collect()
    asked, reasons = tasks_of(step.pool, items, loop.items)
    # The columns by which a plan describes its sample.
    asked = step.sampled(asked.with_columns(row_id="item_id", source="benchmark", seed="question")).select(list(TASK))
    scores, models = [], models_under_test(loop, step.lake)
    for number, (name, spec) in enumerate(models.items(), 1):
        evaluation = evaluate(
            step.inference(), spec, asked, loop.sampling, loop.sandbox, step.settings.prompts_dir,
            lambda done, total: step.advance(done, total, "programs"),
        )  # fmt: skip
        role = scoring.TESTED if number == len(models) else scoring.OTHER
        scores.append(scoring.count_results(name, role, asked, evaluation.verdicts))
        programs[name] = evaluation.programs
    return pl.concat([*scores, scoring.list_skipped(next(reversed(models)), reasons)])
