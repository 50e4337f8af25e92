"""How an asset trains a model (`infinity_assets.training`): what `proxy` and `tuned` have in common."""

import shutil
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.models import local_path
from infinity_assets.progress import reporter
from infinity_assets.report import charts
from infinity_assets.settings.foundation import Proxy
from infinity_assets.settings.models import ModelSpec
from infinity_assets.training import proxy as training

MEANING = {
    "step": "number of the step",
    "loss": "mean loss of its answer tokens before the step, in nats",
    "learning_rate": "of the step",
    "tokens": "answer tokens of its rows",
}
"""The columns of `training.CURVE`, which is what such an asset holds."""

_WEIGHTS = "weights"
"""The measure that says where the weights lie, in the data folder."""


def decides(settings: Proxy, model: ModelSpec) -> tuple[str, ...]:
    """What of the settings the weights depend on."""
    return (settings.training, model.identity) if settings.enabled else ("off",)


def trained(step: Step, rows: pl.LazyFrame, settings: Proxy, model: ModelSpec, *, section: str, base: str) -> Outcome:
    """A model fine-tuned on a sample of rows, in a process of its own, after the engines of this one have been closed.

    The weights lie in `data/<asset>/<hash>`, named after the rows and settings that they follow from; those made before are removed.

    Args:
        step: Of the asset.
        rows: row_id, messages.
        settings: How it is trained; nothing is made unless `enabled`.
        model: What it is made from.
        section: Where `settings` stand, for the page.
        base: Where `model` stands.

    Raises:
        InfinityError: The model is on a server, or the training failed.
    """
    sample = training.sampled(rows, settings) if settings.enabled else None
    if sample is None or sample.is_empty():
        why = f"off: {section}.enabled is false" if sample is None else "there is no row to train on"
        return Outcome(pl.DataFrame(schema=training.CURVE), measures={"training": why})
    if model.backend == "openai":
        raise InfinityError(f"`{step.asset}` is made from `{base}`, whose weights must be here, not on a server.")
    folder = step.lake.data / step.asset / training.name(sample, settings, model.identity)
    step.inference().release()

    def advance(done: int, total: int, note: str) -> None:
        reporter().advance(done, total, "training steps", note)

    made = training.train(sample, settings, local_path(model, step.models.engines.folder), folder, advance)
    for other in folder.parent.iterdir():
        if other != folder and not other.name.startswith("."):  # one that begins with a dot is being written
            shutil.rmtree(other)
    losses = made.curve["loss"]
    return Outcome(
        made.curve,
        artefacts=sorted(file for file in folder.iterdir() if file.is_file()),
        measures={
            _WEIGHTS: folder.relative_to(step.lake.data).as_posix(),
            "rows": made.rows,
            "rows without an answer in the window": made.left_out,
            "answer tokens": int(made.curve["tokens"].sum()),
            "first loss": losses[0],
            "last loss": losses[-1],
        },
        charts={"loss": charts.line(losses, "loss")},
    )


def weights_of(lake: Lake, asset: str) -> Path | None:
    """The folder of the weights that an asset trained last, if there are any."""
    made = lake.manifest(asset)
    weights = made.measures.get(_WEIGHTS) if made else None
    folder = lake.data / str(weights)
    return folder.resolve() if weights and (folder / "config.json").is_file() else None


def tuned_model(model: ModelSpec, weights: Path) -> ModelSpec:
    """The model with weights that were trained from its own."""
    return model.model_copy(update={"model": str(weights), "revision": weights.name})
