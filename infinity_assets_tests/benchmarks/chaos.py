"""Cost of a misbehaving server: the same requests through `Inference.generate` to a good and to a bad server.

    python -m infinity_assets_tests.benchmarks.chaos [--requests 2000] [--concurrency 64] [--latency 0.25]

The bad server fails 20 % of the calls (429, 500, 502, 503, reset connections), stalls 1 % forever and answers 2 % with
garbage. Both servers are separate processes and take the same time for an answer. The exit status is 1 unless every row
has one answer or one error class, and the answers are equal. Of the times only the ratio is printed (target: 0.7).
"""

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
from infinity_assets_tests.benchmarks.measuring import load, parser
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
    asked = [({"role": "user", "content": f"What is {n} plus {n + 1}?"},) for n in range(number)]
    return [GenerateRequest(f"r{n}", "chaos", "p1", turns, sampling, seed=n) for n, turns in enumerate(asked)]


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
        stored = pl.concat([pl.read_parquet(path, columns=["key"]) for path in segments])
        return Outcome(seconds, frame, stored, fates())


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
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    arguments.add_argument("--concurrency", type=int, default=64)
    arguments.add_argument("--latency", type=float, default=0.25)
    options = arguments.parse_args()
    requests, outcomes, wrong = questions(options.requests), {}, []
    limits = f"at most {options.concurrency} in flight, {options.latency} s each"
    print(f"{options.requests} requests, {limits}; load {load():.1f}")
    with tempfile.TemporaryDirectory() as folder:
        ask(requests[:50], Path(folder) / "warm", options.concurrency, latency=0.0, **CLEAN)  # imports at first use
        for name, settings in (("clean", CLEAN), ("chaotic", {})):
            settings = {"latency": options.latency, **settings}
            outcome = outcomes[name] = ask(requests, Path(folder) / name, options.concurrency, **settings)
            wrong += faults(requests, outcome)
            rows, keys = outcome.frame["row_id"], outcome.stored["key"]
            classes = dict(Counter(outcome.frame["error"].fill_null("answered")))
            duplicates = rows.len() - rows.n_unique() + keys.len() - keys.n_unique()
            print(f"{name:8} {options.requests / outcome.seconds:6.0f} rows/s  {outcome.seconds:6.1f} s", end="  ")
            print(f"rows: {classes}, {duplicates} duplicates")
            print(f"{'':8} calls: {dict(outcome.fates.most_common())}")
    print(f"ratio {outcomes['clean'].seconds / outcomes['chaotic'].seconds:.2f}")
    print("\n".join(wrong) or "every row has one answer or one error class")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
