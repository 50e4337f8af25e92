"""Row ids, and the shards into which they fall.

A row id is the 128-bit BLAKE2b digest of the canonical conversation: for every turn the role, the number of characters
of the NFC-normalized content, and that content. The length makes the encoding unambiguous, so that two conversations
share an id only if they are equal after NFC.
"""

import hashlib
import unicodedata
from collections.abc import Sequence

import polars as pl


def digest(text: str) -> str:
    """Return the 128-bit BLAKE2b digest of a text, as 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def row_id(roles: Sequence[str], contents: Sequence[str]) -> str:
    """Return the id of one conversation, equal to the one from `add_row_ids`."""
    normal = [content if content.isascii() else unicodedata.normalize("NFC", content) for content in contents]
    return digest("\n".join([f"{role}:{len(content)}:{content}" for role, content in zip(roles, normal, strict=True)]))


def add_row_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with `row_id`, computed from the messages, as its first column."""
    role, content = pl.element().struct.field("role"), pl.element().struct.field("content").str.normalize("NFC")
    turn = pl.concat_str([role, content.str.len_chars().cast(pl.String), content], separator=":")
    texts = frame["messages"].list.eval(turn).list.join("\n")
    # hashlib has no vectorized form, and Polars' own hash is 64 bits wide and not stable between versions. This runs at
    # about 1 M rows/s.
    ids = pl.Series("row_id", [digest(text) for text in texts], dtype=pl.String)
    return frame.select(ids, pl.all().exclude("row_id"))


def shard_names(shards: int) -> list[str]:
    """Return the partition keys of the shards."""
    return [f"shard-{number:02d}" for number in range(shards)]


def shard_of(shards: int) -> pl.Expr:
    """Return the partition key of the shard into which a row id falls."""
    number = pl.col("row_id").str.slice(0, 8).str.to_integer(base=16) % shards
    return pl.format("shard-{}", number.cast(pl.String).str.zfill(2)).alias("shard")


def draw(stage: str, row_ids: pl.Series) -> pl.Series:
    """Return a pseudo-random number in [0, 1) per row. It depends only on the stage and the row id."""
    numbers = [
        int.from_bytes(hashlib.blake2b(f"{stage}:{row}".encode(), digest_size=8).digest()) >> 11 for row in row_ids
    ]
    return pl.Series("draw", numbers, dtype=pl.UInt64).cast(pl.Float64) / 2.0**53
