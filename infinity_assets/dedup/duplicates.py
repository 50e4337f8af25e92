"""Duplicates of every kind: the records that are dropped, called losers, and the row that is kept for each.

Records are ranked by source priority, then score, then row id (then source, file and position if they share an id).
The order of their arrival has no effect. The best record stays, and the others are losers by one of four methods:

exact        The records have the same normalized conversation.
near         The rows have similar shingles (`dedup/near.py`).
semantic     The rows have close embeddings: they are one of the given pairs.
instruction  The instruction has more answers than `answers_per_instruction` allows. The best answers stay.

A loser names the row that is kept for it (`duplicate_of`) and the row that it was compared with (`matched`). They
differ if the latter is a loser, too: if row B is a near-duplicate of row A, a copy of B has A as `duplicate_of` and B
as `matched`.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import polars as pl

from infinity_assets.dedup.close_pairs import Pairs
from infinity_assets.dedup.fingerprints import PLACE
from infinity_assets.dedup.near import NO_PAIRS, Losers, Signatures, find_losers, rows_affected_by
from infinity_assets.settings import Dedup

DUPLICATES = pl.Schema(
    {
        "row_id": pl.String,
        "source": pl.String,
        "file": pl.String,
        "position": pl.Int64,
        "duplicate_of": pl.String,
        "survivor_source": pl.String,
        "method": pl.String,
        "similarity": pl.Float64,
        "matched": pl.String,
    }
)
"""Schema of the losers, one line per dropped record."""

METHODS = ("exact", "instruction", "near", "semantic")


def find_duplicates(
    prints: Mapping[str, pl.LazyFrame],
    rule: Dedup,
    neighbours: pl.DataFrame | None = None,
    before: pl.DataFrame | None = None,
    added: Collection[str] = (),
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Return every record that is dropped as a duplicate.

    Args:
        prints: The fingerprints of each source, by the name of the source.
        rule: Settings of de-duplication.
        neighbours: Pairs of similar embeddings: columns a and b (content hashes), similarity.
        before: The result of an earlier call with the same rule but without the sources in `added`. It supplies the
            lines that these sources cannot affect. It is ignored if there are neighbours or a limit on the answers per
            instruction, because any source may then affect the rows of any other.
        added: Sources that `before` does not cover.
        workers, progress: Number of threads, and a function called with the progress (see `find_losers`).

    Returns:
        Lines of schema `DUPLICATES`, sorted by source, file, position and row id.
    """
    if not prints:
        return pl.DataFrame(schema=DUPLICATES)
    if before is not None and neighbours is None and not rule.answers_per_instruction:
        affected = _select_affected(prints, added, workers)
        again = find_duplicates(affected, rule, workers=workers, progress=progress)
        record = ["row_id", *PLACE]
        for part in affected.values():
            before = before.join(part.select(record).collect(), on=record, how="anti")
        return pl.concat([before, again]).sort(*PLACE, "row_id")
    records, contents = _rank(prints, rule)
    signatures = _read_signatures(prints, contents["record"].to_numpy())
    losers = find_losers(signatures, rule.near, _number_pairs(contents, neighbours), workers, progress)
    best_answer = _find_best_answers(contents, losers, rule.answers_per_instruction)
    return _describe_losers(records, contents, losers, best_answer)


def _select_affected(
    prints: Mapping[str, pl.LazyFrame], added: Collection[str], workers: int
) -> dict[str, pl.LazyFrame]:
    """Return, by source, the records that share a content or a component with a record of an added source."""
    columns = ["content_hash", "signed", "keys"]
    light = {source: part.select(columns).collect() for source, part in prints.items()}
    whole = pl.concat([part.select(columns, fresh=pl.lit(source in added)) for source, part in light.items()])
    fresh = whole["fresh"].to_numpy()
    same = whole["content_hash"].is_in(whole.filter("fresh")["content_hash"].implode()).to_numpy()
    affected = same | rows_affected_by(whole["keys"].to_numpy(), whole["signed"].to_numpy(), fresh, workers)
    ends = np.cumsum([part.height for part in light.values()])
    parts = {}
    for (source, part), mine in zip(prints.items(), np.split(affected, ends[:-1]), strict=True):
        if mine.any():
            first, last = np.flatnonzero(mine)[[0, -1]]
            parts[source] = (
                part.slice(first, last - first + 1).collect().filter(pl.Series(mine[first : last + 1])).lazy()
            )
    return parts


