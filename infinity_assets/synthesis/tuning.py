"""Data for tuning a model that writes question-answer pairs about texts (Instruction Pre-Training, arXiv 2406.14491)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import polars as pl

from infinity_assets.inference.weights.tokens import estimate
from infinity_assets.synthesis.from_text import Grammar, Pair, pairs_of


class AnnotatedText(NamedTuple):
    """A text and the question-answer pairs about it."""

    row_id: str
    source: str
    context: str
    pairs: list[Pair]


class TokenizedText(NamedTuple):
    """The tokens of a text."""

    ids: Sequence[int]
    starts: Sequence[int]
    """Offset of each token in the text, in characters."""


def collect_examples(rows: pl.DataFrame, split_unknown: bool) -> list[AnnotatedText]:
    """Collect texts and their pairs from the distinct conversations about a text, sorted by source and row id.

    Args:
        rows: row_id, source, messages, context_chars (length of the text at the start of the first turn; null if
            unknown).
        split_unknown: Whether the last blank line of the first turn ends a text of unknown length. Rows without a known
            end of the text are left out.
    """
    collected = []
    columns = ("row_id", "source", "messages", "context_chars")
    distinct = rows.select(columns).unique(["source", "row_id"]).sort("source", "row_id")
    for row_id, source, messages, chars in distinct.iter_rows():
        turns = [turn for turn in messages if turn["role"] != "system"]
        first = turns[0]["content"]
        if chars is None and split_unknown:
            context, blank, question = first.rpartition("\n\n")
            chars = len(context) if context.strip() and blank and question.strip() else None
        if chars is not None:
            collected.append(AnnotatedText(row_id, source, first[:chars], pairs_of(turns, first[:chars])))
    return collected


def pack_sequences(
    examples: Iterable[AnnotatedText], grammar: Grammar, most: int, encode: Callable[[str], TokenizedText] | None
) -> Iterator[dict[str, Any]]:
    """Pack whole examples into sequences, in order. A sequence holds examples of one source.

    An example longer than a sequence is left out: a cut example would teach the model to stop anywhere.

    Args:
        examples: Examples grouped by source.
        grammar: Grammar with the special tokens of the model to be tuned.
        most: Maximum tokens of a sequence.
        encode: Function that tokenizes a text without adding special tokens; `None` to estimate lengths by words.

    Yields:
        One dictionary per sequence: source, rows (row ids), text. With `encode`, also input_ids and loss_mask (1 for
        the tokens of pairs and of the end of text after them, else 0).
    """
    for source, run in groupby(examples, key=attrgetter("source")):
        line = _begin_line(source, encode)
        length = 0
        for example in run:
            context, pairs = grammar.format_context(example.context), grammar.format_pairs(example.pairs)
            tokens = encode(context + pairs) if encode else None
            added = len(tokens.ids) if tokens else estimate(context + pairs)
            if added > most:
                continue
            if length + added > most:
                yield line
                line = _begin_line(source, encode)
                length = 0
            length += added
            line["rows"].append(example.row_id)
            line["text"] += context + pairs
            if tokens:
                line["input_ids"] += tokens.ids
                line["loss_mask"] += [int(start >= len(context)) for start in tokens.starts]
        if line["rows"]:
            yield line


def _begin_line(source: str, encode: object) -> dict[str, Any]:
    return {"source": source, "rows": [], "text": "", **({"input_ids": [], "loss_mask": []} if encode else {})}
