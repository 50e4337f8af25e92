"""Rows and ledger tables: every column, its type and its meaning, in one place.

`messages` is the OpenAI form: an optional system turn, then alternating user and assistant turns. A row of kind
`conversation` ends with the assistant; `instruction` (a request without an answer) and `text` (a passage) are raw
material for synthesis and hold one user turn.
"""

from typing import Literal

import polars as pl

Kind = Literal["conversation", "instruction", "text"]

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

_PLACE = {"source": pl.String, "file": pl.String, "position": pl.Int64}


def texts(*names: str) -> dict[str, type[pl.String]]:
    """Return columns of type string."""
    return dict.fromkeys(names, pl.String)


ROW = pl.Schema({"row_id": pl.String, "messages": MESSAGES, **_PLACE, **texts("licence", "domain", "language", "kind")})
"""A row of the pool. A record of a file becomes one row, or several if it holds several conversations."""

SYNTHETIC_ROW = pl.Schema({**ROW, "parents": pl.List(pl.String), "operation": pl.String, "round": pl.Int32})
"""A row written by a model, with its parents (row ids), the operation that produced it, and the round of the chat
loop."""

DECISIONS = pl.Schema({"row_id": pl.String, **_PLACE, **texts("verdict", "reason", "detail")})
"""One verdict on a record or row. The catalog adds `asset` and `partition`. `row_id` is null if there is no row."""

ANNOTATIONS = pl.Schema({"row_id": pl.String, **_PLACE, **texts("name", "value")})
"""One value beside the conversation of a record, such as a label or a reward: its name, and the value as JSON."""

QUARANTINE = pl.Schema({**_PLACE, "raw": pl.Binary})
"""The bytes of a record that was dropped or repaired."""

FILES = pl.Schema({**texts("source", "file"), **dict.fromkeys(("records", "rows", "repaired", "dropped"), pl.Int64)})
"""Counts for a file of a source: its `records`, which became `rows` (some of them `repaired`) or were `dropped`. A file
in an archive is `archive!path`."""

KEYS = pl.Schema(
    {
        **texts("source", "layout", "path"),
        **dict.fromkeys(("records", "read", "chars", "chars_read"), pl.Int64),
        **dict.fromkeys(("running_text", "estimated"), pl.Boolean),
        "example": pl.String,
    }
)
"""Values of a source's records that became rows, by layout and path (`conversations[].value`): the number of `records`
with such a value, and of those whose value was `read`: it reached the row, an annotation, or decided how the record is
read. `chars` are the characters of its texts, `chars_read` those that reached a row or an annotation. `running_text` is
true if the texts consist of several words. Counts of values inside lists and objects may be `estimated` from a sample.
`example` is the beginning of a value that was not read."""

ORIGINS = pl.Schema({"row_id": pl.String, **_PLACE, "licence": pl.String})
"""One record of a file and the row that it became. It is kept even if the row is later dropped as a duplicate."""

EDGES = pl.Schema(texts("child_id", "parent_id", "operation"))
"""One step of descent between two rows; the catalog adds `asset`."""

GENERATIONS = pl.Schema(
    {
        **texts("request_key", "row_id", "kind", "model", "prompt"),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), pl.Int64),
        "seconds": pl.Float64,
        "cached": pl.Boolean,
        **texts("error", "cause"),
        "attempt": pl.Int64,
        "cost": pl.Float64,
    }
)
"""One model call of an asset. `seconds` is the time from submission to answer. `cached` means that the answer came from
the response store. `error` is a class of `inference.requests`; `cause` explains it in words. `attempt` is above 0 if an
unusable answer was requested again. `cost` is in the currency of the settings' prices, and 0 if cached."""

MEANING: dict[str, str] = {
    "row_id": "128-bit hash of the canonical conversation: same content, same id, everywhere",
    "messages": "the conversation in OpenAI form",
    "source": "name of the source folder",
    "file": "path of the file inside the source",
    "position": "index of the record in the file, from 0",
    "licence": "SPDX id, or `unknown`",
    "domain": "math, code, knowledge or chat",
    "language": "BCP 47 language tag of the conversation",
    "kind": "conversation, instruction (no answer yet) or text (raw material)",
    "parents": "row ids of the rows from which this one was made",
    "operation": "the operation that produced the row: an evolution operator, `answer`, or `from_text`",
    "round": "round of the chat loop, from 1; 0 before it",
}
"""Descriptions of the columns of rows, shown in the web UI."""
