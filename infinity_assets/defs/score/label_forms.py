"""`label_forms`: the vocabulary label of each form that the tagger writes. Grain: a form. Key: form."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from infinity_assets.catalog import vocabularies
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.ids import digest
from infinity_assets.scoring import label_overrides, vocabulary

if TYPE_CHECKING:
    import numpy as np


def label_files(step: Step) -> dict[str, str]:
    """Return the digests of the label files outside the lake: the user's overrides and the frozen vocabulary."""
    frozen = step.settings.labels.vocabulary
    files = {
        file.name: digest(file.read_text(encoding="utf-8", errors="replace"))
        for file in label_overrides.files(step.lake.data)
    }
    if frozen:
        files[f"vocabulary {frozen}"] = digest(vocabularies.read(step.lake.data, frozen).write_json())
    return files


@dataset(
    group="score",
    reads=("tagged",),
    settings=lambda s: (s.labels.form_settings, s.models.embedder.weights_id),
    files=label_files,
    columns=vocabulary.FORMS,
    kinds=("polars", "parquet", "sentencetransformers"),
)
def label_forms(step: Step) -> Outcome:
    """The vocabulary label of each form. A form is a label as the tagger wrote it.

    Grain: one form. Key: form. Forms are merged by spelling, stems, frequency, clusters of embeddings and association
    rules (InsTag), or looked up in a frozen vocabulary. A form without a label is a candidate for the next vocabulary.
    """
    recipe, inference, data = step.settings.labels, step.inference(), step.lake.data
    pairs = vocabulary.list_pairs(step.read("tagged"))
    hand = {label: override.into for label, override in label_overrides.read(data).items() if override.into}

    def embed(names: Sequence[str]) -> "np.ndarray":
        return inference.embed(step.settings.models.embedder, names, "labels")

    if recipe.vocabulary:
        result = vocabulary.place(pairs, vocabularies.read(data, recipe.vocabulary), embed, recipe)
    else:
        result = vocabulary.build(pairs, embed, recipe, hand)
    forms = result.forms
    by_rows = forms.sort(pl.col("rows") * -1, "form")
    merged = by_rows.filter(pl.col("step").is_in(("cluster", "rule", "hand")))
    left = by_rows.filter(pl.col("label").is_null())
    return Outcome(
        forms,
        measures={
            "vocabulary": recipe.vocabulary or "follows the data",
            "labels in use": forms["label"].drop_nulls().n_unique(),
            "forms without a label": left.height,
        },
        charts={
            "labels after each step": charts.table(result.steps),
            "merged by meaning": charts.table(merged.select("form", "label", "step", "rows")),
            "candidates": charts.table(left.select("form", "rows", "reason", "nearest")),
        },
    )
