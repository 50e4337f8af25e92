"""The `infinity labels` commands."""

from typing import TYPE_CHECKING

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl

_EXAMPLES = 3


@click.group()
def labels() -> None:
    """Labels of rows: the vocabulary in use, what it cannot place, and vocabularies that stay as they are.

    \b
    infinity labels list                    labels, the rows that carry them, their coarse abilities, their Chinese names
    infinity labels show 'word problem'     its forms and some rows
    infinity labels candidates              what the tagger wrote and the vocabulary does not know
    infinity labels freeze v1               write data/vocabularies/v1.parquet

    With `labels: {vocabulary: v1}` in infinity.yaml new rows are labelled against the frozen one. docs/labels.md.
    """


@labels.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most labels shown.")
@sentences
def list_labels(limit: int) -> None:
    """The labels in use, the most frequent first, and the frozen vocabularies that there are.

    \b
    infinity labels list --limit 1000
    infinity sql "select * from tag_vocabulary"     all of it
    """
    from infinity_assets.catalog import vocabularies

    words = _made("tag_vocabulary")
    for line in words.head(limit).iter_rows(named=True):
        click.echo(
            f"{line['rows']:>8,}  {line['label']:<40} {', '.join(line['cate_ability'] or ['-']):<50} {line['label_zh']}"
        )
    if words.height > limit:
        click.echo(f"{words.height - limit:,} more: --limit {words.height}")
    if frozen := vocabularies.names(data_dir()):
        click.echo(f"frozen: {', '.join(frozen)}")


@labels.command()
@click.argument("label")
@sentences
def show(label: str) -> None:
    """A label, or a form of one: its coarse abilities, its Chinese name, how the tagger writes it, and some rows.

    \b
    infinity labels show 'word problem'
    infinity labels show 'word problems'      says which label it is
    """
    import polars as pl

    forms, words = _made("label_forms"), _made("tag_vocabulary")
    known = forms.filter(pl.col("form") == label)
    name = known["label"][0] if known.height and known["label"][0] else label
    found = words.filter(pl.col("label") == name)
    if not found.height:
        why = f"{known['reason'][0]}, in {known['rows'][0]:,} rows" if known.height else "the tagger never wrote it"
        raise InfinityError(f"{label!r} is no label of the vocabulary: {why}.")
    line = found.row(0, named=True)
    click.echo(
        f"{name}: {line['rows']:,} rows, {line['label_zh']}, {', '.join(line['cate_ability'] or ['no coarse ability'])}"
    )
    click.echo(f"said by {line['said_by'] or 'nobody'}")
    for form in forms.filter(pl.col("label") == name).sort(pl.col("rows") * -1, "form").iter_rows(named=True):
        click.echo(f"{form['rows']:>8,}  {form['form']}  ({form['step']})")
    for row_id, source in _rows_of(name):
        click.echo(f"  {row_id}  by {source}     infinity explain {row_id[:8]}")


@labels.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most forms shown.")
@sentences
def candidates(limit: int) -> None:
    """What the tagger wrote and the vocabulary has no label for, the most frequent first: candidates for the next vocabulary.

    \b
    infinity labels candidates
    infinity sql "select * from label_forms where label is null"

    Under a frozen vocabulary the nearest label stands beside each.
    """
    import polars as pl

    left = _made("label_forms").filter(pl.col("label").is_null()).sort(pl.col("rows") * -1, "form")
    for line in left.head(limit).iter_rows(named=True):
        near = f"  nearest: {line['nearest']}" if line["nearest"] else ""
        click.echo(f"{line['rows']:>8,}  {line['form']:<40} {line['reason']}{near}")
    click.echo(f"{left.height:,} forms without a label")


@labels.command()
@click.argument("name")
@sentences
def freeze(name: str) -> None:
    """Write the vocabulary in use to data/vocabularies/NAME.parquet, where no new row changes it.

    \b
    infinity labels freeze v1
    echo 'labels: {vocabulary: v1}' >> infinity.yaml
    """
    from infinity_assets.catalog import vocabularies

    file = vocabularies.freeze(data_dir(), name)
    click.echo(
        f"{file}: {vocabularies.read(data_dir(), name).height:,} labels. `labels: {{vocabulary: {name}}}` puts it in force."
    )


def _made(asset: str) -> "pl.DataFrame":
    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    if not lake.partitions(asset):
        raise InfinityError(f"There are no labels yet: `infinity run --until {asset}` makes them.")
    return lake.scan(asset).collect()


def _rows_of(label: str) -> list[tuple[str, str]]:
    """Some rows that carry a label, and who said so."""
    import polars as pl

    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    if not lake.partitions("labelled"):
        return []
    rows = lake.scan("labelled").filter(pl.col("ability").list.contains(label)).select("row_id", "label_source")
    return rows.sort("label_source", "row_id").head(_EXAMPLES).collect().rows()
