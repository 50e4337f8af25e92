"""From distinct rows to rows that hold no benchmark item.

| asset | grain | key |
|---|---|---|
| benchmarks | benchmark item | item_id |
| allowed | text that everyone quotes | name, text |
| matches | hit of a row on an item by a rule | row_id, item_id, part, side, rule |
| contamination | source and benchmark that share something | source, benchmark |
| decontaminated | distinct row without a benchmark item in it | row_id |
"""

from collections import Counter

import polars as pl

from infinity_assets.atomic import ROW_GROUP
from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination import gate, report
from infinity_assets.decontamination.allowed import ALLOWED, FILE, SHIPPED, allowed_texts
from infinity_assets.decontamination.gate import LINES_PER_ROW, MATCHES, Gate, strongest
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.ids import digest
from infinity_assets.rows.readers.benchmarks import ITEM, read_benchmark
from infinity_assets.rows.sources import content_fingerprint, load_source
from infinity_assets.scoring import domain

GATE = ("benchmarks", "allowed")
"""What an asset reads that runs the gate."""

_MATCHES = pl.Schema({**MATCHES, "source": pl.String})
_BATCH = ROW_GROUP // 2


def gate_of(step: Step) -> Gate:
    """The gate in force. The asset reads `GATE`, and depends on the setting `decontamination.gate`."""
    read, rule = step.read, step.settings.decontamination
    return step.once("gate", lambda: Gate(read("benchmarks").collect(), rule, read("allowed").collect()["text"]))


def benchmark_files(step: Step) -> dict[str, str]:
    """What the files of every benchmark hold."""
    known = step.lake.catalog / "fingerprints" / "benchmarks"
    folders = step.pool.benchmark_folders().items()
    return {f"files of {name}": content_fingerprint(load_source(folder), known / f"{name}.json") for name, folder in folders}


def _allowed_files(step: Step) -> dict[str, str]:
    files = (SHIPPED, step.pool.benchmarks / FILE)
    return {
        file.name + str(place): digest(file.read_text(encoding="utf-8", errors="replace"))
        for place, file in enumerate(files)
        if file.is_file()
    }


@dataset(
    group="curate",
    files=benchmark_files,
    columns=ITEM,
    meaning={
        "item_id": "benchmark, file where there are several, and position",
        "benchmark": "name of the benchmark's folder",
        "prompt": "what the item asks",
        "further": "what stands behind it: the options to choose from, or the turns that follow",
        "answer": "its answer, where the file gives one",
    },
    kinds=("polars", "parquet", "json"),
    version="3",
)
def benchmarks(step: Step) -> Outcome:
    """The evaluation sets: what must not be trained on, what DSIR aims at.

    Grain: one item. Key: item_id. A benchmark is a folder under `data/benchmarks`; its domain comes from its `source.yaml`, else it is the one
    that the rule gives most of its items.
    """
    read = [read_benchmark(folder) for folder in step.pool.benchmark_folders().values()]
    items = pl.concat([pl.DataFrame(schema=ITEM), *(benchmark.items for benchmark in read)])
    skipped = sum((Counter(benchmark.skipped) for benchmark in read), Counter[str]())
    by_rule = domain.classify(pl.col("prompt"), pl.col("answer")).mode().sort().first().over("benchmark")
    items = items.with_columns(pl.col("domain").fill_null(by_rule))
    return Outcome(
        items,
        measures={
            **{f"records left out: {reason}": skipped[reason] for reason in sorted(skipped)},
            "benchmarks without an item": ", ".join(sorted(set(step.pool.benchmark_folders()) - set(items["benchmark"]))) or "none",
        },
        charts={"items": charts.table(items.group_by("benchmark", "domain").len("items").sort("benchmark"), rows=30)},
    )


