"""The vocabulary of labels: from the many forms in which the tagger writes a label to one name for it, after InsTag (arXiv 2308.07074).

1. *Spelling*: lower case, special characters to spaces.
2. *Stems*: forms whose words have the same stems (Porter 2) are one.
3. *Frequency*: what fewer rows carry than the setting says is not trusted. InsTag counts forms before it stems them; here all spellings of a stem
   count together, so that a rare spelling of a frequent label is kept.
4. *Clusters*: names whose embeddings are close are one, and so is what is connected by such pairs (single link: DBSCAN with one point as a core).
5. *Rules*: a label that implies another (support and confidence, as FP-Growth finds them for pairs) becomes that one. Of two that imply each other
   the more frequent stays.

A label is called by the form that most rows carry, the alphabetically first of equals. Nothing depends on the order of the rows.

A frozen vocabulary takes no new label: forms are looked up by spelling, by stem, and by the nearest name; the others are candidates for the next.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.scoring.labels import normalise
from infinity_assets.settings.foundation import Labels

FORMS = pl.Schema(
    {
        "form": pl.String,
        "rows": pl.Int64,
        "label": pl.String,
        "step": pl.String,
        "reason": pl.String,
        "nearest": pl.String,
    }
)
"""A form as the tagger wrote it, the rows that carry it, its label, and the step that led there: `name` (the form is the label), `spelling`, `stem`,
`cluster`, `rule` or `hand`. Where there is no label: the reason (`empty`, `rare`, `not_in_vocabulary`) and, under a frozen vocabulary, the nearest
label. Key: form.
"""

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Vectors of unit length, one per text."""

EMPTY, RARE, NOT_IN_VOCABULARY = "empty", "rare", "not_in_vocabulary"
_CROWD = 1000
"""Neighbours of a name that are looked at: more are connected through these."""


class Vocabulary(NamedTuple):
    """What became of the forms."""

    forms: pl.DataFrame
    """Of schema `FORMS`, by form."""
    steps: pl.DataFrame
    """step, labels: how many there are after it."""


def pairs_of(tagged: pl.LazyFrame) -> pl.DataFrame:
    """Which row carries which form.

    Args:
        tagged: raw_labels, one line per row.

    Returns:
        row (a number), form; each pair once.
    """
    labelled = tagged.filter(pl.col("raw_labels").list.len() > 0).select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), form="raw_labels"
    )
    return labelled.explode("form").unique(["row", "form"]).collect()


def build(pairs: pl.DataFrame, embed: Embed, recipe: Labels, by_hand: dict[str, str]) -> Vocabulary:
    """The vocabulary that follows from the data.

    Args:
        pairs: As `pairs_of` gives them.
        embed: Gives the vectors of names.
        recipe: The thresholds.
        by_hand: Labels that become another one: name to name.
    """
    forms = _forms(pairs)
    steps = [("raw forms", forms.height), ("spelling", _distinct(forms, "spelling"))]
    words = forms.drop_nulls("spelling").with_columns(group="stem")
    pairs = pairs.join(words.select("form", "group"), on="form")
    spellings = (
        pairs.join(words.select("form", "spelling"), on="form")
        .select("row", "spelling")
        .unique()
        .group_by("spelling")
        .len("count")
    )
    words = words.join(spellings, on="spelling", maintain_order="left")
    steps.append(("stem", _distinct(words, "group")))
    counts = _counts(pairs)
    trusted = counts.filter(pl.col("count") >= recipe.min_rows).select("group")
    words = words.join(trusted, on="group", how="semi", maintain_order="left").pipe(_named)
    steps.append((f"at least {recipe.min_rows} rows", trusted.height))
    words = words.with_columns(stem_name="group")
    words = _renamed(words, _clusters(words["group"].unique().sort(), embed, recipe.min_cosine)).pipe(_named)
    words = words.with_columns(cluster_name="group")
    steps.append(("cluster", _distinct(words, "group")))
    carried = pairs.select("row", "form").join(words.select("form", "group"), on="form").select("row", "group").unique()
    words = _renamed(words, _rules(carried, recipe))
    words = words.with_columns(rule_name="group")
    steps.append(("rule", _distinct(words, "group")))
    merged = {label: into for label, into in by_hand.items() if label != into}
    words = words.with_columns(group=pl.col("group").replace(merged))
    steps.append(("hand", _distinct(words, "group")))
    step = (
        pl.when(pl.col("group") != pl.col("rule_name"))
        .then(pl.lit("hand"))
        .when(pl.col("rule_name") != pl.col("cluster_name"))
        .then(pl.lit("rule"))
        .when(pl.col("cluster_name") != pl.col("stem_name"))
        .then(pl.lit("cluster"))
        .when(pl.col("spelling") != pl.col("stem_name"))
        .then(pl.lit("stem"))
        .when(pl.col("form") != pl.col("spelling"))
        .then(pl.lit("spelling"))
        .otherwise(pl.lit("name"))
    )
    placed = words.select("form", label="group", step=step)
    reason = (
        pl.when(pl.col("label").is_not_null())
        .then(None)
        .when(pl.col("spelling").is_null())
        .then(pl.lit(EMPTY))
        .otherwise(pl.lit(RARE))
    )
    told = forms.join(placed, on="form", how="left", maintain_order="left").with_columns(
        reason=reason, nearest=pl.lit(None, pl.String)
    )
    return Vocabulary(_told(told), pl.DataFrame(steps, schema={"step": pl.String, "labels": pl.Int64}, orient="row"))


