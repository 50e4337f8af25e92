"""Lineage of synthetic rows: decisions and edges for parents and their children.

A child is a new row with its own id. A parent with a kept child is `superseded` by it; a parent whose child is dropped,
or that has no child, is `returned_to_pool` with the reason. So every input row and every written row is either in the
output or in the decisions.
"""

from dataclasses import dataclass

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.selection.rules import Rule, first_failure


@dataclass(frozen=True)
class Generation:
    """Children with the ledger lines of children and parents."""

    kept: pl.DataFrame
    """Kept children, sorted by id."""
    created: pl.DataFrame
    """All children: row_id, operation and the columns of their parents."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`: one line per parent, and one per dropped child."""
    edges: pl.DataFrame
    """`schema.EDGES`: one line per kept child, and one per parent of a dropped child."""


def settle(made: pl.DataFrame, columns: pl.Schema, rules: list[Rule], copied: pl.DataFrame, by: str) -> Generation:
    """Decide which children are kept.

    Args:
        made: One line per parent: `row_id`, `source`, `file`, `position` of the parent; `text` (the model's text, null
            or empty if there is no child), `messages`, `operation`, `columns` and the columns that the rules read.
        columns: Columns of a child.
        rules: Rules for the lines of `made`, in order; may be empty.
        copied: Failures found outside the rules, such as benchmark items, which apply after them: row_id of the parent,
            reason, detail.
        by: Name of the model, which becomes the child's source.
    """
    place = _source_columns(by)
    made = made.sort("row_id")
    child = add_row_ids(made.select("messages"))["row_id"].alias("child")
    written = made.with_columns(child).filter(pl.col("text").fill_null("") != "")
    failed = pl.concat([*([first_failure(made, rules)] if rules else []), copied]).unique(
        "row_id", keep="first", maintain_order=True
    )
    alive = written.join(failed, on="row_id", how="anti", maintain_order="left")
    copies = alive.filter(pl.int_range(pl.len()).over("child") > 0)
    detail = pl.struct(duplicate_of="child").struct.json_encode().alias("detail")
    failed = pl.concat([failed, copies.select("row_id", pl.lit("copy_of_another").alias("reason"), detail)])

    verdict = ["reason", "detail"]  # columns that the lines may bring along; `failed` replaces them
    lines = (
        made.with_columns(child)
        .drop(verdict, strict=False)
        .join(failed, on="row_id", how="left", maintain_order="left")
    )
    stays = pl.col("reason").is_null()
    parents = lines.with_columns(
        pl.when(stays).then(pl.lit("superseded")).otherwise(pl.lit("returned_to_pool")).alias("reason"),
        pl.struct(
            child=pl.when(pl.col("text").fill_null("") != "").then("child"), why="reason", measured="detail"
        ).struct.json_encode().alias("detail"),
    )  # fmt: skip
    lost = (
        written.drop(verdict, strict=False)
        .join(failed, on="row_id", maintain_order="left")
        .with_columns(pl.col("child").alias("row_id"), **place)
    )
    created = written.with_columns(pl.concat_list("row_id").alias("parents"), **place).with_columns(
        pl.col("child").alias("row_id")
    )
    decisions = _drop(parents, lost)
    gone = failed["row_id"].implode()
    stands = ~pl.col("row_id").is_in(gone)
    # A kept row has only the parent that it names: equal text from another parent is a dropped copy without an edge.
    descent = written.filter(stands | ~stands.any().over("child"))
    edges = descent.select(pl.col("child").alias("child_id"), pl.col("row_id").alias("parent_id"), "operation").unique(
        maintain_order=True
    )
    kept = created.filter(~pl.col("parents").list.first().is_in(gone)).select(
        pl.col(c).cast(t) for c, t in columns.items()
    )
    return Generation(kept.sort("row_id"), created, decisions, edges)


def add_siblings(generation: Generation, others: pl.DataFrame, by: str) -> Generation:
    """Add further children of the parents to a generation, all of them dropped.

    Args:
        generation: Result of `settle`.
        others: One line per child: `row_id` of its parent, `text` (not empty), `reason`, `detail`, and the other
            columns that `settle` reads from `made`.
        by: Name of the model.
    """
    children = add_row_ids(others.select("messages"))["row_id"].alias("child")
    written = others.with_columns(pl.concat_list("row_id").alias("parents"), children)
    created = written.with_columns(pl.col("child").alias("row_id"), **_source_columns(by))
    # A kept row has only the parent that it names.
    descent = written.join(generation.kept.select(child="row_id"), on="child", how="anti", maintain_order="left")
    edges = descent.select(pl.col("child").alias("child_id"), pl.col("row_id").alias("parent_id"), "operation")
    return Generation(
        generation.kept,
        pl.concat([generation.created.select(created.columns), created]),
        pl.concat([generation.decisions, _drop(created)]),
        pl.concat([generation.edges, edges]).unique(maintain_order=True),
    )


def _source_columns(by: str) -> dict[str, pl.Expr]:
    """Return the columns that give a child's source."""
    return {"source": pl.lit(f"synthetic:{by}"), "file": pl.lit(None, pl.String), "position": pl.lit(None, pl.Int64)}


def _drop(*frames: pl.DataFrame) -> pl.DataFrame:
    dropped = (frame.with_columns(pl.lit("dropped").alias("verdict")) for frame in frames)
    return pl.concat([frame.select(pl.col(c).cast(t) for c, t in schema.DECISIONS.items()) for frame in dropped])


def merge_copies(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge rows that several parents led to.

    Shards evolve separately, so two of them may write the same instruction. The merged row has all parents, and the
    most restrictive of their licenses.

    Args:
        rows: Rows with the columns of `schema.SYNTHETIC_ROW` and others, in which a row id may repeat.

    Returns:
        The distinct rows, sorted by id, and a decision for every copy.
    """
    ordered = rows.sort("row_id", pl.col("parents").list.join(" "))
    first = pl.int_range(pl.len()).over("row_id") == 0
    merged = (
        ordered.filter(first)
        .drop("licence", "parents")
        .join(
            ordered.explode("parents")
            .group_by("row_id")
            .agg(most_restrictive(pl.col("licence")), pl.col("parents").unique().sort()),
            on="row_id",
        )
    )
    copies = ordered.filter(~first).with_columns(
        pl.lit("dropped").alias("verdict"),
        pl.lit("copy_of_another").alias("reason"),
        pl.struct(duplicate_of="row_id").struct.json_encode().alias("detail"),
    )
    return merged.select(rows.columns).sort("row_id"), copies.select(
        pl.col(c).cast(t) for c, t in schema.DECISIONS.items()
    )
