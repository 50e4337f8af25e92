"""The funnel: rows in, created, out and dropped by reason, per asset, from the views alone."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.views import connect

ORDER = (
    "raw_pool", "synthesized_from_text", "fingerprints", "embeddings", "neighbours", "duplicates", "deduped", "benchmarks", "paraphrases",
    "allowed", "matches", "contamination", "decontaminated", "measured", "ngrams", "importance", "vectors",
    "benchmark_vectors", "proximity", "tagged", "label_forms", "tag_vocabulary", "labelled", "scored", "tuned", "loss_after", "rules",
    "seed_selected", "topics", "domain_scores", "domain_budget", "inf_instruct_f", "proxy",
    "evolved", "answered", "diagnosed", "abilities", "conversed", "inf_instruct_g", "preferences", "release",
)  # fmt: skip
"""Assets in the order of the graph; rounds follow the first."""


def funnel(data: Path) -> pl.DataFrame:
    """One line per asset that was materialised: asset, partitions, rows_in, rows_created, rows_out, rows_dropped, reasons, calls, seconds.

    `reasons` counts the dropped rows by reason, most frequent first. `calls` are the model calls really made, over all materialisations.
    `seconds` are those of the latest.
    """
    with connect(data, assets=()) as views:
        totals = views.sql(
            """
            with reasons as (
                select asset, string_agg(reason || ' ' || n, ', ' order by n desc, reason) as reasons from (
                    select asset, reason, count(*) as n from decisions where verdict = 'dropped' group by all) group by asset),
            calls as (select asset, count(*) filter (not cached) as calls from generations group by asset)
            select asset, count(*) as partitions, sum(rows_in)::bigint as rows_in, sum(rows_created)::bigint as rows_created,
                   sum(rows_out)::bigint as rows_out, sum(rows_dropped)::bigint as rows_dropped, any_value(reasons) as reasons,
                   any_value(calls) as calls, sum(seconds) as seconds
            from materializations left join reasons using (asset) left join calls using (asset)
            where latest group by asset
            """
        ).pl()
    first, later = pl.col("asset").str.replace(r"_\d+$", ""), pl.col("asset").str.extract(r"_(\d+)$", 1).cast(pl.Int64).fill_null(1)
    place = first.replace_strict({name: i for i, name in enumerate(ORDER)}, default=len(ORDER), return_dtype=pl.Int64)
    chat = place.is_between(ORDER.index("evolved"), ORDER.index("inf_instruct_g"), closed="left")
    return totals.with_columns(place.alias("place"), pl.when(chat).then(later).otherwise(0).alias("round"), chat.alias("chat")).sort(
        pl.when("chat").then(ORDER.index("evolved")).otherwise("place"), "round", "place"
    ).drop("place", "round", "chat")  # fmt: skip