def place(pairs: pl.DataFrame, frozen: pl.DataFrame, embed: Embed, recipe: Labels) -> Vocabulary:
    """The forms under a frozen vocabulary.

    Args:
        pairs: As `pairs_of` gives them.
        frozen: label, forms (list): the vocabulary.
        embed: Gives the vectors of names.
        recipe: The least cosine.
    """
    forms = _forms(pairs)
    known = frozen.select("label", form="forms").explode("form").with_columns(rank=pl.col("form") != pl.col("label"))
    known = known.with_columns(spelling=normalise(pl.col("form"))).pipe(_stemmed).sort("rank", "label", "form")
    spelled = known.unique("spelling", keep="first").select("spelling", by_spelling="label")
    stemmed = known.unique("stem", keep="first").select("stem", by_stem="label")
    told = forms.join(spelled, on="spelling", how="left", maintain_order="left").join(
        stemmed, on="stem", how="left", maintain_order="left"
    )
    left = (
        told.filter(pl.col("by_spelling").is_null() & pl.col("by_stem").is_null())["spelling"]
        .drop_nulls()
        .unique()
        .sort()
    )
    told = told.join(
        _nearest(left, frozen["label"].unique().sort(), embed), on="spelling", how="left", maintain_order="left"
    )
    near = pl.when(pl.col("similarity") >= recipe.min_cosine).then(pl.col("nearest"))
    label = pl.coalesce("by_spelling", "by_stem", near)
    step = (
        pl.when(pl.col("form") == pl.col("by_spelling"))
        .then(pl.lit("name"))
        .when(pl.col("by_spelling").is_not_null())
        .then(pl.lit("spelling"))
        .when(pl.col("by_stem").is_not_null())
        .then(pl.lit("stem"))
        .when(near.is_not_null())
        .then(pl.lit("cluster"))
    )
    told = told.with_columns(label=label, step=step)
    reason = (
        pl.when(pl.col("label").is_not_null())
        .then(None)
        .when(pl.col("spelling").is_null())
        .then(pl.lit(EMPTY))
        .otherwise(pl.lit(NOT_IN_VOCABULARY))
    )
    told = told.with_columns(reason=reason, nearest=pl.when(pl.col("label").is_null()).then("nearest"))
    steps = [
        ("raw forms", forms.height),
        ("spelling", _distinct(forms, "spelling")),
        ("in the vocabulary", _distinct(told, "label")),
    ]
    return Vocabulary(_told(told), pl.DataFrame(steps, schema={"step": pl.String, "labels": pl.Int64}, orient="row"))


