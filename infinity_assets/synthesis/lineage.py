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
    # A kept row has only the parent that it names: equal text from another parent is a dropped copy without an edge.
    edges = _list_edges(written.filter(stands | ~stands.any().over("child"))).unique(maintain_order=True)
    kept = created.filter(~pl.col("parents").list.first().is_in(gone)).select(columns.names()).cast(columns)
    decisions = _drop(lines.with_columns(reason=fate, detail=detail), lost)
    return Generation(kept.sort("row_id"), created, decisions, edges)


def add_siblings(generation: Generation, others: pl.DataFrame, by: str) -> Generation:
    """Add further children of the parents to a generation, all of them dropped.

    Args:
        generation: Result of `settle`.
        others: One line per child: `row_id` of its parent, `text` (not empty), `reason`, `detail`, and the other
            columns that `settle` reads from `made`.
        by: Name of the model.
    """
    written = others.with_columns(add_row_ids(others.select("messages"))["row_id"].alias("child"))
    created = _to_children(written, by)
    # A kept row has only the parent that it names.
    other = written.join(generation.kept.select(child="row_id"), on="child", how="anti", maintain_order="left")
    return Generation(
        generation.kept,
        pl.concat([generation.created.select(created.columns), created]),
        pl.concat([generation.decisions, _drop(created)]),
        pl.concat([generation.edges, _list_edges(other)]).unique(maintain_order=True),
    )


def _to_children(written: pl.DataFrame, by: str) -> pl.DataFrame:
    """Turn the lines of parents into those of their children."""
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
    """Return the decisions that drop lines for their `reason`."""
    dropped = (frame.with_columns(verdict=pl.lit("dropped")) for frame in frames)
    return pl.concat([frame.select(schema.DECISIONS.names()).cast(schema.DECISIONS) for frame in dropped])


def merge_copies(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge rows that several parents led to, because shards evolve separately and may write the same instruction.

    Args:
        rows: Rows with the columns of `schema.SYNTHETIC_ROW` and others, in which a row id may repeat.

    Returns:
        The distinct rows as from `merge_parents`, and a decision for every copy.
    """
    merged, copies = merge_parents(rows)
    detail = pl.struct(duplicate_of="row_id").struct.json_encode()
    return merged, _drop(copies.with_columns(reason=pl.lit("copy_of_another"), detail=detail))


def merge_parents(rows: pl.DataFrame, *by: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge the rows of the same id.

    Args:
        rows: Rows with the columns of `schema.SYNTHETIC_ROW` and others.
        by: Columns that decide which row comes first; then the parents decide.

    Returns:
        The first row of each id, with the parents of all and the most restrictive of their licenses, sorted by id. And
        the other rows.
    """
    ordered = rows.sort("row_id", *by, pl.col("parents").list.join(" "))
    first = pl.int_range(pl.len()).over("row_id") == 0
    several = ordered.filter(pl.len().over("row_id") > 1).explode("parents")
    merged = several.group_by("row_id").agg(most_restrictive(pl.col("licence")), pl.col("parents").unique().sort())
    return ordered.filter(first).update(merged, on="row_id", maintain_order="left"), ordered.filter(~first)
