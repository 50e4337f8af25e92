"""Fine-tuning of models by the assets `proxy`, `tuned` and `abilities`."""

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

_WEIGHTS = "weights"
"""Name of the measure with the path of the weights, relative to the data folder."""


def weights_key(settings: Proxy, model: ModelSpec) -> tuple[str, ...]:
    """Return the parts of the settings that the weights depend on."""
    return (settings.training, model.weights_id) if settings.enabled else ("off",)


def fine_tune(step: Step, rows: pl.LazyFrame, settings: Proxy, model: ModelSpec, *, section: str, base: str) -> Outcome:
    """Fine-tune a model on a sample of rows, in a separate process, after closing the engines of this process.

    The weights go to `data/<asset>/<hash>`, a hash of the rows and settings. Earlier weights are removed.

    Args:
        rows: row_id, messages.
        settings: If `enabled` is false, nothing is trained.
        model: The base model.
        section: The name of `settings` in the settings file, for messages.
        base: The name of `model` in the settings file, for messages.

    Returns:
        The training curve, with the weights as artefacts. It is empty if nothing is trained.

    Raises:
        InfinityError: The model is on a server, or the training failed.
    """
    sample = training.draw_sample(rows, settings) if settings.enabled else None
    if sample is None or sample.is_empty():
        why = f"off: {section}.enabled is false" if sample is None else "there is no row to train on"
        return Outcome(pl.DataFrame(schema=training.CURVE), measures={"training": why})
    if model.backend == "openai":
        raise InfinityError(f"`{step.asset}` is trained from `{base}`, whose weights must be here, not on a server.")
    folder, result = train(step, sample, settings, model, step.lake.data / step.asset)
    losses = result.curve["loss"]
    return Outcome(
        result.curve,
        artefacts=sorted(file for file in folder.iterdir() if file.is_file()),
        measures={
            _WEIGHTS: folder.relative_to(step.lake.data).as_posix(),
            "rows": result.rows,
            "rows without an answer in the window": result.left_out,
            "answer tokens": int(result.curve["tokens"].sum()),
            "first loss": losses[0],
            "last loss": losses[-1],
        },
        charts={"loss": charts.line(losses, "loss")},
    )


def train(
    step: Step, rows: pl.DataFrame, settings: Proxy, model: ModelSpec, parent: Path
) -> tuple[Path, training.Trained]:
    """Fine-tune a model in a separate process, after closing the engines of this process.

    Returns:
        The folder of the weights in `parent`, from which all other weights are removed, and the result.

    Raises:
        InfinityError: The training failed.
    """
    folder = parent / training.folder_name(rows, settings, model.weights_id)
    step.inference().release()
    result = training.train(
        rows, settings, local_path(model, step.models.engines.folder), folder,
        lambda done, total, note: reporter().advance(done, total, "training steps", note),
    )  # fmt: skip
    for other in parent.iterdir():
        if other != folder and not other.name.startswith("."):  # the dot marks a folder that is still being written
            shutil.rmtree(other)
    return folder, result


def weights_of(lake: Lake, asset: str) -> Path | None:
    """Return the folder of the weights that an asset trained last, or None if there are none."""
    manifest = lake.manifest(asset)
    weights = manifest.measures.get(_WEIGHTS) if manifest else None
    folder = lake.data / str(weights)
    return folder.resolve() if weights and (folder / "config.json").is_file() else None


def tuned_model(model: ModelSpec, weights: Path) -> ModelSpec:
    """Return a copy of a model's settings with fine-tuned weights."""
    return model.model_copy(update={"model": str(weights), "revision": weights.name})
