"""A small model, fine-tuned on a sample of rows in a process of its own (`train.py`), to see what the rows teach."""

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
"""A step of a training: mean loss of its answer tokens before the step, in nats, and their number."""

RECORD = "training.json"
"""The curve, in the folder of the weights."""

VERSION = 1
"""Raised where the same rows and settings give other weights."""

_SCRIPT = Path(__file__).with_name("train.py")


class Trained(NamedTuple):
    """A proxy."""

    curve: pl.DataFrame
    """`CURVE`."""
    rows: int
    left_out: int
    """Rows without an answer within `max_tokens`."""


def sampled(rows: pl.DataFrame | pl.LazyFrame, settings: Proxy) -> pl.DataFrame:
    """The rows that it is trained on: a sample by row id, in the order of the lots. Columns row_id, messages."""
    ids = rows.lazy().select("row_id").collect()
    lots = ids.with_columns(draw("proxy", ids["row_id"])).sort("draw", "row_id").head(settings.rows).select("row_id")
    texts = (
        rows.lazy().select("row_id", "messages").join(lots.lazy(), on="row_id", how="semi").collect(engine="streaming")
    )
    return lots.join(texts, on="row_id", maintain_order="left")


def name(rows: pl.DataFrame, settings: Proxy, base: str) -> str:
    """The name of its folder: the hash of what its weights follow from.

    Args:
        rows: The sample: its row ids, which are hashes of what the rows say.
        settings: How it is trained.
        base: Identity of the model that it is made from.
    """
    return digest("\n".join([str(VERSION), base, settings.training, *rows["row_id"]]))[:16]


def train(
    rows: pl.DataFrame,
    settings: Proxy,
    base: Path,
    folder: Path,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Trained:
    """The proxy in a folder, trained if it is not there. The folder appears whole or not at all: a killed training is done again.

    Args:
        rows: What it is trained on: messages.
        settings: How.
        base: Folder with the weights that it is made from.
        folder: Where its own go.
        progress: Told steps done, steps in all, and the loss in words.

    Raises:
        InfinityError: The training failed, or LoRA is asked for and peft is not installed.
    """
    if not (folder / RECORD).is_file():
        if settings.method == "lora" and find_spec("peft") is None:
            raise InfinityError(
                "The proxy's method `lora` needs the package peft: pip install 'infinity-assets[lora]'."
            )
        with new_folder(folder) as out, tempfile.TemporaryDirectory() as scratch:
            record = _run(rows, settings, base, out, Path(scratch), progress)
            (out / RECORD).write_text(json.dumps(record), encoding="utf-8")
    told = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return Trained(pl.DataFrame(told["curve"], schema=CURVE), told["rows"], told["left_out"])


def _run(
    rows: pl.DataFrame, settings: Proxy, base: Path, out: Path, scratch: Path, progress: Callable[[int, int, str], None]
) -> dict:
    job = {"settings": settings.model_dump(), "base": str(base), "out": str(out)}
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    with (scratch / "rows.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(messages) + "\n" for messages in rows["messages"].to_list())
    record: dict = {"rows": 0, "left_out": 0, "curve": []}
    # -P: the folder of the script holds modules of ours, which are none of the names that packages import.
    command = [sys.executable, "-P", str(_SCRIPT), str(scratch)]
    with (
        (scratch / "errors").open("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        try:
            steps = 0
            for line in process.stdout:
                told = json.loads(line)
                if "steps" in told:
                    steps, record["rows"], record["left_out"] = told["steps"], told["rows"], told["left_out"]
                else:
                    record["curve"].append(told)
                    progress(told["step"], steps, f", loss {told['loss']:.3f}")
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            said = errors.read().strip().splitlines() or [f"it ended with status {process.returncode}"]
            raise InfinityError(f"The proxy was not trained: {said[-1]}")
    return record
