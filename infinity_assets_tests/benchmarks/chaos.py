"""What a server that misbehaves costs: the same requests through `Inference.generate` and a response store, from a good server and from a bad one.

    python -m infinity_assets_tests.benchmarks.chaos [--requests 2000] [--concurrency 64] [--latency 0.25]

The bad one fails 20 % of the calls (429, 500, 502, 503, connections reset), stalls 1 % for good and answers garbage to 2 %; both take the same time
for an answer, and are processes of their own. Ends with 1 unless every row is answered or has its class, once, and the answers are the same; of the
times it only says the ratio (0.7 is wanted).
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
from infinity_assets_tests.inference.engines.servers import CLEAN, chaos_apart


class Outcome(NamedTuple):
    """A run."""

    seconds: float
    frame: pl.DataFrame
    """The client's answers."""
    stored: pl.DataFrame
    """The key of every line in the store."""
    fates: Counter[str]
    """What the server did, by kind."""


def questions(number: int) -> list[GenerateRequest]:
    """So many requests, all different."""
    sampling = Sampling(temperature=0.7, max_tokens=128)
    return [
        GenerateRequest(
            f"r{n}", "chaos", "p1", ({"role": "user", "content": f"What is {n} plus {n + 1}?"},), sampling, seed=n
        )
        for n in range(number)
    ]


def ask(requests: list[GenerateRequest], folder: Path, concurrency: int, **settings: Any) -> Outcome:
    """Put the requests to a server with those settings."""
    with chaos_apart(**settings) as (url, fates):
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
    """What must not be: rows that are lost, doubled, stored twice, with another's answer, or with neither an answer nor a class."""
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
    """Run both and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.25)
    said = parser.parse_args()
    requests, wrong = questions(said.requests), []
    outcomes = {}
    print(
        f"{said.requests} requests, at most {said.concurrency} in flight, {said.latency} s each; load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        ask(
            requests[:50], Path(folder) / "warm", said.concurrency, latency=0.0, **CLEAN
        )  # what is imported at first use
        for name, settings in (("clean", CLEAN), ("chaotic", {})):
            outcome = outcomes[name] = ask(
                requests, Path(folder) / name, said.concurrency, latency=said.latency, **settings
            )
            wrong += faults(requests, outcome)
            classes = Counter(outcome.frame["error"].fill_null("answered"))
            duplicates = sum(
                column.len() - column.n_unique() for column in (outcome.frame["row_id"], outcome.stored["key"])
            )
            print(
                f"{name:8} {said.requests / outcome.seconds:6.0f} rows/s  {outcome.seconds:6.1f} s  rows: {dict(classes)}, {duplicates} duplicates"
            )
            print(f"{'':8} calls: {dict(outcome.fates.most_common())}")
    print(f"ratio {outcomes['clean'].seconds / outcomes['chaotic'].seconds:.2f}")
    print("\n".join(wrong) or "every row is answered or has its class, once")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
