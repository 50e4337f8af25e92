"""Records of unknown layout, with `source.yaml` lines that map them to a known layout.

The page of `raw_pool` and the end of a run show them.
"""

import shlex
from contextlib import suppress

import orjson
import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.reading.guess import ANNOTATION, UNKNOWN_LAYOUT
from infinity_assets.reading.preview import MAX_VALUES, Unknown, merge_unknown
from infinity_assets.report.charts import table

_SHAPES = 5
"""Maximum number of shapes of records to show, the most frequent first."""

_AT = ["file", "position"]


def describe_unknown_layouts(source: str, decisions: pl.LazyFrame, quarantine: pl.LazyFrame) -> str:
    """Describe a source's records of unknown layout, as markdown; an empty string if there are no such records.

    The bytes of some records of each shape are read from `quarantine` (`schema.QUARANTINE`).
    """
    counted, advice = _find_unknown(decisions, quarantine)
    if counted.is_empty():
        return ""
    parts = [table(counted, rows=_SHAPES)]
    for unknown in advice:
        effect = f"make {unknown.fit} of {unknown.tried} tried fit" if unknown.fit else "are a form to fill in"
        parts.append(
            f"For {sum(unknown.shapes.values()):,} of them, these lines in `source.yaml` {effect}:"
            f"\n\n```yaml\n{unknown.lines}\n```"
        )
    return "\n\n".join([*parts, f"Try lines without writing them: `infinity sources preview {shlex.quote(source)}`."])


def describe_guess(annotations: pl.LazyFrame) -> str:
    """Describe the guess that read records of a source, as markdown; an empty string if there is no guess."""
    marks = annotations.filter(pl.col("name") == ANNOTATION).select(pl.len(), pl.col("value").first()).collect()
    count, mapping = marks.row(0)
    if not count:
        return ""
    fields = ", ".join(f"`{name}: {path}`" for name, path in orjson.loads(mapping).items())
    return (
        f"{count:,} rows were read by a guess: {fields}. Write it to `source.yaml` to confirm it, or set "
        "`ingest.guess: off`."
    )


def first_advice(lake: Lake, source: str) -> str:
    """Return `source.yaml` lines that make most records of unknown layout of a source fit; empty if there are none."""
    decisions, quarantine = (lake.ledger_table(name, "raw_pool", source) for name in ("decisions", "quarantine"))
    fitting = [unknown for unknown in _find_unknown(decisions, quarantine)[1] if unknown.fit]
    if not fitting:
        return ""
    best = max(fitting, key=lambda unknown: sum(unknown.shapes.values()))
    return f"# {best.fit} of {best.tried} records tried fit with these lines in source.yaml:\n{best.lines}"


def _find_unknown(decisions: pl.LazyFrame, quarantine: pl.LazyFrame) -> tuple[pl.DataFrame, list[Unknown]]:
    """Return the shapes of records of unknown layout with their counts, and the lines suggested for some of them."""
    unknown_records = decisions.filter(pl.col("reason") == UNKNOWN_LAYOUT).select(
        *_AT, pl.col("detail").str.json_path_match("$.error").alias("shape")
    )
    counts = unknown_records.group_by("shape").agg(pl.len().alias("records"), pl.col("file").min().alias("first file"))
    counted = counts.sort(pl.col("records") * -1, "shape").collect(engine="streaming")
    if counted.is_empty():
        return counted, []
    # Only the first records of each shape are joined, a few hundred in all, so the join is small for every source.
    first = dict(counted.select("shape", "records").head(_SHAPES).iter_rows())
    samples = pl.concat([unknown_records.filter(shape=shape).head(MAX_VALUES) for shape in first]).collect()
    raw = quarantine.join(samples.lazy(), on=_AT).select("shape", "raw").collect(engine="streaming")
    values: dict[str, list[object]] = {shape: [] for shape in first}
    for shape, data in raw.iter_rows():
        with suppress(orjson.JSONDecodeError):
            values[shape].append(orjson.loads(data))
    return counted, merge_unknown([(shape, first[shape], sample) for shape, sample in values.items() if sample])