def _rank(prints: Mapping[str, pl.LazyFrame], rule: Dedup) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return all records, the best first, with the index of their content, and the best record of each content."""
    columns = ["row_id", *PLACE, "content_hash", "prompt_hash", "score"]
    light = pl.concat([part.select(columns) for part in prints.values()]).with_row_index("record").collect()
    priority = {source: number for number, source in enumerate(rule.source_priority)}
    # Numbers sort several times as fast as strings: only records that share the first half of their id need all of it.
    light = light.with_columns(
        rank=pl.col("source").replace_strict(priority, default=len(priority), return_dtype=pl.Int64),
        half=pl.col("row_id").str.head(16).str.to_integer(base=16, dtype=pl.UInt64),
    )
    tied = light.filter(pl.col("half").is_duplicated()).sort("row_id", *PLACE)
    tied = tied.select("record", tie=pl.int_range(pl.len()))
    light = light.join(tied, on="record", how="left", maintain_order="left")
    ranked = light.sort("rank", "score", "half", "tie", descending=[False, True, False, False], nulls_last=True)
    contents = ranked.unique("content_hash", keep="first", maintain_order=True).with_row_index("content")
    records = ranked.join(contents.select("content_hash", "content"), on="content_hash", maintain_order="left")
    return records, contents.with_columns(pl.col("content").cast(pl.Int32))


def _find_best_answers(contents: pl.DataFrame, losers: Losers, wanted: int) -> np.ndarray:
    """Return, for each surplus answer among the survivors, the content with the best answer; -1 for other contents."""
    # Without an answer, the two hashes are equal.
    counts = (pl.col("prompt_hash") != pl.col("content_hash")) & (pl.col("winner") < 0)
    group = ["prompt_hash", counts]
    beyond = counts & (pl.int_range(pl.len()).over(group) >= wanted) if wanted else pl.lit(False)
    best = pl.when(beyond).then(pl.col("content").first().over(group)).otherwise(-1).cast(pl.Int32)
    return contents.with_columns(winner=pl.Series(losers.winner)).select(best.alias("best")).to_series().to_numpy()


def _read_signatures(prints: Mapping[str, pl.LazyFrame], records: np.ndarray) -> Signatures:
    """Return the signatures of records (indices). Shingles are read on request, only from sources that have them."""
    columns = ["keys", "signed", "sketch", "size", "answered"]
    light = pl.concat([part.select(columns) for part in prints.values()]).collect()[records]
    begins = np.concatenate([[0], np.cumsum([part.select(pl.len()).collect().item() for part in prints.values()])])

    def shingles(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted = records[rows].astype(np.int64)
        sizes = light["size"].to_numpy()[rows].astype(np.int64)
        order = np.argsort(wanted)
        flat = []
        where = np.empty(len(rows), np.int64)
        taken = 0
        for part, begin, end in zip(prints.values(), begins[:-1], begins[1:], strict=True):
            mine = order[np.searchsorted(wanted, begin, sorter=order) : np.searchsorted(wanted, end, sorter=order)]
            if len(mine):
                column = part.select("shingles").collect().to_series()
                flat.append(column.gather(wanted[mine] - begin).explode(empty_as_null=False).to_numpy())
                where[mine] = taken + np.cumsum(sizes[mine]) - sizes[mine]
                taken += len(flat[-1])
        return (np.concatenate(flat) if flat else np.empty(0, np.uint32)), where

    keys, signed, sketches, sizes, answered = (light[name].to_numpy() for name in columns)
    return Signatures(keys, signed, sketches, sizes, answered, shingles)


def _number_pairs(contents: pl.DataFrame, neighbours: pl.DataFrame | None) -> Pairs:
    """Convert pairs of content hashes to pairs of row numbers in `contents`."""
    if neighbours is None or neighbours.is_empty():
        return NO_PAIRS
    row = contents.select("content_hash", pl.col("content").cast(pl.Int64).alias("row"))
    numbered = neighbours.join(row, left_on="a", right_on="content_hash")
    numbered = numbered.join(row, left_on="b", right_on="content_hash", suffix="_b")
    ends = pl.min_horizontal("row", "row_b").alias("left"), pl.max_horizontal("row", "row_b").alias("right")
    ordered = numbered.select(*ends, pl.col("similarity").cast(pl.Float32)).sort("left", "right")
    return Pairs(*(column.to_numpy() for column in ordered))


def _describe_losers(
    records: pl.DataFrame, contents: pl.DataFrame, losers: Losers, best_answer: np.ndarray
) -> pl.DataFrame:
    """Return one line of schema `DUPLICATES` per dropped record."""
    winner = np.where(losers.winner >= 0, losers.winner, best_answer)
    methods = {"instruction": best_answer >= 0, "semantic": losers.given, "near": losers.winner >= 0}
    method = np.select(list(methods.values()), [METHODS.index(name) for name in methods], METHODS.index("exact"))
    similarity = np.where(losers.winner >= 0, losers.similarity.astype(np.float64).round(6), 1.0)
    matched = survivor = np.where(winner < 0, np.arange(len(winner)), winner)
    # The row that a near-duplicate lost to may itself be a surplus answer.
    while (winner[survivor] >= 0).any():
        survivor = np.where(winner[survivor] >= 0, winner[survivor], survivor)
    ids, sources = contents["row_id"], contents["source"]
    outcome = contents.select(
        pl.col("content").cast(records.schema["content"]),
        pl.col("record").alias("best"),
        ids.gather(survivor).alias("duplicate_of"),
        sources.gather(survivor).alias("survivor_source"),
        pl.Series("method", method, dtype=pl.Int64).replace_strict(dict(enumerate(METHODS)), return_dtype=pl.String),
        pl.Series("similarity", similarity),
        ids.gather(matched).alias("matched"),
        pl.Series("lost", winner >= 0),
        ids.alias("best_id"),
    )
    copy = pl.col("record") != pl.col("best")
    return (
        records.join(outcome, on="content", maintain_order="left")
        .filter(copy | pl.col("lost"))
        .with_columns(
            method=pl.when(copy).then(pl.lit("exact")).otherwise("method"),
            similarity=pl.when(copy).then(1.0).otherwise("similarity"),
            matched=pl.when(copy).then("best_id").otherwise("matched"),
        )
        .select(list(DUPLICATES))
        .sort(*PLACE, "row_id")
    )


def drop_losers(rows: pl.DataFrame, losers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the pool without the duplicates (`losers` from `find_duplicates`), in their order.

    A record can hold a conversation twice and become two equal rows: each line of `losers` removes only one of them.
    """
    record = ["row_id", *PLACE]
    nth = pl.int_range(pl.len()).over(record).alias("nth")
    lost = losers.select(record).with_columns(nth)
    return rows.with_columns(nth).join(lost, on=[*record, "nth"], how="anti", maintain_order="left").drop("nth")
