"""Cost of a misbehaving server: the same requests through `Inference.generate` to a good and to a bad server.

    python -m infinity_assets_tests.benchmarks.chaos [--requests 2000] [--concurrency 64] [--latency 0.25]

The bad server fails 20 % of the calls (429, 500, 502, 503, reset connections), stalls 1 % forever and answers 2 % with
garbage. Both servers are separate processes and take the same time for an answer. The exit status is 1 unless every row
has one answer or one error class, and the answers are equal. Of the times only the ratio is printed (target: 0.7).
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.engines.servers import CLEAN, start_chaos


class Outcome(NamedTuple):
    """The outcome of a run."""

    seconds: float
    frame: pl.DataFrame
    """The client's answers."""
    stored: pl.DataFrame
    """The keys of all lines in the response store."""
    fates: Counter[str]
    """Number of the server's reactions, by kind."""


def questions(number: int) -> list[GenerateRequest]:
    """Return distinct requests."""
    sampling = Sampling(temperature=0.7, max_tokens=128)
    return [
        GenerateRequest(
            f"r{n}", "chaos", "p1", ({"role": "user", "content": f"What is {n} plus {n + 1}?"},), sampling, seed=n
        )
        for n in range(number)
    ]


def ask(requests: list[GenerateRequest], folder: Path, concurrency: int, **settings: Any) -> Outcome:
    """Send requests to a server with the given settings."""
    with start_chaos(**settings) as (url, fates):
        spec = ModelSpec(backend="openai", model="m", base_url=url, concurrency=concurrency)
        inference = Inference(ResponseStore(folder), EnginePool(folder / "models"))
        began = time.monotonic()
        frame = inference.generate(spec, requests, "chaos").frame
        seconds = time.monotonic() - began
        inference.release()
        segments = [path for path in folder.rglob("*.parquet") if not path.name.startswith(".")]
        return Outcome(
            seconds, frame, pl.concat([pl.read_parquet(path, columns=["key"]) for path in segments]), fates()
        )


def faults(requests: list[GenerateRequest], outcome: Outcome) -> list[str]:
    """Return the errors: rows that are lost, doubled or stored twice, have a wrong answer, or no answer and no class."""
    frame, found = outcome.frame, []
    if frame["row_id"].to_list() != [request.row_id for request in requests]:
        found.append("the rows are not those asked for")
    if outcome.stored["key"].is_duplicated().any():
        found.append("a key is stored twice")
    expected = {request.row_id: request.messages[-1]["content"] for request in requests}
    for row_id, text, error in frame.select("row_id", "text", "error").iter_rows():
        if error is None and text != expected[row_id]:
            found.append(f"{row_id} has {text!r}")
    return found


def main() -> int:
    """Run both servers and print the outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.25)
    options = parser.parse_args()
    requests, wrong = questions(options.requests), []
    outcomes = {}
    print(
        f"{options.requests} requests, at most {options.concurrency} in flight, {options.latency} s each; load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        ask(requests[:50], Path(folder) / "warm", options.concurrency, latency=0.0, **CLEAN)  # imports at first use
        for name, settings in (("clean", CLEAN), ("chaotic", {})):
            outcome = outcomes[name] = ask(
                requests, Path(folder) / name, options.concurrency, latency=options.latency, **settings
            )
            wrong += faults(requests, outcome)
            classes = Counter(outcome.frame["error"].fill_null("answered"))
            duplicates = sum(
                column.len() - column.n_unique() for column in (outcome.frame["row_id"], outcome.stored["key"])
            )
            print(
                f"{name:8} {options.requests / outcome.seconds:6.0f} rows/s  {outcome.seconds:6.1f} s  rows: {dict(classes)}, {duplicates} duplicates"
            )
            print(f"{'':8} calls: {dict(outcome.fates.most_common())}")
    print(f"ratio {outcomes['clean'].seconds / outcomes['chaotic'].seconds:.2f}")
    print("\n".join(wrong) or "every row has one answer or one error class")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
