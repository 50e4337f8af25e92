"""The vocabulary of labels.

| asset | grain | key |
|---|---|---|
| label_forms | a label as the tagger wrote it | form |
| tag_vocabulary | fine label | label |
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog import vocabularies
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.inference import batch
from infinity_assets.model_settings import Sampling
from infinity_assets.report import charts
from infinity_assets.rows.ids import digest
from infinity_assets.scoring import by_hand, labels, vocabulary

if TYPE_CHECKING:
    import numpy as np

_LIFT = Sampling(temperature=0.0, top_p=1.0, max_tokens=48)
_NAME = Sampling(temperature=0.0, top_p=1.0, max_tokens=32)
_PROMPTS = ("lift", "label_zh")


def _files(step: Step) -> dict[str, str]:
    """What is said of labels outside the lake: the user's own file, and the frozen vocabulary."""
    frozen = step.settings.labels.vocabulary
    files = {file.name: digest(file.read_text(encoding="utf-8", errors="replace")) for file in by_hand.files(step.lake.data)}
    if frozen:
        made = vocabularies.read(step.lake.data, frozen)
        files[f"vocabulary {frozen}"] = digest(made.write_json())
    return files


@dataset(
    group="score",
    reads=("tagged",),
    settings=lambda s: (s.labels.of_forms, s.models.embedder.identity),
    files=_files,
    columns=vocabulary.FORMS,
    meaning={
        "form": "a label as the tagger wrote it",
        "rows": "rows that carry it",
        "label": "the label of the vocabulary that it is",
        "step": "how it came to that: name, spelling, stem, cluster, rule or hand",
        "reason": "why it has no label: empty, rare or not_in_vocabulary",
        "nearest": "the nearest label of the frozen vocabulary, where it has none",
    },
    kinds=("polars", "parquet", "sentencetransformers"),
)
def label_forms(step: Step) -> Outcome:
    """Which label each form is: by spelling, stems, frequency, clusters of embeddings and association rules (InsTag), or, with a frozen vocabulary,
    by looking it up. A form without a label is a candidate for the next vocabulary.

    Grain: one form. Key: form. docs/labels.md.
    """
    recipe, inference, data = step.settings.labels, step.inference(), step.lake.data
    pairs = vocabulary.pairs_of(step.read("tagged"))
    hand = {label: said.into for label, said in by_hand.read(data).items() if said.into}

    def embed(names: Sequence[str]) -> "np.ndarray":
        return inference.embed(step.settings.models.embedder, names, "labels")

    if recipe.vocabulary:
        made = vocabulary.place(pairs, vocabularies.read(data, recipe.vocabulary), embed, recipe)
    else:
        made = vocabulary.build(pairs, embed, recipe, hand)
    forms = made.forms
    merged = forms.filter(pl.col("step").is_in(("cluster", "rule", "hand"))).sort(pl.col("rows") * -1, "form")
    left = forms.filter(pl.col("label").is_null()).sort(pl.col("rows") * -1, "form")
    return Outcome(
        forms,
        measures={
            "vocabulary": recipe.vocabulary or "follows the data",
            "labels in use": forms["label"].drop_nulls().n_unique(),
            "forms without a label": left.height,
        },
        charts={
            "labels after each step": charts.table(made.steps),
            "merged by meaning": charts.table(merged.select("form", "label", "step", "rows")),
            "candidates": charts.table(left.select("form", "rows", "reason", "nearest")),
        },
    )


