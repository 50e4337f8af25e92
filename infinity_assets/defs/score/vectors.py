"""`vectors`: the vector of every prompt. Grain: a row of `decontaminated`. Key: row_id."""

from collections.abc import Iterator

import polars as pl

from infinity_assets.atomic import ROW_GROUP
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.rows import conversation


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated",),
    settings=lambda s: (s.scoring.embedder.weights_id, s.scoring.max_unknown),
    columns={"row_id": pl.String, "vector": pl.Array(pl.Float16, 1)},
    kinds=("polars", "parquet", "sentencetransformers"),
)
def vectors(step: Step) -> Outcome:
    """The vector of every row's prompt, in half precision, for labels from neighbors, diversity and retrieval.

    Grain: one row of `decontaminated`. Key: row_id. The vector is null if too many words of the prompt are unknown
    to the embedder. The default embedder knows only English words.
    """
    rows = step.read("decontaminated").select("row_id", prompt=conversation.content_of("user"))
    with step.inference().embedder(step.settings.scoring.embedder) as embedder:
        schema = pl.Schema({"row_id": pl.String, "vector": pl.Array(pl.Float16, embedder.width)})

        def encode_batches() -> Iterator[pl.DataFrame]:
            yield pl.DataFrame(schema=schema)
            for batch in step.batches(rows, ROW_GROUP):
                prompts = batch["prompt"].to_list()
                known = embedder.read(prompts).unknown <= step.settings.scoring.max_unknown
                vector = pl.Series(embedder.encode(prompts), dtype=schema["vector"])
                yield batch.select("row_id", pl.when(pl.Series(known)).then(vector).alias("vector"))

        table = pl.concat(encode_batches())
    return Outcome(
        table,
        measures={
            "embedder": step.settings.scoring.embedder.weights_id,
            "rows with a vector": int(table["vector"].count()),
        },
    )
