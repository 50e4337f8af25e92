"""`tuned`: the scorer, fine-tuned on a sample of the pool. Grain: a training step. Key: step."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs import training
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.training.proxy import CURVE


@dataset(
    group="score",
    trains=True,
    reads=("decontaminated",),
    settings=lambda s: training.weights_key(s.chat.seeds.tuned, s.models.scorer),
    columns=CURVE,
    kinds=("pytorch", "parquet"),
)
def tuned(step: Step) -> Outcome:
    """The fine-tuning of the scorer on a sample of the pool's conversations, drawn by row id.

    Grain: one training step. Key: step. Off by default (`chat.seeds.tuned.enabled`). The weights go to
    `data/tuned/<hash>`, a hash of the rows and settings. Earlier weights are removed. The training runs in a separate
    process, after the engines of this process have been closed.
    """
    rows = step.read("decontaminated").filter(pl.col("kind") == "conversation")
    tuned, model = step.settings.chat.seeds.tuned, step.settings.models.scorer
    return training.fine_tune(step, rows, tuned, model, section="chat.seeds.tuned", base="models.scorer")