@dataset(
    group="chat",
    reads=("tagged", "label_forms"),
    settings=lambda s: (s.labels.vocabulary or "", s.models.tagger.reach, *prompts.hashes(s.prompts_dir, *_PROMPTS)),
    files=_files,
    columns={
        "label": pl.String,
        "rows": pl.Int64,
        "share": pl.Float64,
        "cate_ability": pl.List(pl.String),
        "label_zh": pl.String,
        "forms": pl.List(pl.String),
        "said_by": pl.String,
        "lift_error": pl.String,
        "name_error": pl.String,
    },
    meaning={
        "label": "fine label",
        "rows": "rows that carry it, of those that the tagger labelled",
        "cate_ability": "coarse abilities that it is lifted to; null if the model named none",
        "share": "of all labelled rows",
        "label_zh": "its Chinese name; the English one where there is none",
        "forms": "how the tagger writes it",
        "said_by": "who lifted it: model, hand or the frozen vocabulary",
        "lift_error": "why there are no coarse abilities",
        "name_error": "why there is no Chinese name: not_chinese, shared (with another label), or what went wrong in the call",
    },
    kinds=("polars", "parquet", "vllm"),
    seconds=4,
    version="3",
)
def tag_vocabulary(step: Step) -> Outcome:
    """The fine labels in use, how many rows carry each, the coarse abilities that the model lifts each to, and its Chinese name.

    Grain: one label. Key: label. The long tail that seeds are taken from goes by `rows`: rows that the tagger labelled, none that took their labels
    from neighbours. A frozen vocabulary is used as it is; only `rows` and `share` are counted anew.
    """
    data, frozen = step.lake.data, step.settings.labels.vocabulary
    used = vocabulary.labels_of(step.read("label_forms").collect(), vocabulary.pairs_of(step.read("tagged")))
    if frozen:
        fixed = vocabularies.read(data, frozen).drop("rows")
        counted = fixed.join(used.select("label", "rows", "share"), on="label", how="left")
        none = pl.lit(None, pl.String)
        words = counted.with_columns(
            pl.col("rows", "share").fill_null(0), said_by=pl.lit(f"vocabulary {frozen}"), lift_error=none, name_error=none
        )
    else:
        words = _described(step, used)
    columns = ["label", "rows", "share", "cate_ability", "label_zh", "forms", "said_by", "lift_error", "name_error"]
    words = words.select(columns).sort(pl.col("rows") * -1, "label")
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


def _described(step: Step, used: pl.DataFrame) -> pl.DataFrame:
    """The labels with coarse abilities and Chinese names: what is said by hand, and for the others what the model says."""
    hand = by_hand.read(step.lake.data)
    own = pl.DataFrame(
        [(label, list(said.cate_ability) if said.cate_ability else None, said.label_zh) for label, said in hand.items()],
        schema={"label": pl.String, "own_ability": pl.List(pl.String), "own_zh": pl.String},
        orient="row",
    )
    words = used.join(own, on="label", how="left", maintain_order="left")
    asked = step.sampled(words.select(row_id="label", language=pl.lit("en"), kind=pl.lit("label"), seed="label"))["row_id"]
    to_ask = words.filter(pl.col("label").is_in(asked.implode()))
    to_lift, to_name = (to_ask.filter(pl.col(column).is_null()) for column in ("own_ability", "own_zh"))
    lifted = labels.lifted(_asked(step, to_lift, "lift", _LIFT, labels.lift_schema()))
    named = labels.chinese(_asked(step, to_name, "label_zh", _NAME, None))
    words = words.join(lifted, on="label", how="left", maintain_order="left").join(named, on="label", how="left", maintain_order="left")
    by = pl.when(pl.col("own_ability").is_not_null()).then(pl.lit("hand")).when(pl.col("cate_ability").is_not_null()).then(pl.lit("model"))
    return words.with_columns(
        said_by=by, cate_ability=pl.coalesce("own_ability", "cate_ability"), label_zh=pl.coalesce("own_zh", "label_zh", "label")
    )


def _asked(step: Step, words: pl.DataFrame, prompt: str, sampling: Sampling, schema: dict | None) -> pl.DataFrame:
    """The answers to one question about every label, under the label as the row's id."""
    rows = words.select(row_id="label", label="label", language=pl.lit("en"))
    requests = batch.from_prompt(prompts.both(prompt, step.settings.prompts_dir), rows, sampling, prompt, schema=schema)
    return step.inference().generate(step.settings.models.tagger, requests, prompt).frame
