"""`ngrams`: counts of prompts' n-grams and lengths, by domain or source. Grain: a hash bucket or stratum of length."""

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
    """Counts of the hashed n-grams and lengths of prompts, per domain with a target and per source used as a target.

    Grain: one bucket of n-grams or one stratum of length. Key: side, name, feature, bucket.
    `importance` adds up the counts of all shards to get the distribution of a whole domain without reading its rows.
    """
    dsir = step.settings.foundation.dsir
    counts = count_rows(step.read("decontaminated"), dsir, step.settings.ingest.workers)
    prompts = {f"{side} {name}, prompts": int(part.lengths.sum()) for (side, name), part in sorted(counts.items())}
    return Outcome(
        to_frame(counts), measures={**prompts, "n-grams": int(sum(part.ngrams.sum() for part in counts.values()))}
    )
