"""`measured`: the numbers that rules compare with thresholds. Grain: a row of `decontaminated`. Key: row_id."""

from functools import partial

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.catalog.verdicts import find_marked_wrong
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.frames import count_by
from infinity_assets.selection.rules import measures

_ROWS = 10_000
"""Rows per batch: about 10 MB of text, which needs several times as much memory while it is measured."""


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated",),
    columns=measures.MEASURES,
    version="4",
)
def measured(step: Step) -> Outcome:
    """Measures of every row for the rules: length, language, repetition, artefacts, claims of identity, refusals, code.

    `marked_wrong` is true if a record of the row, in any source, has the annotation `verdict` with the value `wrong`.

    Grain: one row of `decontaminated`. Key: row_id. No model is called, and a new threshold needs no new measures.
    Measures of the answer are null if there is no answer.
    """
    rows = step.read("decontaminated").select("row_id", "messages", "domain")
    parts = (part for batch in step.batches(rows, _ROWS) for part in batch.iter_slices(_ROWS))
    measure = partial(measures.measure, marked_wrong=find_marked_wrong(step.lake))
    table = pl.concat([pl.DataFrame(schema=measures.MEASURES), *map(measure, parts)])
    return Outcome(
        table,
        measures={
            "answers that the data calls wrong": int(table["marked_wrong"].sum()),
            "answers with code": table["code_language"].count(),
            "Python that parses": int(table["python_parses"].sum()),
        },
        charts={
            "prompts": charts.histogram(table["prompt_chars"].log10(), "characters of the prompts, log10"),
            "answers": charts.histogram(table["answer_chars"].log10(), "characters of the answer, log10"),
            "code": charts.table(count_by(table.drop_nulls("code_language"), "code_language")),
        },
    )
