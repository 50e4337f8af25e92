"""`label_forms`: the label of the vocabulary that each form written by the tagger stands for."""

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
    """What is said of labels outside the lake: the user's own file, and the frozen vocabulary."""
    frozen = step.settings.labels.vocabulary
    files = {
        file.name: digest(file.read_text(encoding="utf-8", errors="replace"))
        for file in label_overrides.files(step.lake.data)
    }
    if frozen:
        made = vocabularies.read(step.lake.data, frozen)
        files[f"vocabulary {frozen}"] = digest(made.write_json())
    return files


@dataset(
    group="score",
    reads=("tagged",),
    settings=lambda s: (s.labels.of_forms, s.models.embedder.identity),
    files=label_files,
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
    hand = {label: said.into for label, said in label_overrides.read(data).items() if said.into}

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
