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
    mirror = Lake(folder)
    for root, pattern in (
        (lake.rows, "*/*.parquet"),
        (lake.catalog / "manifests", "*/*.json"),
        (lake.catalog / "annotations", "*/*.parquet"),
    ):
        for file in root.glob(pattern):
            link = folder / file.relative_to(lake.data)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    for asset in trained:
        if (weights := lake.data / asset).is_dir():
            (folder / asset).symlink_to(weights)
    if (known := lake.catalog / "fingerprints").is_dir():
        shutil.copytree(known, mirror.catalog / "fingerprints")
    for path in (lake.data / "labels.yaml", lake.data / "vocabularies"):
        if path.exists():
            (folder / path.name).symlink_to(path)
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


def count_rows(outcome: Outcome) -> int:
    """Return the number of rows of an outcome."""
    return outcome.rows.lazy().select(pl.len()).collect().item()


def remove_rows(outcome: Outcome, rows: pl.DataFrame) -> Outcome:
    """Return the outcome without the given rows and their children."""
    removed = rows["row_id"]
    if outcome.edges.height:
        removed = pl.concat([removed, outcome.edges.filter(pl.col("parent_id").is_in(removed.implode()))["child_id"]])
    return replace(outcome, rows=outcome.rows.lazy().filter(~pl.col("row_id").is_in(removed.implode())).collect())


def merge_outcomes(one: Outcome, other: Outcome) -> Outcome:
    """Return the first outcome with the rows and edges of both."""
    rows = pl.concat([one.rows.lazy().collect(), other.rows.lazy().collect()]).unique("row_id", maintain_order=True)
    return replace(one, rows=rows, edges=pl.concat([one.edges, other.edges]))


def pair_with_parents(outcome: Outcome) -> pl.DataFrame:
    """Return each row of an outcome with its parent, or with itself if it has no parent: row_id, parent."""
    rows = outcome.rows.lazy().select("row_id").collect()
    pairs = outcome.edges.select(row_id="child_id", parent="parent_id").join(
        rows, on="row_id", how="semi", maintain_order="left"
    )
    same = rows.join(pairs, on="row_id", how="anti", maintain_order="left").with_columns(parent=pl.col("row_id"))
    return pl.concat([pairs.unique("row_id", keep="first", maintain_order=True), same])


def fill_from_sample(
    outcomes: Mapping[str, Outcome], asked: Mapping[str, Outcome], sampled: pl.DataFrame, unanswered: pl.DataFrame
) -> dict[str, Outcome]:
    """Fill the missing scores of tables: a row without an answer gets the line of the most similar sampled row.

    Args:
        outcomes: The tables by partition, before the sample. Their key is `row_id`, or the first column if there is no
            `row_id`.
        asked: The tables with the answers for the sampled rows.
        sampled: The sampled rows, as `describe_rows` returns them.
        unanswered: All rows without an answer, in the same form.

    Returns:
        The filled tables, by partition.
    """
    answered = pl.concat([outcome.rows.lazy().collect() for outcome in asked.values()])
    key = "row_id" if "row_id" in answered.columns else answered.columns[0]
    lines = answered.rename({key: "row_id"}).join(sampled, on="row_id", how="semi")
    others = unanswered.join(sampled, on="row_id", how="anti", maintain_order="left")
    alike = others.select("row_id", like=sample.match_stand_ins(others, sampled))
    guessed = alike.join(lines.rename({"row_id": "like"}), on="like", maintain_order="left").select(lines.columns)
    new = pl.concat([lines, guessed])
    tables = {}
    for partition, outcome in outcomes.items():
        rows = outcome.rows.lazy().collect().rename({key: "row_id"})
        own = new.join(rows, on="row_id", how="semi")
        tables[partition] = replace(
            outcome,
            rows=pl.concat([rows.join(own, on="row_id", how="anti"), own]).sort("row_id").rename({"row_id": key}),
        )
    return tables
