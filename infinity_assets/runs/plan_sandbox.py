"""The lake in which a plan tries the graph out: links to the rows of the real one, and what came of a sample in place of what is out of date."""

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.scoring import sample


def mirror_of(lake: Lake, folder: Path, trained: Iterable[str]) -> Lake:
    """A lake in an empty folder that holds links to the rows, manifests, annotations and trained weights of another and to what is said of
    labels, and copies of what is known of its files.
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
    for said in (lake.data / "labels.yaml", lake.data / "vocabularies"):
        if said.exists():
            (folder / said.name).symlink_to(said)
    return mirror


def forget(mirror: Lake, asset: str, partitions: Iterable[str]) -> None:
    """Take away links."""
    for partition in partitions:
        for file in (mirror.rows_file(asset, partition), mirror.manifest_file(asset, partition)):
            file.unlink(missing_ok=True)


def replace_rows(mirror: Lake, key: StepKey, outcome: Outcome) -> None:
    """Put an outcome in the place of a link."""
    forget(mirror, key.asset, [key.partition])  # the link goes, what it points to stays
    mirror.commit(key, outcome, "plan", time.time())


def described(rows: pl.DataFrame) -> pl.DataFrame:
    """What is remembered of the rows that models are asked about: row_id, what strata are made of, and the length in bytes.

    Args:
        rows: Rows of the pool, or seeds and labels, whose text is `seed`.
    """
    text = pl.col("seed")
    if "messages" in rows.columns:
        text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("")
    strata = [name for name in ("source", "kind", "language", "operation") if name in rows.columns]
    return rows.select("row_id", *strata, length=text.str.len_bytes().cast(pl.Int64))


def height(outcome: Outcome) -> int:
    """The number of its rows."""
    return outcome.rows.lazy().select(pl.len()).collect().item()


def without(outcome: Outcome, rows: pl.DataFrame) -> Outcome:
    """The outcome without what came of some rows."""
    gone = rows["row_id"]
    if outcome.edges.height:
        gone = pl.concat([gone, outcome.edges.filter(pl.col("parent_id").is_in(gone.implode()))["child_id"]])
    return replace(outcome, rows=outcome.rows.lazy().filter(~pl.col("row_id").is_in(gone.implode())).collect())


def together(one: Outcome, other: Outcome) -> Outcome:
    """The rows and edges of both."""
    rows = pl.concat([one.rows.lazy().collect(), other.rows.lazy().collect()]).unique("row_id", maintain_order=True)
    return replace(one, rows=rows, edges=pl.concat([one.edges, other.edges]))


def children(outcome: Outcome) -> pl.DataFrame:
    """The rows of an outcome and the row that each came of (itself, if no edge leads to it): row_id, parent."""
    rows = outcome.rows.lazy().select("row_id").collect()
    pairs = outcome.edges.select(row_id="child_id", parent="parent_id").join(
        rows, on="row_id", how="semi", maintain_order="left"
    )
    same = rows.join(pairs, on="row_id", how="anti", maintain_order="left").with_columns(parent=pl.col("row_id"))
    return pl.concat([pairs.unique("row_id", keep="first", maintain_order=True), same])


def filled(
    outcomes: Mapping[str, Outcome], asked: Mapping[str, Outcome], sampled: pl.DataFrame, unanswered: pl.DataFrame
) -> dict[str, Outcome]:
    """Tables of scores in which a row that was not asked about has the line of the sampled row that is most like it. The key is `row_id`, or the
    first column of a table that has none.

    Args:
        outcomes: The tables by partition, without the answers.
        asked: The tables in which the sampled rows have theirs.
        sampled: The sampled rows, as `described` gives them.
        unanswered: All rows that lack an answer, likewise.
    """
    found = pl.concat([outcome.rows.lazy().collect() for outcome in asked.values()])
    key = "row_id" if "row_id" in found.columns else found.columns[0]
    lines = found.rename({key: "row_id"}).join(sampled, on="row_id", how="semi")
    others = unanswered.join(sampled, on="row_id", how="anti", maintain_order="left")
    alike = others.select("row_id", like=sample.stand_ins(others, sampled))
    guessed = alike.join(lines.rename({"row_id": "like"}), on="like", maintain_order="left").select(lines.columns)
    new = pl.concat([lines, guessed])
    tables = {}
    for partition, outcome in outcomes.items():
        rows = outcome.rows.lazy().collect().rename({key: "row_id"})
        here = new.join(rows, on="row_id", how="semi")
        tables[partition] = replace(
            outcome,
            rows=pl.concat([rows.join(here, on="row_id", how="anti"), here]).sort("row_id").rename({"row_id": key}),
        )
    return tables
