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
    meaning={
        "side": "`pool`, or `target` for a source that is a target",
        "name": "name of the domain or source",
        "feature": "`ngram`, or `length`: tokens of the prompt",
        "bucket": "hash bucket of the n-gram, or stratum of length",
        "count": "n-grams, or prompts",
    },
    kinds=("polars", "parquet", "numba"),
)
def ngrams(step: Step) -> Outcome:
    """Hashed n-grams and lengths of conversation prompts, for every domain with a target and every target source.

    Grain: one bucket of n-grams or one stratum of length of a domain or source. Key: side, name, feature, bucket.
    `importance` adds up the counts of all shards to get the distribution of a whole domain without reading its rows.
    """
    dsir = step.settings.foundation.dsir
    counts = count_rows(step.read("decontaminated"), dsir, step.settings.ingest.workers)
    prompts = {f"{side} {name}, prompts": int(part.lengths.sum()) for (side, name), part in sorted(counts.items())}
    return Outcome(
        to_frame(counts), measures={**prompts, "n-grams": int(sum(part.ngrams.sum() for part in counts.values()))}
    )
