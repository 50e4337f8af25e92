"""The tuning data of a context-based synthesizer: sequences of contexts with their pairs, several of one dataset in each (arXiv 2406.14491)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import polars as pl

from infinity_assets.inference.weights.tokens import estimate
from infinity_assets.synthesis.from_text import Grammar, Pair, pairs_of


class About(NamedTuple):
    """A text and what was asked about it."""

    row_id: str
    source: str
    context: str
    pairs: list[Pair]


class Tokenised(NamedTuple):
    """A text as tokens."""

    ids: Sequence[int]
    starts: Sequence[int]
    """Where each token begins in the text, in characters."""


def examples_of(rows: pl.DataFrame, split_unknown: bool) -> list[About]:
    """The conversations that are about a text, by source and row id, each once.

    Args:
        rows: row_id, source, messages, context_chars (length of the text at the beginning of the first turn; null where it is not known).
        split_unknown: Where it is not known, take the last blank line of the first turn for the end of the text; a row without one is left out.
    """
    found = []
    columns = ("row_id", "source", "messages", "context_chars")
    for row_id, source, messages, chars in (
        rows.select(columns).unique(["source", "row_id"]).sort("source", "row_id").iter_rows()
    ):
        turns = [turn for turn in messages if turn["role"] != "system"]
        first = turns[0]["content"]
        if chars is None and split_unknown:
            context, blank, question = first.rpartition("\n\n")
            chars = len(context) if context.strip() and blank and question.strip() else None
        if chars is not None:
            found.append(About(row_id, source, first[:chars], pairs_of(turns, first[:chars])))
    return found


def sequences(
    examples: Iterable[About], grammar: Grammar, most: int, encode: Callable[[str], Tokenised] | None
) -> Iterator[dict[str, Any]]:
    """Sequences of whole examples, in their order, as full as they get.

    An example that is longer than a sequence is left out: cut, it would teach to stop anywhere.

    Args:
        examples: In runs of one source.
        grammar: With the special tokens of the model to be tuned.
        most: Tokens that a sequence may have.
        encode: The tokenizer, which adds no special tokens; null to estimate lengths by words.

    Returns:
        One line per sequence: source, rows (row ids), text, and with a tokenizer input_ids and loss_mask, which is 1 for the tokens of the pairs
        and of the end of text after them.
    """
    for source, run in groupby(examples, key=attrgetter("source")):
        line, length = _line(source, encode), 0
        for example in run:
            context, pairs = grammar.context(example.context), grammar.pairs(example.pairs)
            tokens = encode(context + pairs) if encode else None
            added = len(tokens.ids) if tokens else estimate(context + pairs)
            if added > most:
                continue
            if length + added > most:
                yield line
                line, length = _line(source, encode), 0
            length += added
            line["rows"].append(example.row_id)
            line["text"] += context + pairs
            if tokens:
                line["input_ids"] += tokens.ids
                line["loss_mask"] += [int(start >= len(context)) for start in tokens.starts]
        if line["rows"]:
            yield line


def _line(source: str, encode: object) -> dict[str, Any]:
    return {"source": source, "rows": [], "text": "", **({"input_ids": [], "loss_mask": []} if encode else {})}
