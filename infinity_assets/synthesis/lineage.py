"""Lineage of synthetic rows: the decisions and edges of parents and their children.

A child is a new row with its own id. A parent whose child is kept is `superseded`. A parent whose child is dropped, or
that has no child, is `returned_to_pool` with the reason. So every parent and every child is either in the output or in
the decisions.
"""

from dataclasses import dataclass

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.selection.rules import Rule, first_failure


@dataclass(frozen=True)
class Generation:
    """Children, with the decisions and edges of the children and their parents."""

    kept: pl.DataFrame
    """Kept children, sorted by id."""
    created: pl.DataFrame
    """All children, kept or dropped, with row_id, operation and the columns inherited from their parents."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`: one line per parent, and one per dropped child."""
    edges: pl.DataFrame
    """`schema.EDGES`: one line per kept child, and one per pair of a dropped child and its parent."""


def settle(made: pl.DataFrame, columns: pl.Schema, rules: list[Rule], copied: pl.DataFrame, by: str) -> Generation:
    """Decide which children are kept, and derive the decisions and edges.

    Args:
        made: One line per parent: `row_id`, `source`, `file` and `position` of the parent; `text` (the model's text,
            null or empty if there is no child), `messages` and `operation` of the child; the columns of the parameter
            `columns`; and the columns that the rules read.
        columns: Schema of a child.
        rules: Rules that reject children, in order; may be empty.
        copied: Failures found outside the rules, such as benchmark items: row_id of the parent, reason, detail. The
            reason of a failed rule takes precedence.
        by: Name of the model, for the source of the children.
    """
    made = made.sort("row_id")
    made = made.with_columns(add_row_ids(made.select("messages"))["row_id"].alias("child"))
    written = made.filter(pl.col("text").fill_null("") != "")
    failed = pl.concat([first_failure(made, rules), copied]).unique("row_id", keep="first", maintain_order=True)
    alive = written.join(failed, on="row_id", how="anti", maintain_order="left")
    detail = pl.struct(duplicate_of="child").struct.json_encode()
    copies = alive.filter(pl.int_range(pl.len()).over("child") > 0)
    failed = pl.concat([failed, copies.select("row_id", reason=pl.lit("copy_of_another"), detail=detail)])

    lines = made.drop("reason", "detail", strict=False).join(failed, on="row_id", how="left", maintain_order="left")
    has_child = pl.col("text").fill_null("") != ""
    detail = pl.struct(child=pl.when(has_child).then("child"), why="reason", measured="detail").struct.json_encode()
    fate = pl.when(pl.col("reason").is_null()).then(pl.lit("superseded")).otherwise(pl.lit("returned_to_pool"))
    lost = _to_children(lines.filter(has_child, pl.col("reason").is_not_null()), by)
    created = _to_children(written, by)
    gone = failed["row_id"].implode()
    stands = ~pl.col("row_id").is_in(gone)
    # Of equal children, one is kept, with an edge to its own parent; the copies are dropped without an edge.
    edges = _list_edges(written.filter(stands | ~stands.any().over("child"))).unique(maintain_order=True)
    kept = created.filter(~pl.col("parents").list.first().is_in(gone)).select(columns.names()).cast(columns)
    decisions = _drop(lines.with_columns(reason=fate, detail=detail), lost)
    return Generation(kept.sort("row_id"), created, decisions, edges)


def add_siblings(generation: Generation, others: pl.DataFrame, by: str) -> Generation:
    """Add further children of the same parents to a generation. All of them are dropped.

    Args:
        generation: Result of `settle`.
        others: One line per child: `row_id` of its parent, `text` (not empty), `reason`, `detail`, and the other
            columns that `settle` reads from `made`.
        by: Name of the model.
    """
    written = others.with_columns(add_row_ids(others.select("messages"))["row_id"].alias("child"))
    created = _to_children(written, by)
    # A copy of a kept child has no edge, because the kept child names only its own parent.
    other = written.join(generation.kept.select(child="row_id"), on="child", how="anti", maintain_order="left")
    return Generation(
        generation.kept,
        pl.concat([generation.created.select(created.columns), created]),
        pl.concat([generation.decisions, _drop(created)]),
        pl.concat([generation.edges, _list_edges(other)]).unique(maintain_order=True),
    )


def _to_children(written: pl.DataFrame, by: str) -> pl.DataFrame:
    """Convert lines about parents to lines about their children."""
    return written.with_columns(
        row_id="child",
        parents=pl.concat_list("row_id"),
        source=pl.lit(f"synthetic:{by}"),
        file=pl.lit(None, pl.String),
        position=pl.lit(None, pl.Int64),
    )


def _list_edges(written: pl.DataFrame) -> pl.DataFrame:
    return written.select(child_id="child", parent_id="row_id", operation="operation")


def _drop(*frames: pl.DataFrame) -> pl.DataFrame:
    """Return the decisions that drop every row of the frames for the row's `reason`."""
    dropped = (frame.with_columns(verdict=pl.lit("dropped")) for frame in frames)
    return pl.concat([frame.select(schema.DECISIONS.names()).cast(schema.DECISIONS) for frame in dropped])


def merge_copies(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge equal rows of different parents, because shards evolve separately and may write the same instruction.

    Args:
        rows: Rows with the columns of `schema.SYNTHETIC_ROW` and others, in which a row id may repeat.

    Returns:
        The merged rows from `merge_parents`, and `schema.DECISIONS` with one line per copy.
    """
    merged, copies = merge_parents(rows)
    detail = pl.struct(duplicate_of="row_id").struct.json_encode()
    return merged, _drop(copies.with_columns(reason=pl.lit("copy_of_another"), detail=detail))


def merge_parents(rows: pl.DataFrame, *by: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge the rows that have the same row id.

    Args:
        rows: Rows with the columns of `schema.SYNTHETIC_ROW` and others.
        by: Columns by which the rows of one id are ordered. The parents break ties.

    Returns:
        The first row of each id, sorted by id, with the parents of all rows of this id and the most restrictive of
        their licenses. And all other rows.
    """
    ordered = rows.sort("row_id", *by, pl.col("parents").list.join(" "))
    first = pl.int_range(pl.len()).over("row_id") == 0
    several = ordered.filter(pl.len().over("row_id") > 1).explode("parents")
    merged = several.group_by("row_id").agg(most_restrictive(pl.col("licence")), pl.col("parents").unique().sort())
    return ordered.filter(first).update(merged, on="row_id", maintain_order="left"), ordered.filter(~first)