@dataset(
    group="curate",
    files=_allowed_files,
    columns=ALLOWED,
    meaning={"name": "what it is", "text": "how it is quoted", "file": f"{FILE}: shipped, or beside the benchmarks"},
    kinds=("polars", "parquet", "yaml"),
)
def allowed(step: Step) -> Outcome:
    """Texts that everyone quotes: what lies inside one of them is no evidence that a row holds a benchmark item.

    Grain: one text. Key: name, text. Shipped with the package; more in `allowed.yaml` in the folder of the benchmarks.
    """
    return Outcome(allowed_texts(step.pool.benchmarks))


@dataset(
    group="curate",
    reads=("deduped", *GATE),
    settings=lambda s: (s.decontamination.gate,),
    columns=_MATCHES,
    meaning=gate.MEANING,
    kinds=("polars", "parquet", "numba"),
    version="2",
)
def matches(step: Step) -> Outcome:
    """Everything that rows share with benchmark items by the rules of the gate: what removes a row, what is only reported, and what is excused.

    Grain: one hit of a row on a part of an item in turns of one role, by one rule; the twenty strongest of a row. Key: row_id, item_id, part,
    side, rule.
    """
    found, looked_at, rows = gate_of(step), 0, step.read("deduped").select("row_id", "source", "messages")
    lines = [pl.DataFrame(schema=_MATCHES)]
    total = rows.select(pl.len()).collect().item()
    for batch in rows.collect_batches(chunk_size=_BATCH, maintain_order=True, engine="streaming"):
        lines.append(found.matches(batch).join(batch.select("row_id", "source"), on="row_id", maintain_order="left"))
        looked_at += batch.height
        step.advance(looked_at, total)
    hits = pl.concat(lines).sort("row_id", maintain_order=True)
    counts = hits.group_by("verdict", "rule", "part", "side").agg(pl.len().alias("hits"), pl.col("row_id").n_unique().alias("rows"))
    full = hits.group_by("row_id").len().filter(pl.col("len") == LINES_PER_ROW).height
    return Outcome(
        hits,
        measures={
            "rows looked at": looked_at,
            "rows to be removed": _rows(hits, "removes"),
            "rows with hits that are only reported": _rows(hits, "reported"),
            "rows with hits that are excused": _rows(hits, "excused"),
            "rows with as many hits as are kept": full,
        },
        charts={
            "hits": _table(counts.sort("verdict", "part", "rule", "side")),
            "share": charts.histogram(
                hits.filter(pl.col("verdict") == "removes")["share"], "share of the item, of hits that remove", low=0, high=1
            ),
            "excused": _table(_examples(hits, "excused"), rows=12),
            "reported": _table(_examples(hits, "reported"), rows=12),
        },
    )


def _table(frame: pl.DataFrame, rows: int = 30) -> str:
    """Nothing, where there is nothing to show."""
    return charts.table(frame, rows=rows) if frame.height else ""


def _rows(hits: pl.DataFrame, verdict: str) -> int:
    return hits.filter(pl.col("verdict") == verdict)["row_id"].n_unique()


def _examples(hits: pl.DataFrame, verdict: str) -> pl.DataFrame:
    """The spans that the most rows share."""
    spans = hits.filter(pl.col("verdict") == verdict).group_by("benchmark", "part", "span").agg(pl.col("row_id").n_unique().alias("rows"))
    return spans.sort(pl.col("rows") * -1, "benchmark", "part", "span")


