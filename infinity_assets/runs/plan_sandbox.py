"""The temporary lake of a plan. It links to the real lake; results of the plan replace outdated partitions."""

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.scoring import sample


def mirror_of(lake: Lake, folder: Path, trained: Iterable[str]) -> Lake:
    """Fill an empty folder with links to a lake, and return it as a lake.

    The mirror links to the rows, manifests, annotations, trained weights, label overrides and vocabularies. The
    fingerprints of source files are copied, because a plan changes them. `trained` names the assets that train a model.
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
    """Remove the rows and manifests of partitions from the mirror. The files in the real lake stay."""
    for partition in partitions:
        for file in (mirror.rows_file(asset, partition), mirror.manifest_file(asset, partition)):
            file.unlink(missing_ok=True)


def replace_rows(mirror: Lake, key: StepKey, outcome: Outcome) -> None:
    """Write an outcome into the mirror, in place of the link to the real partition."""
    forget(mirror, key.asset, [key.partition])
    mirror.commit(key, outcome, "plan", time.time())


def rows_of(outcomes: Iterable[Outcome]) -> pl.DataFrame:
    """Return the rows of all outcomes in one frame."""
    return pl.concat([outcome.rows.lazy().collect() for outcome in outcomes])


def describe_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of rows that the planner needs to draw a sample and to find similar rows.

    Args:
        rows: Rows with `messages`, or seeds or labels with their text in the column `seed`.

    Returns:
        row_id; those of source, kind, language and operation that the rows have; length of the text, in bytes.
    """
    text = pl.col("seed")
    if "messages" in rows.columns:
        text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("")
    strata = [name for name in ("source", "kind", "language", "operation") if name in rows.columns]
    return rows.select("row_id", *strata, length=text.str.len_bytes().cast(pl.Int64))


def replace_unanswered(outcome: Outcome, unanswered: pl.DataFrame, asked: Outcome | None) -> Outcome:
    """Return an outcome without the unanswered rows and their children, plus the rows and edges of the sample."""
    removed = unanswered["row_id"]
    children = outcome.edges.filter(pl.col("parent_id").is_in(removed.implode()))["child_id"]
    removed = pl.concat([removed, children])
    kept = replace(outcome, rows=outcome.rows.lazy().filter(~pl.col("row_id").is_in(removed.implode())).collect())
    if asked is None:
        return kept
    rows = rows_of([kept, asked]).unique("row_id", maintain_order=True)
    return replace(kept, rows=rows, edges=pl.concat([kept.edges, asked.edges]))


def pair_with_parents(outcome: Outcome) -> pl.DataFrame:
    """Return row_id and parent of each row of an outcome. A row without a parent is its own parent."""
    rows = outcome.rows.lazy().select("row_id").collect()
    parents = outcome.edges.select(row_id="child_id", parent="parent_id").unique("row_id", keep="first")
    return rows.join(parents, on="row_id", how="left", maintain_order="left").with_columns(
        parent=pl.coalesce("parent", "row_id")
    )


def fill_from_sample(
    outcomes: Mapping[str, Outcome], asked: Iterable[Outcome], sampled: pl.DataFrame, unanswered: pl.DataFrame
) -> dict[str, Outcome]:
    """Fill in missing scores: a row without an answer gets the scores of the most similar sampled row.

    Args:
        outcomes: The tables of scores by partition, made from stored responses alone.
        asked: The tables of scores of the sampled rows.
        sampled, unanswered: The sampled rows and all rows without an answer, from `describe_rows`.
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
