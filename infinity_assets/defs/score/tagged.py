"""`tagged`: labels in the tagger's own words. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.frames import count_by
from infinity_assets.scoring import labels, sample
from infinity_assets.settings.models import Sampling

_TAG = Sampling(temperature=0.0, max_tokens=64)


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated",),
    settings=lambda s: (
        s.shards, s.scoring, s.calls.retries, s.models.tagger.answer_id, *prompts.hashes(s.prompts_dir, "tag")
    ),
    columns={"row_id": pl.String, "raw_labels": pl.List(pl.String), "tag_error": pl.String},
    kinds=("polars", "parquet", "vllm"),
    seconds=17,
    version="2",
)  # fmt: skip
def tagged(step: Step) -> Outcome:
    """Fine labels of every row in the tagger's own words. `label_forms` maps them to labels of the vocabulary.

    Grain: one row of `decontaminated`. Key: row_id. The labels are null and have a reason if the row is not in the
    sample or the call failed.
    """
    rows, scoring = step.read("decontaminated").collect(), step.settings.scoring
    taken = step.sampled(sample.take(rows, scoring.max_rows, step.settings.shards))
    requests = batch.build_prompt_requests(
        prompts.load_bilingual("tag", step.settings.prompts_dir),
        taken.select("row_id", "language", conversation.instruction().str.slice(0, scoring.max_chars).alias("request")),
        _TAG,
        "tag",
        schema=labels.schema(scoring.max_labels),
        max_labels=str(scoring.max_labels),
    )
    answers = step.inference().generate(step.settings.models.tagger, requests, "tag")
    parsed = rows.select("row_id").join(labels.parse(answers.frame), on="row_id", how="left")
    outside = ~pl.col("row_id").is_in(taken["row_id"].implode())
    table = parsed.with_columns(
        pl.when(outside).then(pl.lit(sample.NOT_SAMPLED)).otherwise("tag_error").alias("tag_error")
    )
    forms = count_by(table.select(form="raw_labels").explode("form").drop_nulls(), "form")
    return Outcome(
        table,
        measures={"rows labelled": table["raw_labels"].count(), "forms": forms.height},
        charts={"most frequent": charts.table(forms)},
    )
