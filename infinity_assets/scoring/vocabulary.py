"""The vocabulary of labels: maps every form that the tagger wrote to a label (after InsTag, arXiv 2308.07074).

1. *Spelling*: forms are converted to lower case, and their special characters to spaces.
2. *Stems*: forms whose words have equal stems (Porter 2) become one label.
3. *Frequency*: labels on fewer rows than `min_rows` are dropped. All spellings of a stem count together, so that a rare
   spelling of a frequent label is kept. InsTag counts forms before it stems them.
4. *Clusters*: labels whose embeddings are close are merged, also through a chain of close pairs (single linkage).
5. *Rules*: a label that implies another one (by support and confidence, as FP-Growth finds them for pairs) is merged
   into it. If two labels imply each other, the more frequent one stays.

Manual overrides are applied last. The name of a label is its most frequent spelling. The order of rows has no effect.

A frozen vocabulary takes no new labels. Forms are looked up by spelling, by stem, and by the nearest name. Forms that
are not found are candidates for the next vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.rows.frames import conform
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
"""Forms and their labels, one line per form as the tagger wrote it. Key: form.

`rows`: number of rows that carry the form. `step`: the last step that changed the form: `spelling`, `stem`, `cluster`,
`rule` or `hand`, or `name` if the form is the label. If there is no label, `reason` is `empty`, `rare` or
`not_in_vocabulary`, and `nearest` is the nearest label of a frozen vocabulary.
"""

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Function that returns the unit vectors of texts, shape (texts, width)."""

EMPTY = "empty"
RARE = "rare"
NOT_IN_VOCABULARY = "not_in_vocabulary"
_CROWD = 1000
"""Number of close pairs that are kept per name. Further close names are connected through these."""


class Vocabulary(NamedTuple):
    """Forms with their labels, and the number of labels after each step."""

    forms: pl.DataFrame
    """Schema `FORMS`, sorted by form."""
    steps: pl.DataFrame
    """Columns step, labels (number of labels after the step)."""


def list_pairs(tagged: pl.LazyFrame) -> pl.DataFrame:
    """List the distinct pairs of a row (a number) and a form. `tagged` has one line per row, with raw_labels."""
    labelled = tagged.filter(pl.col("raw_labels").list.len() > 0).select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), form="raw_labels"
    )
    return labelled.explode("form").unique(["row", "form"]).collect()


def build(pairs: pl.DataFrame, embed: Embed, recipe: Labels, by_hand: dict[str, str]) -> Vocabulary:
    """Build a vocabulary from the pairs of `list_pairs`. `by_hand` maps labels to the labels that replace them."""
    forms = _forms(pairs)
    steps = []
    words = forms.drop_nulls("spelling").with_columns(group="stem")
    pairs = pairs.join(words.select("form", "group", "spelling"), on="form")
    words = words.join(_counts(pairs, "spelling"), on="spelling", maintain_order="left")
    steps.append(("stem", _distinct(words, "group")))
    counts = _counts(pairs, "group")
    trusted = counts.filter(pl.col("count") >= recipe.min_rows).select("group")
    words = words.join(trusted, on="group", how="semi", maintain_order="left").pipe(_name_groups)
    steps.append((f"at least {recipe.min_rows} rows", trusted.height))
    words = words.with_columns(stem_name="group")
    words = _rename_groups(words, _clusters(words["group"].unique().sort(), embed, recipe.min_cosine)).pipe(
        _name_groups
    )
    words = words.with_columns(cluster_name="group")
    steps.append(("cluster", _distinct(words, "group")))
    carried = pairs.drop("group").join(words.select("form", "group"), on="form").select("row", "group").unique()
    words = _rename_groups(words, _rules(carried, recipe))
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
    table = forms.join(placed, on="form", how="left", maintain_order="left")
    return _describe(table.with_columns(nearest=pl.lit(None, pl.String)), steps, RARE)


def place(pairs: pl.DataFrame, frozen: pl.DataFrame, embed: Embed, recipe: Labels) -> Vocabulary:
    """Look up the forms of pairs (`list_pairs`) in a frozen vocabulary, of columns label and forms (list)."""
    forms = _forms(pairs)
    known = frozen.select("label", form="forms").explode("form").with_columns(rank=pl.col("form") != pl.col("label"))
    known = known.with_columns(spelling=normalise(pl.col("form"))).pipe(_add_stems).sort("rank", "label", "form")
    spelled = known.unique("spelling", keep="first").select("spelling", by_spelling="label")
    stemmed = known.unique("stem", keep="first").select("stem", by_stem="label")
    looked_up = forms.join(spelled, on="spelling", how="left", maintain_order="left")
    looked_up = looked_up.join(stemmed, on="stem", how="left", maintain_order="left")
    unknown = looked_up.filter(pl.col("by_spelling").is_null() & pl.col("by_stem").is_null())["spelling"]
    nearest = _nearest(unknown.drop_nulls().unique().sort(), frozen["label"].unique().sort(), embed)
    looked_up = looked_up.join(nearest, on="spelling", how="left", maintain_order="left")
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
    looked_up = looked_up.with_columns(label=label, step=step, nearest=pl.when(label.is_null()).then("nearest"))
    return _describe(looked_up, [("in the vocabulary", _distinct(looked_up, "label"))], NOT_IN_VOCABULARY)


