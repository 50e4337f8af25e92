"""`tuned`: the scorer, fine-tuned on a sample of the pool. Off by default."""

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
    settings=lambda s: training.decides(s.chat.seeds.tuned, s.models.scorer),
    columns=CURVE,
    meaning=training.MEANING,
    kinds=("pytorch", "parquet"),
)
def tuned(step: Step) -> Outcome:
    """The scorer, fine-tuned on a sample by row id of the pool's conversations. Off by default (`chat.seeds.tuned.enabled`).

    Grain: one step of its training. Key: step. The weights lie in `data/tuned/<hash>`, named after the rows and settings that they follow from;
    those made before are removed. It is trained in a process of its own, after the engines of this one have been closed.
    """
    rows = step.read("decontaminated").filter(pl.col("kind") == "conversation")
    return training.trained(
        step,
        rows,
        step.settings.chat.seeds.tuned,
        step.settings.models.scorer,
        section="chat.seeds.tuned",
        base="models.scorer",
    )
