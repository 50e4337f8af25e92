"""The proxy: a small model that is fine-tuned on a sample of rows to measure their quality, in a separate process."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import polars as pl

from infinity_assets.durable import new_folder
from infinity_assets.errors import InfinityError
from infinity_assets.rows.ids import digest, draw
from infinity_assets.settings.foundation import Proxy

CURVE = pl.Schema({"step": pl.Int64, "loss": pl.Float64, "learning_rate": pl.Float64, "tokens": pl.Int64})
"""Schema of the training steps: mean loss of the step's answer tokens before its update (nats), and their number."""

RECORD = "training.json"
"""Name of the file with the result of the training, in the folder of the weights."""

VERSION = 1
"""Version of the training code. Increase it if a change gives other weights for the same rows and settings."""

_SCRIPT = Path(__file__).with_name("train.py")


class Trained(NamedTuple):
    """The result of a proxy's training."""

    curve: pl.DataFrame
    """The training steps, of schema `CURVE`."""
    rows: int
    """Number of rows that the proxy was trained on."""
    left_out: int
    """Number of rows that were left out, because `train.encode` returned `None`."""


def draw_sample(rows: pl.DataFrame | pl.LazyFrame, settings: Proxy) -> pl.DataFrame:
    """Draw the training rows by a hash of their row ids, sorted by this hash. Columns: row_id, messages."""
    ids = rows.lazy().select("row_id").collect()
    lots = ids.with_columns(draw("proxy", ids["row_id"])).sort("draw", "row_id").head(settings.rows).select("row_id")
    texts = rows.lazy().select("row_id", "messages").join(lots.lazy(), on="row_id", how="semi")
    return lots.join(texts.collect(engine="streaming"), on="row_id", maintain_order="left")


def folder_name(rows: pl.DataFrame, settings: Proxy, base: str) -> str:
    """Return the name of a proxy's folder: a hash of everything that determines its weights.

    This includes the row ids of the sample, which are hashes of the conversations, and the base model's `weights_id`.
    """
    return digest("\n".join([str(VERSION), base, settings.training, *rows["row_id"]]))[:16]


def train(
    rows: pl.DataFrame,
    settings: Proxy,
    base: Path,
    folder: Path,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Trained:
    """Train a proxy, unless its folder exists. The folder is created last, so an interrupted training is repeated.

    Args:
        rows: Training rows with the column messages.
        base, folder: Folder with the weights of the base model, and folder for the weights of the proxy.
        progress: Called with the number of completed steps, their total, and the loss as text.

    Raises:
        InfinityError: The training failed, or the method is LoRA and peft is not installed.
    """
    if not (folder / RECORD).is_file():
        if settings.method == "lora" and find_spec("peft") is None:
            raise InfinityError(
                "The proxy's method `lora` needs the package peft. Install it: pip install 'infinity-assets[lora]'."
            )
        with new_folder(folder) as out, tempfile.TemporaryDirectory() as scratch:
            record = _run_training(rows, settings, base, out, Path(scratch), progress)
            (out / RECORD).write_text(json.dumps(record), encoding="utf-8")
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return Trained(pl.DataFrame(record["curve"], schema=CURVE), record["rows"], record["left_out"])


def _run_training(
    rows: pl.DataFrame, settings: Proxy, base: Path, out: Path, scratch: Path, progress: Callable[[int, int, str], None]
) -> dict:
    job = {"settings": settings.model_dump(), "base": str(base), "out": str(out)}
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    with (scratch / "rows.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(messages) + "\n" for messages in rows["messages"].to_list())
    record: dict = {"rows": 0, "left_out": 0, "curve": []}
    # -P keeps the script's folder out of sys.path, so that its modules do not shadow those that packages import.
    command = [sys.executable, "-P", str(_SCRIPT), str(scratch)]
    with (
        (scratch / "errors").open("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        try:
            steps = 0
            for line in process.stdout:
                report = json.loads(line)
                if "steps" in report:
                    steps = report.pop("steps")
                    record |= report
                else:
                    record["curve"].append(report)
                    progress(report["step"], steps, f", loss {report['loss']:.3f}")
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            messages = errors.read().strip().splitlines() or [f"the process ended with status {process.returncode}"]
            raise InfinityError(f"The training of the proxy failed: {messages[-1]}")
    return record