@dataset(
    group="curate",
    reads=("matches", "duplicates", "benchmarks"),
    settings=lambda s: (s.decontamination.flag_above,),
    columns=report.CONTAMINATION,
    meaning=report.MEANING,
    version="2",
)
def contamination(step: Step) -> Outcome:
    """Which source holds how much of which benchmark. One that holds more than 2 % of a benchmark's items is flagged.

    Grain: one source and one benchmark that share something. Key: source, benchmark. Records that were dropped as duplicates of similarity 1
    count for their own source, too. With the setting `decontamination.remove_flagged` all rows of a flagged source are removed.
    """
    # The copy of a row that lost is equal to that row, and not to the row that is kept.
    losers = step.read("duplicates").filter(pl.col("similarity") >= 1, pl.col("matched") == pl.col("duplicate_of"))
    copies = losers.select(pl.col("duplicate_of").alias("row_id"), "source").unique()
    limit = step.settings.decontamination.flag_above
    found = report.by_source(step.read("matches"), copies, step.read("benchmarks"), limit)
    flagged = found.filter("flagged")
    pairs = pl.concat_str("source", "benchmark", separator=" / ")
    return Outcome(
        found,
        measures={"sources flagged": ", ".join(sorted(set(flagged["source"]))) or "none"},
        charts={
            "share of a benchmark's items": charts.bars(
                found.filter(pl.col("items") > 0).select(pairs, "share"), f"share of the benchmark's items; flagged above {limit:g}", limit
            ),
            "by source and benchmark": _table(found, rows=60),
        },
    )


@dataset(
    group="curate",
    reads=("deduped", "matches", "contamination", "paraphrases"),
    settings=lambda s: (s.decontamination.remove_flagged, s.decontamination.paraphrase_threshold or ""),
    columns=schema.ROW,
    version="2",
)
def decontaminated(step: Step) -> Outcome:
    """Distinct rows that hold no benchmark item.

    Grain: one distinct row. Key: row_id. Every row taken out is in `decisions` with the rule, the item, the side, the span that it shares and the
    share of the item; `matches` lists all that it shares.
    """
    rows, found = step.read("deduped"), step.read("contamination").collect()
    hits = strongest(step.read("matches").collect()).select(
        "row_id",
        pl.format("contaminated_{}", "rule").alias("reason"),
        pl.struct("benchmark", "item_id", "part", "side", "span", "shared", "share").struct.json_encode().alias("detail"),
    )
    hits = pl.concat([hits, _paraphrased(step).join(hits, on="row_id", how="anti")])
    worst = found.filter("flagged").unique("source", keep="first", maintain_order=True)
    if not step.settings.decontamination.remove_flagged:
        worst = worst.clear()
    whole = worst.select("source", pl.struct("benchmark", "items", "benchmark_items", "share").struct.json_encode().alias("of_source"))
    told = rows.join(hits.lazy(), on="row_id", how="left", maintain_order="left").join(
        whole.lazy(), on="source", how="left", maintain_order="left"
    )
    reason = pl.coalesce("reason", pl.when(pl.col("of_source").is_not_null()).then(pl.lit("contaminated_source")))
    dropped = told.with_columns(
        pl.lit("dropped").alias("verdict"), reason.alias("reason"), pl.coalesce("detail", "of_source").alias("detail")
    )
    dropped = dropped.filter(pl.col("reason").is_not_null()).select(list(schema.DECISIONS)).collect(engine="streaming")
    per_source = dropped.group_by("source", "reason").agg(pl.len().alias("rows")).sort("source", "reason")
    # Lazy, so that no shard is in memory as a whole; the rows come sorted by id and stay so.
    kept = rows.join(dropped.lazy().select("row_id"), on="row_id", how="anti", maintain_order="left")
    return Outcome(
        kept,
        rows_in=rows.select(pl.len()).collect().item(),
        decisions=dropped,
        charts={"by source": _table(per_source)},
    )


def _paraphrased(step: Step) -> pl.DataFrame:
    """Rows that are removed because they come close to an item in meaning: row_id, reason, detail. None unless a threshold is set."""
    threshold = step.settings.decontamination.paraphrase_threshold
    close = step.read("paraphrases").filter(pl.col("similarity") >= threshold) if threshold else step.read("paraphrases").clear()
    closest = close.sort("row_id", pl.col("similarity") * -1, "item_id").unique("row_id", keep="first", maintain_order=True)
    return closest.select(
        "row_id",
        pl.lit("contaminated_paraphrase").alias("reason"),
        pl.struct("benchmark", "item_id", "similarity").struct.json_encode().alias("detail"),
    ).collect()
