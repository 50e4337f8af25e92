"""Polars expressions over the `messages` of a row."""

import polars as pl

_TURN = pl.element().struct


def content_of(*roles: str, messages: str = "messages") -> pl.Expr:
    """Return the contents of all turns of these roles, joined by a blank line; empty if there are none."""
    turns = pl.col(messages).list.eval(_TURN.field("content").filter(_TURN.field("role").is_in(roles)))
    return turns.list.join("\n\n")


def turns_of(role: str, messages: str = "messages") -> pl.Expr:
    """Return the contents of the turns of a role, as a list."""
    return pl.col(messages).list.eval(_TURN.field("content").filter(_TURN.field("role") == role))


def instruction(messages: str = "messages") -> pl.Expr:
    """Return the content of the first user turn."""
    return turns_of("user", messages).list.first()


def answer(messages: str = "messages") -> pl.Expr:
    """Return the content of the last assistant turn, or null if there is none."""
    return turns_of("assistant", messages).list.last()


def exchange(request: pl.Expr, answer: pl.Expr) -> pl.Expr:
    """Return the messages of one request and its answer, given their texts."""
    return pl.concat_list(
        pl.struct(role=pl.lit("user"), content=request), pl.struct(role=pl.lit("assistant"), content=answer)
    )


def whole(messages: str = "messages") -> pl.Expr:
    """Return all turns with their roles, as one text."""
    turn = pl.concat_str([_TURN.field("role"), _TURN.field("content")], separator=": ")
    return pl.col(messages).list.eval(turn).list.join("\n")


def request(messages: str = "messages") -> pl.Expr:
    """Return the messages before the first assistant turn: the input for a model that is to answer."""
    role = pl.element().struct.field("role")
    return pl.col(messages).list.eval(pl.element().filter((role == "assistant").cum_sum() == 0))
