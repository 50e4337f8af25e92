"""`ngrams`: what the prompts of a shard hold. Grain: a hash bucket, or a stratum of length, of a domain or of a source that is a target."""

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
        "side": "`pool`, or `target` for a source that is named as one",
        "name": "the domain, or the source",
        "feature": "`ngram`, or `length`: tokens of the prompt",
        "bucket": "hash bucket of the n-gram, or stratum of length",
        "count": "n-grams, or prompts",
    },
    kinds=("polars", "parquet", "numba"),
)
def ngrams(step: Step) -> Outcome:
    """Hashed n-grams and lengths of the prompts of conversations, of every domain that has a target and of every source that is one.

    Grain: one bucket of n-grams or one stratum of length of a domain or source. Key: side, name, feature, bucket. Counts of shards add up, so
    that `importance` knows the distribution of a whole domain without reading it.
    """
    dsir = step.settings.foundation.dsir
    counts = count_rows(step.read("decontaminated"), dsir, step.settings.ingest.workers)
    prompts = {f"{side} {name}, prompts": int(part.lengths.sum()) for (side, name), part in sorted(counts.items())}
    return Outcome(
        to_frame(counts), measures={**prompts, "n-grams": int(sum(part.ngrams.sum() for part in counts.values()))}
    )
