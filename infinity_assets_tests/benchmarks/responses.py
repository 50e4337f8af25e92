"""Speed and memory of looking up stored answers, speed of storing and merging them, and bytes per answer.

    python -m infinity_assets_tests.benchmarks.responses                    200,000 requests, and their answers stored
    python -m infinity_assets_tests.benchmarks.responses --stored 1000000   the same with a million stored answers
    python -m infinity_assets_tests.benchmarks.responses --loose 4000       the same with 4,000 segments never merged

The benchmark measures `Inference.generate`, including request keys and the ledger, in a process of its own and without
an engine. `peak` is the largest resident set of that process, including requests, answers and libraries; `before` is
its size with the requests, before the call. The texts are synthetic: words with Zipf's frequencies, with a median of
1,500 characters per prompt and 900 per answer, log-normal, as in the pool. Not a test: nothing is asserted.
"""

import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.inference.client import FLUSH_ANSWERS, SEGMENTS, Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, request_key
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.benchmarks.measuring import Watch, parser, peak

SPEC = ModelSpec(model="benchmark")
SAMPLING = Sampling(temperature=0.0)
ASK, ANSWER = 1500, 900
"""Median lengths, in characters."""
PIECES = 20_000


class Texts:
    """Synthetic texts, by number."""

    def __init__(self, median: int, seed: int):
        draw = np.random.default_rng(seed)
        letters = draw.integers(97, 123, (5000, 12)).astype(np.uint8)
        words = [bytes(letters[n, : 2 + n % 9]).decode() for n in range(len(letters))]
        chosen = np.minimum(draw.zipf(1.3, 2_000_000), len(words)) - 1
        self._stream = " ".join([words[n] for n in chosen])
        self._lengths = np.minimum(draw.lognormal(np.log(median), 0.7, PIECES), 20 * median).astype(int)
        self._starts = draw.integers(0, len(self._stream) - 20 * median, 1_000_003)

    def __getitem__(self, number: int) -> str:
        start = int(self._starts[number % len(self._starts)])
        return f"{number} {self._stream[start : start + int(self._lengths[number % PIECES])]}"


def requests(texts: Texts, numbers: range) -> Iterator[GenerateRequest]:
    """Yield one request per number."""
    for number in numbers:
        messages = ({"role": "user", "content": texts[number]},)
        yield GenerateRequest(f"{number:032x}", "answer", "hash", messages, SAMPLING, seed=number)


def fill(root: Path, stored: int, loose: int) -> None:
    """Store answers in flushes like a stage, and print the speed. The last `loose` flushes are not merged."""
    store, asks, answers = ResponseStore(root), Texts(ASK, 0), Texts(ANSWER, 1)
    flushes = list(range(0, stored, FLUSH_ANSWERS))
    appending = merging = longest = 0.0
    characters = 0
    for place, start in enumerate(flushes):
        numbers = range(start, min(start + FLUSH_ANSWERS, stored))
        texts = [answers[number] for number in numbers]
        characters += sum(map(len, texts))
        lines = pl.DataFrame(
            {
                "key": [request_key(SPEC.weights_id, request) for request in requests(asks, numbers)],
                "prompt": "answer",
                "max_tokens": SAMPLING.max_tokens,
                "text": texts,
                "finish_reason": "stop",
                "prompt_tokens": [400 + number % 100 for number in numbers],
                "completion_tokens": [100 + number % 100 for number in numbers],
                "seconds": [1.0 + number % 977 / 1000 for number in numbers],
            },
        )
        watch = Watch()
        store.append("generate", SPEC.weights_id, lines)
        appending += watch.lap()
        if place % 32 == 31 and place < len(flushes) - loose:
            store.compact(SEGMENTS)
            took = watch.lap()
            merging, longest = merging + took, max(longest, took)
    size, segments = store.sizes().select("bytes", "segments").row(0)
    print(
        f"stored     {stored:,} answers of {characters / stored:,.0f} characters in {segments} segments, {size / 2**20:,.0f} MiB, "
        f"{size / stored:,.0f} bytes each; {stored / appending:,.0f} a second appended, flush by flush; "
        f"merging took {merging:.1f} s in all, {longest:.1f} s at most"
    )


def look(root: Path, asked: int, stored: int) -> None:
    """Look up stored answers, and print the duration."""
    asks = Texts(ASK, 0)
    step = stored // asked
    wanted = list(requests(asks, range(0, asked * step, step)))
    inference, before = Inference(ResponseStore(root), EnginePool(Path("nowhere"))), peak()
    began, cpu = time.monotonic(), time.process_time()
    answers = inference.generate(SPEC, wanted, "benchmark")
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    if not (answers.frame["cached"].all() and answers.frame["text"].null_count() == 0):
        raise SystemExit("not all answers were found")
    taken = f"{seconds:.1f} s ({cpu:.1f} s of all cores), {asked / seconds:,.0f} rows/s"
    print(f"looked up  {asked:,} in {taken}; peak {peak():.2f} GiB, before {before:.2f} GiB")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--asked", type=int, default=200_000, help="requests of the stage (default: 200,000)")
    options.add_argument("--stored", type=int, help="answers in the store, asked for at equal distances (default: all)")
    options.add_argument("--loose", type=int, default=0, help="number of last flushes that are not merged (default: 0)")
    options.add_argument("--part", help=SUPPRESS)
    options.add_argument("--root", type=Path, help="keep the store in this folder and reuse it")
    given = options.parse_args()
    stored = max(given.stored or 0, given.asked)
    if given.part:
        fill(given.root, stored, given.loose) if given.part == "fill" else look(given.root, given.asked, stored)
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = given.root or Path(scratch)
        for part in ("fill", "look") if not (root / "generate").exists() else ("look",):
            arguments = {"asked": given.asked, "stored": stored, "loose": given.loose, "root": root, "part": part}
            named = [f"--{name}={value}" for name, value in arguments.items()]
            subprocess.run([sys.executable, "-m", __spec__.name, *named], check=True)


if __name__ == "__main__":
    main()