def count_labels(forms: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Count the rows that carry each label, from forms of schema `FORMS` and the pairs of `list_pairs`.

    Returns:
        Columns label, rows, share (of the rows that the tagger labelled), forms (list). The most frequent label and
        the most frequent form are first.
    """
    placed = forms.drop_nulls("label")
    rows = _counts(pairs.join(placed.select("form", "label"), on="form"), "label").rename({"count": "rows"})
    listed = placed.sort(pl.col("rows") * -1, "form").group_by("label", maintain_order=True).agg(forms="form")
    total = max(pairs["row"].n_unique(), 1)
    counted = listed.join(rows, on="label").with_columns(pl.col("rows").cast(pl.Int64))
    return counted.select("label", "rows", (pl.col("rows") / total).alias("share"), "forms").sort(
        pl.col("rows") * -1, "label"
    )


def _forms(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the columns form, rows, spelling (null if it has no letter), stem; sorted by form."""
    forms = (
        pairs.group_by("form")
        .len("rows")
        .sort("form")
        .with_columns(pl.col("rows").cast(pl.Int64), spelling=normalise(pl.col("form")))
    )
    worded = pl.col("spelling").str.contains(r"\p{L}")
    return forms.with_columns(spelling=pl.when(worded).then("spelling")).pipe(_add_stems)


def _add_stems(words: pl.DataFrame) -> pl.DataFrame:
    """Add the stem of every spelling."""
    import snowballstemmer

    stemmer = snowballstemmer.stemmer("english")
    spellings = words["spelling"].drop_nulls().unique().sort()
    stems = pl.DataFrame(
        {"spelling": spellings, "stem": [" ".join(stemmer.stemWords(spelling.split())) for spelling in spellings]},
        schema={"spelling": pl.String, "stem": pl.String},
    )
    return words.join(stems, on="spelling", how="left", maintain_order="left")


def _counts(pairs: pl.DataFrame, by: str) -> pl.DataFrame:
    """Count the distinct rows for each value of the column `by`, as `count`."""
    return pairs.select("row", by).unique().group_by(by).len("count")


def _name_groups(words: pl.DataFrame) -> pl.DataFrame:
    """Name every group by its most frequent spelling."""
    first = words.sort(pl.col("count").cast(pl.Int64) * -1, "spelling").unique(
        "group", keep="first", maintain_order=True
    )
    return _rename_groups(words, first.select("group", name="spelling"))


def _rename_groups(words: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Rename groups of words. `names` has the columns group, name."""
    joined = words.join(names, on="group", how="left", maintain_order="left")
    return joined.with_columns(group=pl.coalesce("name", "group")).drop("name")


def _clusters(names: pl.Series, embed: Embed, least: float) -> pl.DataFrame:
    """Cluster the names that close pairs connect. Return each name (group) and the first name of its cluster (name)."""
    from infinity_assets.dedup.close_pairs import find_close_pairs
    from infinity_assets.dedup.comparing_kernels import join_all, settle

    leader = np.arange(len(names), dtype=np.int32)
    if len(names) > 1:
        close = find_close_pairs([embed(names.to_list())], least, _CROWD)
        join_all(leader, close.left, close.right)
        settle(leader)
    return pl.DataFrame({"group": names, "name": names.gather(leader)}, schema={"group": pl.String, "name": pl.String})


def _rules(carried: pl.DataFrame, recipe: Labels) -> pl.DataFrame:
    """Find groups that imply another one, from distinct pairs of row and group. Return group, name (of the other)."""
    counts = _counts(carried, "group").with_columns(pl.col("count").cast(pl.Int64))
    often = counts.filter(pl.col("count") >= recipe.min_support)
    # Only rules towards a group of better rank count: of two groups that imply each other one stays, without cycles.
    ranked = often.sort(pl.col("count") * -1, "group").with_row_index("rank")
    ranked_pairs = carried.join(ranked, on="group")
    both = ranked_pairs.join(ranked_pairs.select("row", into="group", into_rank="rank"), on="row").filter(
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


def _nearest(spellings: pl.Series, names: pl.Series, embed: Embed) -> pl.DataFrame:
    """Find the name nearest to every spelling. Return the columns spelling, nearest, similarity."""
    from infinity_assets.dedup.close_pairs import find_nearest

    schema = {"spelling": pl.String, "nearest": pl.String, "similarity": pl.Float32}
    if not len(spellings) or not len(names):
        return pl.DataFrame(schema=schema)
    pairs = find_nearest(embed(spellings.to_list()), embed(names.to_list()), -1.0, 1)
    columns = [spellings.gather(pairs["query"]), names.gather(pairs["row"]), pairs["similarity"]]
    return pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema)


def _distinct(frame: pl.DataFrame, column: str) -> int:
    return frame[column].drop_nulls().n_unique()


def _describe(table: pl.DataFrame, steps: list[tuple[str, int]], unplaced: str) -> Vocabulary:
    """Return the vocabulary. A form without a label gets a reason: `empty` if it has no letter, else `unplaced`."""
    lacking = pl.when(pl.col("spelling").is_null()).then(pl.lit(EMPTY)).otherwise(pl.lit(unplaced))
    table = table.with_columns(reason=pl.when(pl.col("label").is_null()).then(lacking))
    steps = [("raw forms", table.height), ("spelling", _distinct(table, "spelling")), *steps]
    return Vocabulary(
        conform(table, FORMS).sort("form"),
        pl.DataFrame(steps, schema={"step": pl.String, "labels": pl.Int64}, orient="row"),
    )
