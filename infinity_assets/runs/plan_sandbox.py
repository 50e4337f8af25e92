"""The lake of a plan: links to the real lake, and the results of a sample in place of outdated partitions."""

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.scoring import sample


def mirror_of(lake: Lake, folder: Path, trained: Iterable[str]) -> Lake:
    """Mirror a lake in an empty folder.

    The mirror links to the rows, manifests, annotations, trained weights, label overrides and vocabularies. The
    fingerprints of source files are copied, because a plan writes them.

    Args:
        lake: The real lake.
        folder: The empty folder.
        trained: Assets that train a model.
    """
    linked = [
        *lake.rows.glob("*/*.parquet"),
        *(lake.catalog / "manifests").glob("*/*.json"),
        *(lake.catalog / "annotations").glob("*/*.parquet"),
        *(lake.data / name for name in (*trained, "labels.yaml", "vocabularies")),
    ]
    for path in linked:
        if path.exists():
            link = folder / path.relative_to(lake.data)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    mirror = Lake(folder)
    if (known := lake.catalog / "fingerprints").is_dir():
        shutil.copytree(known, mirror.catalog / "fingerprints")
    return mirror


def forget(mirror: Lake, asset: str, partitions: Iterable[str]) -> None:
    """Remove the rows and manifests of partitions from the mirror, but not the files that they link to."""
    for partition in partitions:
        for file in (mirror.rows_file(asset, partition), mirror.manifest_file(asset, partition)):
            file.unlink(missing_ok=True)


def replace_rows(mirror: Lake, key: StepKey, outcome: Outcome) -> None:
    """Replace the link to a partition by an outcome."""
    forget(mirror, key.asset, [key.partition])
    mirror.commit(key, outcome, "plan", time.time())


def rows_of(outcomes: Iterable[Outcome]) -> pl.DataFrame:
    """Return the rows of all outcomes."""
    return pl.concat([outcome.rows.lazy().collect() for outcome in outcomes])


def describe_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the features of rows by which a sample is drawn and extrapolated.

    Args:
        rows: A frame with the column `messages`, or one of seeds or labels with their text in the column `seed`.

    Returns:
        row_id; source, kind, language and operation as far as the rows have them; length, in bytes.
    """
    text = pl.col("seed")
    if "messages" in rows.columns:
        text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("")
    strata = [name for name in ("source", "kind", "language", "operation") if name in rows.columns]
    return rows.select("row_id", *strata, length=text.str.len_bytes().cast(pl.Int64))


def replace_unanswered(outcome: Outcome, unanswered: pl.DataFrame, asked: Outcome | None) -> Outcome:
    """Return an outcome without the unanswered rows and their children, but with the rows and edges of the sample."""
    removed = unanswered["row_id"]
    children = outcome.edges.filter(pl.col("parent_id").is_in(removed.implode()))["child_id"]
    removed = pl.concat([removed, children])
    kept = replace(outcome, rows=outcome.rows.lazy().filter(~pl.col("row_id").is_in(removed.implode())).collect())
    if asked is None:
        return kept
    rows = rows_of([kept, asked]).unique("row_id", maintain_order=True)
    return replace(kept, rows=rows, edges=pl.concat([kept.edges, asked.edges]))


def pair_with_parents(outcome: Outcome) -> pl.DataFrame:
    """Return each row of an outcome with its parent, or with itself if it has no parent: row_id, parent."""
    rows = outcome.rows.lazy().select("row_id").collect()
    parents = outcome.edges.select(row_id="child_id", parent="parent_id").unique("row_id", keep="first")
    return rows.join(parents, on="row_id", how="left", maintain_order="left").with_columns(
        parent=pl.coalesce("parent", "row_id")
    )


def fill_from_sample(
    outcomes: Mapping[str, Outcome], asked: Iterable[Outcome], sampled: pl.DataFrame, unanswered: pl.DataFrame
) -> dict[str, Outcome]:
    """Fill the missing scores of tables: a row without an answer gets the line of the most similar sampled row.

    Args:
        outcomes: The tables by partition, before the sample.
        asked: The tables with the answers for the sampled rows.
        sampled: The sampled rows, as `describe_rows` returns them.
        unanswered: All rows without an answer, in the same form.

    Returns:
        The filled tables, by partition.
    """
    lines = rows_of(asked).join(sampled, on="row_id", how="semi")
    stand_ins = unanswered.select("row_id", like=sample.match_stand_ins(unanswered, sampled))
    stand_ins = stand_ins.join(sampled, on="row_id", how="anti")
    guessed = stand_ins.join(lines.rename({"row_id": "like"}), on="like").select(lines.columns)
    new = pl.concat([lines, guessed])
    tables = {}
    for partition, outcome in outcomes.items():
        rows = outcome.rows.lazy().collect()
        rows = pl.concat([new.join(rows, on="row_id", how="semi"), rows]).unique("row_id", keep="first")
        tables[partition] = replace(outcome, rows=rows.sort("row_id"))
    return tables
