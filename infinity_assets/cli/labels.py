"""The `infinity labels` commands."""

from typing import TYPE_CHECKING

import click

from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl

_EXAMPLES = 3


@click.group()
def labels() -> None:
    """Show and freeze the vocabulary of labels, and show forms: the labels as the tagger wrote them.

    \b
    infinity labels list                    labels with row counts, coarse abilities and Chinese names
    infinity labels show 'word problem'     the forms of a label, and some rows that carry it
    infinity labels candidates              forms that belong to no label of the vocabulary
    infinity labels freeze v1               write data/vocabularies/v1.parquet

    With `labels: {vocabulary: v1}` in infinity.yaml, new rows get labels of the frozen vocabulary: docs/labels.md.
    """


@labels.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most labels to show.")
def list_labels(limit: int) -> None:
    """List the labels in use, the most frequent first, and the frozen vocabularies.

    \b
    infinity labels list --limit 1000
    infinity sql "select * from tag_vocabulary"     all columns and rows
    """
    from infinity_assets.catalog import vocabularies

    words = _scan("tag_vocabulary")
    for line in words.head(limit).iter_rows(named=True):
        click.echo(
            f"{line['rows']:>8,}  {line['label']:<40} {', '.join(line['cate_ability'] or ['-']):<50} {line['label_zh']}"
        )
    if words.height > limit:
        click.echo(f"{words.height - limit:,} more: --limit {words.height}")
    if frozen := vocabularies.frozen_names(data_dir()):
        click.echo(f"frozen: {', '.join(frozen)}")


@labels.command()
@click.argument("label")
def show(label: str) -> None:
    """Show a label: its coarse abilities, Chinese name, forms, and some rows. LABEL may also be one of its forms.

    \b
    infinity labels show 'word problem'
    infinity labels show 'word problems'      the label that this form belongs to
    """
    import polars as pl

    from infinity_assets.catalog.lake import Lake

    forms = _scan("label_forms")
    words = _scan("tag_vocabulary")
    known = forms.filter(pl.col("form") == label)
    name = known["label"][0] if known.height and known["label"][0] else label
    entry = words.filter(pl.col("label") == name)
    if entry.is_empty():
        why = f"{known['reason'][0]}, in {known['rows'][0]:,} rows" if known.height else "the tagger never wrote it"
        raise InfinityError(f"{label!r} is no label of the vocabulary: {why}.")
    line = entry.row(0, named=True)
    click.echo(
        f"{name}: {line['rows']:,} rows, {line['label_zh']}, {', '.join(line['cate_ability'] or ['no coarse ability'])}"
    )
    click.echo(f"coarse abilities from: {line['said_by'] or 'none'}")
    for form in forms.filter(pl.col("label") == name).sort(pl.col("rows") * -1, "form").iter_rows(named=True):
        click.echo(f"{form['rows']:>8,}  {form['form']}  ({form['step']})")
    if Lake(data_dir()).partitions("labelled"):
        rows = _scan("labelled").filter(pl.col("ability").list.contains(name)).sort("label_source", "row_id")
        for row_id, source in rows.select("row_id", "label_source").head(_EXAMPLES).iter_rows():
            click.echo(f"  {row_id}  by {source}     infinity explain {row_id[:8]}")


@labels.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most forms to show.")
def candidates(limit: int) -> None:
    """List the forms that belong to no label, the most frequent first: candidates for the next vocabulary.

    \b
    infinity labels candidates
    infinity sql "select * from label_forms where label is null"

    With a frozen vocabulary, the nearest label is shown after each form.
    """
    import polars as pl

    left = _scan("label_forms").filter(pl.col("label").is_null()).sort(pl.col("rows") * -1, "form")
    for line in left.head(limit).iter_rows(named=True):
        near = f"  nearest: {line['nearest']}" if line["nearest"] else ""
        click.echo(f"{line['rows']:>8,}  {line['form']:<40} {line['reason']}{near}")
    click.echo(f"{left.height:,} forms without a label")


@labels.command()
@click.argument("name")
def freeze(name: str) -> None:
    """Save the vocabulary in use as data/vocabularies/NAME.parquet. New rows do not change a frozen vocabulary.

    \b
    infinity labels freeze v1
    echo 'labels: {vocabulary: v1}' >> infinity.yaml
    """
    from infinity_assets.catalog import vocabularies

    file = vocabularies.freeze(data_dir(), name)
    click.echo(
        f"{file}: {vocabularies.read(data_dir(), name).height:,} labels. "
        f"`labels: {{vocabulary: {name}}}` puts it in force."
    )


def _scan(asset: str) -> "pl.DataFrame":
    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    if not lake.partitions(asset):
        raise InfinityError(f"There are no labels yet: `infinity run --until {asset}` creates them.")
    return lake.scan(asset).collect()