def labels_of(forms: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The labels, and how many rows carry each.

    Args:
        forms: Of schema `FORMS`.
        pairs: As `pairs_of` gives them.

    Returns:
        label, rows, share (of the rows that the tagger labelled), forms (list, those of most rows first); most frequent first.
    """
    placed = forms.drop_nulls("label")
    rows = (
        pairs.join(placed.select("form", "label"), on="form")
        .select("row", "label")
        .unique()
        .group_by("label")
        .len("rows")
    )
    listed = placed.sort(pl.col("rows") * -1, "form").group_by("label", maintain_order=True).agg(forms="form")
    total = max(pairs["row"].n_unique(), 1)
    counted = listed.join(rows, on="label").with_columns(pl.col("rows").cast(pl.Int64))
    return counted.select("label", "rows", (pl.col("rows") / total).alias("share"), "forms").sort(
        pl.col("rows") * -1, "label"
    )


def _forms(pairs: pl.DataFrame) -> pl.DataFrame:
    """form, rows, spelling (null if nothing is left of it), stem; by form."""
    forms = (
        pairs.group_by("form")
        .len("rows")
        .sort("form")
        .with_columns(pl.col("rows").cast(pl.Int64), spelling=normalise(pl.col("form")))
    )
    worded = pl.col("spelling").str.contains(r"\p{L}")
    return forms.with_columns(spelling=pl.when(worded).then("spelling")).pipe(_stemmed)


def _stemmed(words: pl.DataFrame) -> pl.DataFrame:
    """With the stem of every spelling."""
    import snowballstemmer

    stemmer = snowballstemmer.stemmer("english")
    spellings = words["spelling"].drop_nulls().unique().sort()
    stems = pl.DataFrame(
        {"spelling": spellings, "stem": [" ".join(stemmer.stemWords(spelling.split())) for spelling in spellings]},
        schema={"spelling": pl.String, "stem": pl.String},
    )
    return words.join(stems, on="spelling", how="left", maintain_order="left")


def _counts(pairs: pl.DataFrame) -> pl.DataFrame:
    """Rows per group: group, count."""
    return pairs.select("row", "group").unique().group_by("group").len("count")


def _named(words: pl.DataFrame) -> pl.DataFrame:
    """Every group called by its spelling that most rows carry."""
    first = words.sort(pl.col("count").cast(pl.Int64) * -1, "spelling").unique(
        "group", keep="first", maintain_order=True
    )
    return _renamed(words, first.select("group", name="spelling"))


def _renamed(words: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """The words with other groups: names has group, name."""
    found = words.join(names, on="group", how="left", maintain_order="left")
    return found.with_columns(group=pl.coalesce("name", "group")).drop("name")


def _clusters(names: pl.Series, embed: Embed, least: float) -> pl.DataFrame:
    """Names that are connected by close pairs, under the first of them: group, name."""
    from infinity_assets.dedup.close_pairs import close_pairs
    from infinity_assets.dedup.comparing_kernels import join_all, settle

    leader = np.arange(len(names), dtype=np.int32)
    if len(names) > 1:
        close = close_pairs([embed(names.to_list())], least, _CROWD)
        join_all(leader, close.left, close.right)
        settle(leader)
    return pl.DataFrame({"group": names, "name": names.gather(leader)}, schema={"group": pl.String, "name": pl.String})


def _rules(carried: pl.DataFrame, recipe: Labels) -> pl.DataFrame:
    """What every group becomes by the rules: group, name.

    Args:
        carried: row, group; each pair once.
        recipe: Support and confidence.
    """
    counts = _counts(carried).with_columns(pl.col("count").cast(pl.Int64))
    often = counts.filter(pl.col("count") >= recipe.min_support)
    # The rank settles which of two that imply each other stays, and lets no chain of rules come back to its beginning.
    ranked = often.sort(pl.col("count") * -1, "group").with_row_index("rank")
    here = carried.join(ranked, on="group")
    both = here.join(here.select("row", into="group", into_rank="rank"), on="row").filter(
        pl.col("into_rank") < pl.col("rank")
    )
    support = both.group_by("group", "count", "into", "into_rank").len("support")
    implied = support.filter(
        (pl.col("support") >= recipe.min_support) & (pl.col("support") >= recipe.min_confidence * pl.col("count"))
    )
    into = implied.sort("into_rank").unique("group", keep="first").select("group", name="into")
    while True:
        further = into.join(into.rename({"group": "name", "name": "last"}), on="name", how="left").with_columns(
            name=pl.coalesce("last", "name")
        )
        if further["last"].is_null().all():
            return into
        into = further.drop("last")


def _nearest(asked: pl.Series, names: pl.Series, embed: Embed) -> pl.DataFrame:
    """The name nearest to every spelling: spelling, nearest, similarity."""
    from infinity_assets.dedup.close_pairs import nearest

    schema = {"spelling": pl.String, "nearest": pl.String, "similarity": pl.Float32}
    if not len(asked) or not len(names):
        return pl.DataFrame(schema=schema)
    found = nearest(embed(asked.to_list()), embed(names.to_list()), -1.0, 1)
    return pl.DataFrame(
        {
            "spelling": asked.gather(found["query"]),
            "nearest": names.gather(found["row"]),
            "similarity": found["similarity"],
        },
        schema=schema,
    )


def _distinct(frame: pl.DataFrame, column: str) -> int:
    return frame[column].drop_nulls().n_unique()


def _told(told: pl.DataFrame) -> pl.DataFrame:
    return told.select(pl.col(name).cast(dtype) for name, dtype in FORMS.items()).sort("form")
