"""Polars expressions over the `messages` of a row."""

import polars as pl

_TURN = pl.element().struct


def turns_of(*roles: str) -> pl.Expr:
    """Return the contents of the turns of these roles, as a list."""
    return pl.col("messages").list.eval(_TURN.field("content").filter(_TURN.field("role").is_in(roles)))


def content_of(*roles: str) -> pl.Expr:
    """Return the contents of all turns of these roles, joined by a blank line; empty if there are none."""
    return turns_of(*roles).list.join("\n\n")


def instruction() -> pl.Expr:
    """Return the content of the first user turn."""
    return turns_of("user").list.first()


def answer() -> pl.Expr:
    """Return the content of the last assistant turn, or null if there is none."""
    return turns_of("assistant").list.last()


def exchange(request: pl.Expr, answer: pl.Expr) -> pl.Expr:
    """Return the messages of one request and its answer, given their texts."""
    return pl.concat_list(
        pl.struct(role=pl.lit("user"), content=request), pl.struct(role=pl.lit("assistant"), content=answer)
    )


def whole() -> pl.Expr:
    """Return all turns with their roles, as one text."""
    turn = pl.concat_str([_TURN.field("role"), _TURN.field("content")], separator=": ")
    return pl.col("messages").list.eval(turn).list.join("\n")


def request() -> pl.Expr:
    """Return the messages before the first assistant turn: the input for a model that is to answer."""
    before = (_TURN.field("role") == "assistant").cum_sum() == 0
    return pl.col("messages").list.eval(pl.element().filter(before))
