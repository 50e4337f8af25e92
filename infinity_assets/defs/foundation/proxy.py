"""`proxy`: the training of a small model on InfInstruct-F. Grain: a training step. Key: step."""

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs import training
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.training.proxy import CURVE


@dataset(
    group="foundation",
    trains=True,
    reads=("inf_instruct_f",),
    settings=lambda s: training.weights_key(s.foundation.loop.proxy, s.foundation.loop.model),
    columns=CURVE,
    kinds=("pytorch", "parquet"),
)
def proxy(step: Step) -> Outcome:
    """The training of the proxy: a small model, fine-tuned on a sample of InfInstruct-F. The next run evaluates it.

    Grain: one training step. Key: step. Off by default (`foundation.loop.proxy.enabled`). The weights go to
    `data/proxy/<hash>`, a hash of the rows and settings. The weights of earlier proxies are removed. The training runs
    in a separate process, after the engines of this process have been closed.
    """
    loop = step.settings.foundation.loop
    rows, section = step.read("inf_instruct_f"), "foundation.loop.proxy"
    return training.fine_tune(step, rows, loop.proxy, loop.model, section=section, base="foundation.loop.model")
