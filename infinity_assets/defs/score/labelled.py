"""`labelled`: the vocabulary labels of every row. Grain: a row of `decontaminated`. Key: row_id."""

import numpy as np
import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.frames import conform, count_by
from infinity_assets.scoring import sample, spread, vocabulary

_COLUMNS = {
    "row_id": pl.String,
    **dict.fromkeys(("ability", "cate_ability"), pl.List(pl.String)),
    "label_source": pl.String,
    "label_similarity": pl.Float32,
    "label_error": pl.String,
}
MODEL, NEIGHBOURS = "model", "neighbours"
_COMPARED = 20_000
"""Maximum number of labelled rows for the table `agreement`. With more, it would take longer than the labels."""


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated",),
    reads_all=("tagged", "label_forms", "tag_vocabulary", "vectors"),
    settings=lambda s: (s.labels.row_settings, s.scoring.max_labels),
    columns=_COLUMNS,
    kinds=("polars", "parquet", "hnswlib"),
)
def labelled(step: Step) -> Outcome:
    """Vocabulary labels of every row: from the tagger, or else labels on which the nearest labelled rows agree.

    Grain: one row of `decontaminated`. Key: row_id. A row without labels has nulls and a reason. To help you choose
    `labels.spread_cosine`, the table `agreement` compares the labels of neighbors with the tagger's, by the cosine of
    the nearest neighbor.
    """
    recipe, most = step.settings.labels, step.settings.scoring.max_labels
    known = _labels_by_tagger(step).sort("row_id")
    table = step.read("decontaminated").select("row_id").collect()
    for found in (step.read("tagged").select("row_id", "tag_error").collect(), known):
        table = table.join(found, on="row_id", how="left", maintain_order="left")
    has_labels = pl.col("ability").is_not_null()
    error = pl.when(~has_labels).then(pl.coalesce("tag_error", pl.lit(vocabulary.NOT_IN_VOCABULARY)))
    table = table.with_columns(
        label_source=pl.when(has_labels).then(pl.lit(MODEL)),
        label_similarity=pl.lit(None, pl.Float32),
        label_error=error,
    )
    tables = {}
    if recipe.spread:
        examples = _examples(step, known)
        table = _fill_from_neighbours(step, table, examples)
        agreement = spread.agreement(_draw_examples(examples), recipe, most)
        tables["agreement"] = charts.table(agreement.with_columns(pl.selectors.float().round(3)), rows=20)
    coarse = table.explode("cate_ability").drop_nulls("cate_ability")
    return Outcome(
        conform(table, _COLUMNS),
        measures={
            "rows labelled by the model": int((table["label_source"] == MODEL).sum()),
            "rows labelled by neighbours": int((table["label_source"] == NEIGHBOURS).sum()),
        },
        charts={
            "who labelled": charts.table(count_by(table, "label_source", "label_error"), rows=20),
            "coarse abilities": charts.table(count_by(coarse, "cate_ability"), rows=26),
            **tables,
            "similarity": charts.histogram(
                table["label_similarity"].drop_nulls(), "nearest labelled row, cosine", low=0, high=1
            ),
        },
    )


def _labels_by_tagger(step: Step) -> pl.DataFrame:
    """Return the rows with a vocabulary label from the tagger: row_id, ability, cate_ability."""
    forms = step.read("label_forms").drop_nulls("label").select("form", "label").collect()
    lifts = step.read("tag_vocabulary").select("label", "cate_ability").collect()
    written = step.read("tagged").select("row_id", form="raw_labels").filter(pl.col("form").list.len() > 0).collect()
    placed = written.explode("form").join(forms.join(lifts, on="label"), on="form", maintain_order="left")
    return placed.group_by("row_id", maintain_order=True).agg(
        ability=pl.col("label").unique(maintain_order=True),
        cate_ability=pl.col("cate_ability").explode().drop_nulls().unique(maintain_order=True),
    )


def _examples(step: Step, known: pl.DataFrame) -> spread.Labelled:
    """Return the rows that have labels from the tagger and a vector."""
    parts = [
        step.lake.scan("vectors", partition)
        .drop_nulls("vector")
        .join(known.lazy(), on="row_id")
        .collect(engine="streaming")
        for partition in step.lake.partitions("vectors")
    ]
    # Empty shards have vectors of another width, and in a plan some shards have no vectors.
    having = pl.concat([part for part in parts if part.height] or parts[:1]).sort("row_id")
    keys = having["row_id"].str.head(16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    return spread.Labelled(having["vector"].to_numpy(), keys, having.select("ability", "cate_ability"))


def _fill_from_neighbours(step: Step, table: pl.DataFrame, examples: spread.Labelled) -> pl.DataFrame:
    """Label the rows that the tagger has not labelled, by a vote of their nearest labelled rows."""
    recipe = step.settings.labels
    lacking = table.filter(pl.col("label_source").is_null()).select("row_id")
    vectors = step.lake.scan("vectors", step.partition).drop_nulls("vector").collect()
    asked = lacking.join(vectors, on="row_id", maintain_order="left")
    neighbours = spread.neighbours(
        asked["vector"].to_numpy(), examples, recipe.spread_cosine, recipe.neighbours, recipe.exact_up_to
    )
    votes = asked.select("row_id").with_row_index("query").with_columns(pl.col("query").cast(pl.Int64), has_vector=True)
    votes = votes.join(neighbours.group_by("query").agg(nearest=pl.col("similarity").max()), on="query", how="left")
    for name, lists, most in (
        ("fine", examples.labels["ability"], step.settings.scoring.max_labels),
        ("coarse", examples.labels["cate_ability"], None),
    ):
        voted = spread.vote(neighbours, lists, recipe.vote, most).rename({"labels": name})
        votes = votes.join(voted, on="query", how="left")
    both = table.join(votes.drop("query"), on="row_id", how="left", maintain_order="left")
    agreed = pl.col("fine").is_not_null() | pl.col("coarse").is_not_null()
    lacks = pl.col("label_source").is_null()
    filled = lacks & agreed
    none = pl.lit([], pl.List(pl.String))
    why = (
        pl.when(pl.col("has_vector").is_null())
        .then(pl.lit("no_vector"))
        .when(pl.col("nearest").is_null())
        .then(pl.lit("no_close_neighbour"))
        .otherwise(pl.lit("no_agreement"))
    )
    unseen = pl.col("label_error") == sample.NOT_SAMPLED
    return both.with_columns(
        ability=pl.when(filled).then(pl.col("fine").fill_null(none)).otherwise("ability"),
        cate_ability=pl.when(filled).then(pl.col("coarse").fill_null(none)).otherwise("cate_ability"),
        label_source=pl.when(filled).then(pl.lit(NEIGHBOURS)).otherwise("label_source"),
        label_similarity=pl.when(filled).then("nearest"),
        label_error=pl.when(lacks & ~agreed).then(pl.when(unseen).then(why).otherwise("label_error")),
    ).select(table.columns)


def _draw_examples(examples: spread.Labelled) -> spread.Labelled:
    """Draw at most `_COMPARED` of the labelled rows, by key."""
    if len(examples.keys) <= _COMPARED:
        return examples
    taken = np.sort(np.argsort(examples.keys, kind="stable")[:_COMPARED])
    return spread.Labelled(examples.vectors[taken], examples.keys[taken], examples.labels[taken])
