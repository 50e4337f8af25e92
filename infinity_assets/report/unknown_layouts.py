"""For the page of raw_pool: the records of a source in no known layout, and the lines of a `source.yaml` that would make them fit."""

import shlex

import orjson
import polars as pl

from infinity_assets.reading.preview import MAX_VALUES, UNKNOWN_LAYOUT, merged
from infinity_assets.report.charts import table

_SHAPES = 5
"""Shapes that are shown, the most frequent first."""

_AT = ["file", "position"]


def not_understood(source: str, decisions: pl.LazyFrame, quarantine: pl.LazyFrame) -> str:
    """Markdown; empty if all records were in known layouts.

    Args:
        source: Name of the source.
        decisions: `schema.DECISIONS` of it.
        quarantine: `schema.QUARANTINE` of it. Some records of each shape are taken from it.
    """
    told = decisions.filter(pl.col("reason") == UNKNOWN_LAYOUT).select(
        *_AT, pl.col("detail").str.json_path_match("$.error").alias("shape")
    )
    counts = told.group_by("shape").agg(pl.len().alias("records"), pl.col("file").min().alias("first file"))
    counted = counts.sort(pl.col("records") * -1, "shape").collect(engine="streaming")
    if counted.is_empty():
        return ""
    # Each shape's first records, some hundred in all, so that the join is small whatever the source.
    samples = pl.concat(
        [told.filter(pl.col("shape") == shape).head(MAX_VALUES) for shape in counted["shape"].head(_SHAPES)]
    ).collect()
    raw = quarantine.join(samples.lazy(), on=_AT, how="inner").select("shape", "raw").collect(engine="streaming")
    values = {shape: [] for shape in counted["shape"].head(_SHAPES)}
    for shape, data in raw.iter_rows():
        try:
            values[shape].append(orjson.loads(data))
        except orjson.JSONDecodeError:
            continue
    counts_of = dict(counted.select("shape", "records").iter_rows())
    parts = [table(counted, rows=_SHAPES)]
    for unknown in merged([(shape, counts_of[shape], sample) for shape, sample in values.items() if sample]):
        makes = f"make {unknown.fit} of {unknown.tried} tried fit" if unknown.fit else "are a form to fill in"
        parts.append(
            f"For {sum(unknown.shapes.values()):,} of them, these lines in `source.yaml` {makes}:\n\n```yaml\n{unknown.lines}\n```"
        )
    return "\n\n".join(
        [*parts, f"Try lines before they are written: `infinity sources preview {shlex.quote(source)}`."]
    )
