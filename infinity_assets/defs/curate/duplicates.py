"""`duplicates`: the records that are dropped in favor of another row. Grain: a dropped record."""

from itertools import takewhile

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup.duplicates import DUPLICATES, find_duplicates
from infinity_assets.dedup.fingerprints import collision_probability
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.frames import count_by

_BEFORE = 20
"""Characters shown before the first difference between two near-duplicates."""

_SHOWN = 8
"""Maximum number of near-duplicates whose texts are shown."""


@dataset(
    group="curate",
    reads=("fingerprints", "neighbours"),
    settings=lambda s: (s.dedup,),
    columns=DUPLICATES,
    version="2",
)
def duplicates(step: Step) -> Outcome:
    """Records that duplicate another row, within or across sources, with the survivor, the similarity and the method.

    Grain: one dropped record. Key: row_id, source, file, position. The survivor is the first row by source priority,
    then score, then row id. If sources have been added since the last materialization, only the rows that they affect
    are compared again. A new threshold is applied to the stored signatures, without reading texts.
    """
    rule = step.settings.dedup
    prints = {source: step.lake.scan("fingerprints", source) for source in step.lake.partitions("fingerprints")}
    # If the answers per instruction are limited, a new source can change which of them exceed the limit.
    before, added = (None, []) if rule.answers_per_instruction else step.before()
    close = None
    if rule.semantic.enabled:
        close = step.read("neighbours").filter(pl.col("similarity") >= rule.semantic.threshold).collect()
    losers = find_duplicates(
        prints, rule, neighbours=close, before=before.collect() if before is not None else None, added=added,
        workers=step.settings.ingest.workers, progress=lambda done, total: step.advance(done, total, "rows compared"),
    )  # fmt: skip
    pairs = count_by(losers, "source", "survivor_source", "method", name="records")
    near = losers.filter(pl.col("method") == "near")
    scored = None
    if rule.score:
        scored = pl.concat(part.select(pl.count("score")) for part in prints.values()).sum().collect().item()
    return Outcome(
        losers,
        measures={
            **{f"{method} duplicates": n for method, n in losers.group_by("method").len().sort("method").iter_rows()},
            "sources compared": ", ".join(added) if before is not None else "all",
            "in source_priority, but no source": ", ".join(sorted(set(rule.source_priority) - set(prints))) or None,
            f"records with the score {rule.score}": scored,
        },
        charts={
            "duplicates by source and survivor": charts.table_if_any(pairs, rows=20),
            "similarity of near-duplicates": charts.histogram(
                near["similarity"], "Jaccard similarity", low=rule.near.threshold, high=1.0
            ),
            "detection by bands": charts.curve(
                lambda similarity: collision_probability(similarity, rule.near),
                f"probability that rows with this Jaccard similarity are compared, {rule.near.bands} bands of "
                f"{rule.near.rows_per_band}",
                mark=rule.near.threshold,
            ),
            "closest to the threshold": _side_by_side(step, near),
        },
    )


def _side_by_side(step: Step, near: pl.DataFrame) -> str:
    """Return a table of the least similar near-duplicates with their texts, which helps to judge the threshold."""
    shown = near.sort("similarity", "row_id").unique("row_id", maintain_order=True).head(_SHOWN)
    if shown.is_empty():
        return ""
    wanted = [*shown["row_id"], *shown["matched"]]
    matched = near.filter(pl.col("row_id").is_in(shown["matched"].implode()))
    sources = sorted({*shown["source"], *matched["source"], *shown["survivor_source"]})
    texts = pl.concat(
        step.lake.scan("raw_pool", source)
        .filter(pl.col("row_id").is_in(wanted))
        .select("row_id", text=conversation.content_of("user", "assistant"))
        for source in sources
    ).collect()
    text_of = dict(texts.iter_rows())
    lines = [
        (similarity, *_cut_to_difference(text_of.get(row, ""), text_of.get(other, "")))
        for similarity, row, other in shown.select("similarity", "row_id", "matched").iter_rows()
    ]
    return charts.table(pl.DataFrame(lines, schema=["similarity", "row", "duplicates"], orient="row"))


def _cut_to_difference(one: str, other: str) -> tuple[str, str]:
    """Cut two texts to start shortly before their first difference, because a table shows only the start of a text."""
    one, other = " ".join(one.split()), " ".join(other.split())
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    start = len(list(alike)) - _BEFORE
    return (one, other) if start <= 0 else (f"…{one[start:]}", f"…{other[start:]}")
