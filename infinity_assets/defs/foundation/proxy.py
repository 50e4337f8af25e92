"""`proxy`: a small model fine-tuned on F, which the next run's `domain_scores` evaluates. Grain: a step of its training. Key: step."""

import shutil

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.errors import InfinityError
from infinity_assets.evaluation import proxy as training
from infinity_assets.foundation_settings import Loop
from infinity_assets.inference.weights.models import local_path
from infinity_assets.progress import reporter
from infinity_assets.report import charts
from infinity_assets.settings import models_dir


def _decides(loop: Loop) -> tuple[str, ...]:
    return (loop.proxy.training, loop.model.identity) if loop.proxy.enabled else ("off",)


@dataset(
    group="foundation",
    reads=("inf_instruct_f",),
    settings=lambda s: _decides(s.foundation.loop),
    columns=training.CURVE,
    meaning={
        "step": "number of the step",
        "loss": "mean loss of its answer tokens before the step, in nats",
        "learning_rate": "of the step",
        "tokens": "answer tokens of its rows",
    },
    kinds=("pytorch", "parquet"),
)
def proxy(step: Step) -> Outcome:
    """A small model, fine-tuned on a sample of F: what the next turn of the loop evaluates. Off by default (`foundation.loop.proxy.enabled`).

    Grain: one step of its training. Key: step. The weights lie in `data/proxy/<hash>`, named after the rows and settings that they follow from;
    those of the proxy before are removed. It is trained in a process of its own, after the engines of this one have been closed.
    """
    loop = step.settings.foundation.loop
    rows = training.sampled(step.read("inf_instruct_f").select("row_id", "messages").collect(), loop.proxy)
    if not loop.proxy.enabled or rows.is_empty():
        why = "off: foundation.loop.proxy.enabled is false" if not loop.proxy.enabled else "F holds no row"
        return Outcome(pl.DataFrame(schema=training.CURVE), measures={"training": why})
    if loop.model.backend == "openai":
        raise InfinityError("The proxy is made from `foundation.loop.model`, whose weights must be here, not on a server.")
    folder = step.lake.data / "proxy" / training.name(rows, loop.proxy, loop.model.identity)
    step.inference().release()

    def advance(done: int, total: int, note: str) -> None:
        reporter().advance(done, total, "training steps", note)

    made = training.train(rows, loop.proxy, local_path(loop.model, models_dir()), folder, advance)
    for other in folder.parent.iterdir():
        if other != folder and not other.name.startswith("."):  # one that begins with a dot is being written
            shutil.rmtree(other)
    losses = made.curve["loss"]
    return Outcome(
        made.curve,
        artefacts=sorted(file for file in folder.iterdir() if file.is_file()),
        measures={
            "weights": folder.relative_to(step.lake.data).as_posix(),
            "rows": made.rows,
            "rows without an answer in the window": made.left_out,
            "answer tokens": int(made.curve["tokens"].sum()),
            "first loss": losses[0],
            "last loss": losses[-1],
        },
        charts={"loss": charts.line(losses, "loss")},
    )
