"""From parents to children: what becomes of every parent and of everything that was made from it.

A child is a new row with its own id. A parent whose child stays is `superseded` by it; one whose child is thrown away, or that got none,
is `returned_to_pool` with the reason. So every row that went in and every row that was written is either out or in the decisions.
"""

from dataclasses import dataclass

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.ids import with_row_ids
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.selection.rules import Rule, first_failure


@dataclass(frozen=True)
class Generation:
    """Children and their parents."""

    kept: pl.DataFrame
    """Children that stay, sorted by id."""
    created: pl.DataFrame
    """All children: row_id, operation and what the parents gave them."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`: one line per parent, and one per child that was thrown away."""
    edges: pl.DataFrame
    """`schema.EDGES`: one line per child that stays, and per parent of one that was thrown away."""


def settle(made: pl.DataFrame, columns: pl.Schema, rules: list[Rule], copied: pl.DataFrame, by: str) -> Generation:
    """Decide about the children.

    Args:
        made: One line per parent: `row_id`, `source`, `file`, `position` of the parent; `text` (what the model wrote, null or empty if nothing),
            `messages`, `operation` and whatever `columns` and the rules want of the child.
        columns: Columns of a child.
        rules: Tried in order on every line of `made`; maybe none.
        copied: Parent row_id, reason, detail of children that hold what they must not, such as a benchmark item; counts after the rules.
        by: The model's name, which becomes the child's source.
    """
    place = _place(by)
    made = made.sort("row_id")
    child = with_row_ids(made.select("messages"))["row_id"].alias("child")
    written = made.with_columns(child).filter(pl.col("text").fill_null("") != "")
    failed = pl.concat([*([first_failure(made, rules)] if rules else []), copied]).unique(
        "row_id", keep="first", maintain_order=True
    )
    alive = written.join(failed, on="row_id", how="anti", maintain_order="left")
    copies = alive.filter(pl.int_range(pl.len()).over("child") > 0)
    detail = pl.struct(duplicate_of="child").struct.json_encode().alias("detail")
    failed = pl.concat([failed, copies.select("row_id", pl.lit("copy_of_another").alias("reason"), detail)])

    said = ["reason", "detail"]  # of the line itself, if it has any: what counts is why it failed
    told = (
        made.with_columns(child).drop(said, strict=False).join(failed, on="row_id", how="left", maintain_order="left")
    )
    stays = pl.col("reason").is_null()
    parents = told.with_columns(
        pl.when(stays).then(pl.lit("superseded")).otherwise(pl.lit("returned_to_pool")).alias("reason"),
        pl.struct(
            child=pl.when(pl.col("text").fill_null("") != "").then("child"), why="reason", measured="detail"
        ).struct.json_encode().alias("detail"),
    )  # fmt: skip
    lost = (
        written.drop(said, strict=False)
        .join(failed, on="row_id", maintain_order="left")
        .with_columns(pl.col("child").alias("row_id"), **place)
    )
    created = written.with_columns(pl.concat_list("row_id").alias("parents"), **place).with_columns(
        pl.col("child").alias("row_id")
    )
    lines = _dropped(parents, lost)
    gone = failed["row_id"].implode()
    stands = ~pl.col("row_id").is_in(gone)
    # A row that stays has the one parent that it names: the same text written from another parent was thrown away, and adds none.
    descent = written.filter(stands | ~stands.any().over("child"))
    edges = descent.select(pl.col("child").alias("child_id"), pl.col("row_id").alias("parent_id"), "operation").unique(
        maintain_order=True
    )
    kept = created.filter(~pl.col("parents").list.first().is_in(gone)).select(
        pl.col(c).cast(t) for c, t in columns.items()
    )
    return Generation(kept.sort("row_id"), created, lines, edges)


def with_siblings(generation: Generation, others: pl.DataFrame, by: str) -> Generation:
    """A generation with further children of its parents, all of which are thrown away.

    Args:
        generation: As `settle` made it.
        others: One line per child: `row_id` of its parent, `text` (not empty), `reason`, `detail`, and what else `settle` wants of `made`.
        by: The model's name.
    """
    children = with_row_ids(others.select("messages"))["row_id"].alias("child")
    written = others.with_columns(pl.concat_list("row_id").alias("parents"), children)
    created = written.with_columns(pl.col("child").alias("row_id"), **_place(by))
    # A row that stays has the one parent that it names.
    descent = written.join(generation.kept.select(child="row_id"), on="child", how="anti", maintain_order="left")
    edges = descent.select(pl.col("child").alias("child_id"), pl.col("row_id").alias("parent_id"), "operation")
    return Generation(
        generation.kept,
        pl.concat([generation.created.select(created.columns), created]),
        pl.concat([generation.decisions, _dropped(created)]),
        pl.concat([generation.edges, edges]).unique(maintain_order=True),
    )


def _place(by: str) -> dict[str, pl.Expr]:
    """Where a child comes from."""
    return {"source": pl.lit(f"synthetic:{by}"), "file": pl.lit(None, pl.String), "position": pl.lit(None, pl.Int64)}


def _dropped(*frames: pl.DataFrame) -> pl.DataFrame:
    dropped = (frame.with_columns(pl.lit("dropped").alias("verdict")) for frame in frames)
    return pl.concat([frame.select(pl.col(c).cast(t) for c, t in schema.DECISIONS.items()) for frame in dropped])


def merge_copies(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that several parents led to, made one.

    Shards evolve apart, so that two of them may write the same instruction. The row that stays has all parents, and the most restrictive of the
    licences.

    Args:
        rows: Rows of `schema.SYNTHETIC_ROW` and more, in which a row id may repeat.

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
