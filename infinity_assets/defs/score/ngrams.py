"""`ngrams`: counts of n-grams and lengths of a shard's prompts. Grain: a bucket or stratum of a domain or source."""

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.selection.dsir.passes import count_rows
from infinity_assets.selection.dsir.weights import NGRAMS, to_frame


@dataset(
    group="score",
    partitions="shard",
    reads=("decontaminated",),
    settings=lambda s: (s.foundation.dsir.counting,),
    columns=NGRAMS,
    kinds=("polars", "parquet", "numba"),
)
def ngrams(step: Step) -> Outcome:
    """Counts of hashed n-grams and of lengths of prompts, for each domain that has a target and each source that is one.

    Grain: one count, of a bucket of n-grams or a stratum of length. Key: side, name, feature, bucket.
    `importance` adds up the counts of all shards to get the distribution of a whole domain without reading its rows.
    """
    dsir = step.settings.foundation.dsir
    counts = count_rows(step.read("decontaminated"), dsir, step.settings.ingest.workers)
    prompts = {f"{side} {name}, prompts": int(part.lengths.sum()) for (side, name), part in sorted(counts.items())}
    return Outcome(
        to_frame(counts), measures={**prompts, "n-grams": int(sum(part.ngrams.sum() for part in counts.values()))}
    )
