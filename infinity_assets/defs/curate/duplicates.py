"""`duplicates`: the records that lose to another row."""

from collections.abc import Mapping

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup.duplicates import DUPLICATES, find_duplicates
from infinity_assets.dedup.fingerprints import collision_probability
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation

_BEFORE = 20
"""Characters shown of what two near-duplicates have in common before they differ."""

_SHOWN = 8
"""Near-duplicates whose texts stand on the page."""


@dataset(
    group="curate",
    reads=("fingerprints", "neighbours"),
    settings=lambda s: (s.dedup,),
    columns=DUPLICATES,
    meaning={
        "duplicate_of": "row id of the survivor that is kept in its place",
        "survivor_source": "the survivor's source",
        "method": "exact, instruction (an answer too many), near or semantic",
        "similarity": "of the two rows: 1, the Jaccard similarity of their shingles, or the cosine of their embeddings",
        "matched": "row id of the row it was compared with; not the survivor where that row lost as well",
    },
    version="2",
)
def duplicates(step: Step) -> Outcome:
    """Records that lose to another row, within and across sources: which row that is, how similar they are, and by which method that was found.

    Grain: one losing record. Key: row_id, source, file, position. The survivor follows from the settings: source priority, then score, then row
    id. Sources that were added since the last time are compared with all; what they do not touch is not compared again. Another threshold works
    on the signatures, without reading a text.
    """
    rule = step.settings.dedup
    prints = {source: step.lake.scan("fingerprints", source) for source in step.lake.partitions("fingerprints")}
    # Which answers to an instruction are too many may change with every source.
    before, added = (None, []) if rule.answers_per_instruction else step.before()
    close = (
        step.read("neighbours").filter(pl.col("similarity") >= rule.semantic.threshold).collect()
        if rule.semantic.enabled
        else None
    )
    losers = find_duplicates(
        prints, rule, neighbours=close, before=before.collect() if before is not None else None, added=added, workers=step.settings.ingest.workers,
        progress=lambda done, total: step.advance(done, total, "rows compared"),
    )  # fmt: skip
    pairs = losers.group_by("source", "survivor_source", "method").len("records")
    near = losers.filter(pl.col("method") == "near")
    return Outcome(
        losers,
        measures={
            **{f"{method} duplicates": n for method, n in losers.group_by("method").len().sort("method").iter_rows()},
            "sources compared": ", ".join(added) if before is not None else "all",
            "in source_priority, but no source": ", ".join(sorted(set(rule.source_priority) - set(prints))) or None,
            f"records with the score {rule.score}": _scored(prints) if rule.score else None,
        },
        charts={
            "who duplicates whom": charts.table(
                pairs.sort(pl.col("records") * -1, "source", "survivor_source", "method"), rows=20
            ),
            "similarity of near-duplicates": charts.histogram(
                near["similarity"], "Jaccard similarity", low=rule.near.threshold, high=1.0
            ),
            "what the bands find": charts.curve(
                lambda similarity: collision_probability(similarity, rule.near),
                f"probability that rows of a Jaccard similarity are compared, {rule.near.bands} bands of {rule.near.rows_per_band}",
                mark=rule.near.threshold,
            ),
            "closest to the threshold": _side_by_side(step, near),
        },
    )


def _scored(prints: Mapping[str, pl.LazyFrame]) -> int:
    return sum(part.select(pl.col("score").is_not_null().sum()).collect().item() for part in prints.values())


def _side_by_side(step: Step, near: pl.DataFrame) -> str:
    """The near-duplicates that are least similar, with what they say: whether the threshold is right is seen here."""
    shown = near.sort("similarity", "row_id").unique("row_id", maintain_order=True).head(_SHOWN)
    if shown.is_empty():
        return ""
    wanted = [*shown["row_id"], *shown["matched"]]
    sources = sorted(
        {
            *shown["source"],
            *near.filter(pl.col("row_id").is_in(shown["matched"].implode()))["source"],
            *shown["survivor_source"],
        }
    )
    texts = pl.concat(
        step.lake.scan("raw_pool", source)
        .filter(pl.col("row_id").is_in(wanted))
        .select("row_id", text=conversation.content_of("user", "assistant"))
        for source in sources
    ).collect()
    said = dict(texts.iter_rows())
    pairs = [
        _from_the_difference(said.get(row, ""), said.get(matched, ""))
        for row, matched in shown.select("row_id", "matched").iter_rows()
    ]
    return charts.table(
        shown.select(
            "similarity", pl.Series("row", [a for a, _ in pairs]), pl.Series("duplicates", [b for _, b in pairs])
        )
    )


def _from_the_difference(one: str, other: str) -> tuple[str, str]:
    """Two texts from a little before they differ: a table shows how texts begin, and near-duplicates begin alike."""
    one, other = " ".join(one.split()), " ".join(other.split())
    alike = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    start = alike - _BEFORE
    return (one, other) if start <= 0 else (f"…{one[start:]}", f"…{other[start:]}")
