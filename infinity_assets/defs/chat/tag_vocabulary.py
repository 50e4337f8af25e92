"""`tag_vocabulary`: the fine labels in use, with their frequencies, coarse abilities and Chinese names."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog import vocabularies
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.score.label_forms import label_files
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.report import charts
from infinity_assets.rows.frames import conform
from infinity_assets.rows.schema import texts
from infinity_assets.scoring import label_overrides, labels, vocabulary
from infinity_assets.settings.models import Sampling

_LIFT = Sampling(temperature=0.0, max_tokens=48)
_NAME = Sampling(temperature=0.0, max_tokens=32)

_COLUMNS = {
    "label": pl.String,
    "rows": pl.Int64,
    "share": pl.Float64,
    "cate_ability": pl.List(pl.String),
    "label_zh": pl.String,
    "forms": pl.List(pl.String),
    **texts("said_by", "lift_error", "name_error"),
}


@dataset(
    group="chat",
    reads=("tagged", "label_forms"),
    settings=lambda s: (
        s.labels.vocabulary or "", s.calls.retries, s.models.tagger.answer_id,
        *prompts.hashes(s.prompts_dir, "lift", "label_zh"),
    ),
    files=label_files,
    columns=_COLUMNS,
    kinds=("polars", "parquet", "vllm"),
    seconds=4,
    version="3",
)  # fmt: skip
def tag_vocabulary(step: Step) -> Outcome:
    """The fine labels in use, with their number of rows, their coarse abilities, and their Chinese names.

    Grain: one label. Key: label. `rows` counts the rows that the tagger labelled, but not those that took their labels
    from neighbors. It decides which labels are in the long tail, a criterion for seeds. A frozen vocabulary is used
    unchanged, except that `rows` and `share` are counted again.
    """
    data, frozen = step.lake.data, step.settings.labels.vocabulary
    used = vocabulary.count_labels(step.read("label_forms").collect(), vocabulary.list_pairs(step.read("tagged")))
    if frozen:
        fixed = vocabularies.read(data, frozen).drop("rows")
        counted = fixed.join(used.select("label", "rows", "share"), on="label", how="left")
        words = counted.with_columns(pl.col("rows", "share").fill_null(0), said_by=pl.lit(f"vocabulary {frozen}"))
    else:
        words = _describe_labels(step, used)
    words = conform(words, _COLUMNS, fill=True).sort(pl.col("rows") * -1, "label")
    coarse = words.explode("cate_ability").group_by("cate_ability").agg(pl.len().alias("labels"), pl.col("rows").sum())
    return Outcome(
        words,
        measures={
            "labels used once": words.filter(pl.col("rows") == 1).height,
            "labels without a coarse ability": words["cate_ability"].null_count(),
            "labels without a Chinese name": words["name_error"].count(),
        },
        charts={
            "most frequent": charts.table(words.select("label", "rows", "cate_ability", "label_zh")),
            "coarse abilities": charts.table(coarse.sort(pl.col("rows") * -1, "cate_ability"), rows=26),
            "frequency": charts.histogram(words.filter(pl.col("rows") > 0)["rows"].log10(), "rows per label, log10"),
        },
    )


def _describe_labels(step: Step, used: pl.DataFrame) -> pl.DataFrame:
    """Add coarse abilities and Chinese names to labels, from the user's overrides or else from the tagger's answers."""
    hand = label_overrides.read(step.lake.data)
    own = pl.DataFrame(
        [
            (label, list(override.cate_ability) if override.cate_ability else None, override.label_zh)
            for label, override in hand.items()
        ],
        schema={"label": pl.String, "own_ability": pl.List(pl.String), "own_zh": pl.String},
        orient="row",
    )
    words = used.join(own, on="label", how="left", maintain_order="left")
    asked = step.sampled(words.select(row_id="label", language=pl.lit("en"), kind=pl.lit("label"), seed="label"))
    to_ask = words.filter(pl.col("label").is_in(asked["row_id"].implode()))
    to_lift, to_name = (to_ask.filter(pl.col(column).is_null()) for column in ("own_ability", "own_zh"))
    lifted = labels.parse_lifted(_ask(step, to_lift, "lift", _LIFT, labels.lift_schema()))
    named = labels.parse_chinese_names(_ask(step, to_name, "label_zh", _NAME, None))
    for answers in (lifted, named):
        words = words.join(answers, on="label", how="left", maintain_order="left")
    by = (
        pl.when(pl.col("own_ability").is_not_null())
        .then(pl.lit("hand"))
        .when(pl.col("cate_ability").is_not_null())
        .then(pl.lit("model"))
    )
    return words.with_columns(
        said_by=by,
        cate_ability=pl.coalesce("own_ability", "cate_ability"),
        label_zh=pl.coalesce("own_zh", "label_zh", "label"),
    )


def _ask(step: Step, words: pl.DataFrame, prompt: str, sampling: Sampling, schema: dict | None) -> pl.DataFrame:
    """Ask the tagger about every label with one prompt, and return its answers. Their row id is the label."""
    rows = words.select(row_id="label", label="label", language=pl.lit("en"))
    wording = prompts.load_bilingual(prompt, step.settings.prompts_dir)
    requests = batch.build_prompt_requests(wording, rows, sampling, prompt, schema=schema)
    return step.inference().generate(step.settings.models.tagger, requests, prompt).frame
