"""`proxy`: a small model fine-tuned on F, which the next run's `domain_scores` evaluates. Grain: a step of its training. Key: step."""

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs import training
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.training.proxy import CURVE


@dataset(
    group="foundation",
    trains=True,
    reads=("inf_instruct_f",),
    settings=lambda s: training.decides(s.foundation.loop.proxy, s.foundation.loop.model),
    columns=CURVE,
    meaning=training.MEANING,
    kinds=("pytorch", "parquet"),
)
def proxy(step: Step) -> Outcome:
    """A small model, fine-tuned on a sample of F: what the next turn of the loop evaluates. Off by default (`foundation.loop.proxy.enabled`).

    Grain: one step of its training. Key: step. The weights lie in `data/proxy/<hash>`, named after the rows and settings that they follow from;
    those of the proxy before are removed. It is trained in a process of its own, after the engines of this one have been closed.
    """
    loop = step.settings.foundation.loop
    return training.trained(
        step,
        step.read("inf_instruct_f"),
        loop.proxy,
        loop.model,
        section="foundation.loop.proxy",
        base="foundation.loop.model",
    )
