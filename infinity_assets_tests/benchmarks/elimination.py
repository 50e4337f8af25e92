"""Precision and recall of the elimination rules that call a model, on the labelled rewrites.

    python -m infinity_assets_tests.benchmarks.elimination [--model FOLDER] [--data FOLDER]

The judge is the embedded model or `--model`, the embedder that of the default settings. Prints a table in Markdown for
docs/elimination.md. `harmful` is measured by the judge alone, and together with the word list as in the rule. The
second pair of columns is at the best threshold for the set: the potential of the model's score, not the rule's
performance. Not a test: nothing is asserted.
"""

import tempfile
from pathlib import Path

import polars as pl

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.locations import models_dir
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Elimination
from infinity_assets.settings.models import Models, ModelSpec
from infinity_assets.synthesis.elimination import model_measures
from infinity_assets.synthesis.prompting import Asking
from infinity_assets_tests.benchmarks.measuring import parser
from infinity_assets_tests.synthesis.elimination import labelled
from infinity_assets_tests.synthesis.elimination.labelled import Tally, tally

NUMBERS = {
    "no_gain": pl.col("similarity"),
    "lost_subject": -pl.col("similarity"),
    "answers_the_seed": pl.col("seed_answer_similarity") - pl.col("similarity"),
    "same_request": pl.col("same"),
    "no_gain_by_judge": -pl.col("gain"),
    "harmful": pl.col("harm"),
}
"""The number behind each rule. The larger it is, the more reason there is to eliminate a rewrite."""


def asked(asking: Asking) -> pl.DataFrame:
    """Return the cases of all sets that need a model, with the measures of the models."""
    sets = sorted({name for name, _, _ in labelled.MODEL_RULES.values()})
    frame = pl.concat([labelled.cases(name).with_columns(pl.lit(name).alias("set")) for name in sets])
    return model_measures.measure_rewrites(frame.drop(labelled.NUMBERS), asking)


def best(numbers: pl.Series, wanted: pl.Series) -> tuple[float, Tally]:
    """Return the (inclusive) threshold with the highest F1, and its tally."""

    def f1(found: Tally) -> float:
        return 2 * found.hits / (2 * found.hits + found.misses + found.alarms)

    thresholds = numbers.drop_nulls().unique().sort()
    tallies = [(least, tally((numbers >= least).fill_null(False), wanted)) for least in thresholds]
    return max(tallies, key=lambda pair: f1(pair[1]), default=(0.0, tally(numbers.is_null() & False, wanted)))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", help="folder with the weights of the judge; the embedded model without it")
    options.add_argument("--data", type=Path, help="folder that keeps the answers; a temporary one without it")
    arguments = options.parse_args()
    judge = ModelSpec(model=arguments.model) if arguments.model else ModelSpec()
    with tempfile.TemporaryDirectory() as folder:
        inference = Inference(ResponseStore((arguments.data or Path(folder)) / "responses"), EnginePool(models_dir()))
        frame = asked(Asking(inference, Settings(models=Models(judge=judge)), "elimination"))
    print(f"judge: {Path(judge.model).name}\n")
    print("| reason | cases | precision | recall | best threshold | its precision | its recall |")
    print("|---|---|---|---|---|---|---|")
    for reason, (name, wanted_parts, unwanted_parts) in labelled.MODEL_RULES.items():
        own = frame.filter(pl.col("set") == name, pl.col("part").is_in([*wanted_parts, *unwanted_parts]))
        wanted = own["part"].is_in(wanted_parts)
        numbers = own.select(NUMBERS[reason].alias("number")).to_series()
        threshold, there = best(numbers, wanted)
        rules = {reason: labelled.mark_rejected(reason, own)}
        if reason == "harmful":
            by_judge = own.select((pl.col("harm") > Elimination().max_harm).fill_null(False).alias("taken")).to_series()
            rules = {"harmful (judge alone)": by_judge, "harmful (with the words)": rules[reason]}
        for rule, taken in rules.items():
            found = tally(taken, wanted)
            at = f"{abs(threshold):.2f} | {there.precision:.2f} | {there.recall:.2f}"
            print(f"| {rule} | {found.cases} | {found.precision:.2f} | {found.recall:.2f} | {at} |")


if __name__ == "__main__":
    main()
