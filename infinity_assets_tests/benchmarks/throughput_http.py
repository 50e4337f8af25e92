"""Overhead of `Inference.generate` and the response store over HTTP, compared with a bare loop on the same server.

    python -m infinity_assets_tests.benchmarks.throughput_http [--requests 2000] [--concurrency 64] [--models FOLDER]

Starts `vllm serve` with the embedded model and sends the same requests twice: by `--concurrency` plain asyncio workers
with httpx2 alone, and through the engine for servers, the client and a new response store. The server's prefix cache is
cleared in between. Answers have at most 64 to 128 tokens and may end earlier. Absolute figures depend on the machine:
quote the ratio of tokens per second (target: 0.95).
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from pathlib import Path

import httpx2

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.inference.weights.models import fetch
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.engines.served import vllm_serve

THINGS = (
    *("bicycle", "river", "bakery", "telescope", "garden", "library", "bridge", "orchestra"),
    *("market", "lighthouse", "violin", "glacier", "printer", "vineyard", "harbour", "classroom"),
)
TASKS = (
    "Explain to a child how a {0} and a {1} differ.",
    "Write a short advertisement for a {0} that stands beside a {1}, and mention its price: {2} crowns.",
    "A {0} needs {2} hours of work a week and a {1} a third of that. How many hours do both need in a month? Show each step.",
    "Summarise the following note in two sentences.\n\n{3}",
    "Here is what a visitor wrote about our {0}:\n\n{3}\n\nAnswer the visitor politely, and offer a tour of the {1}.",
    "Give five ideas for a story in which a {0}, a {1} and the number {2} are of importance.",
)
NOTE = "On day {2} we walked from the {0} to the {1}; it rained, and we talked about how both had changed since we were young."


def made_up(number: int, seed: int) -> list[GenerateRequest]:
    """Return synthetic requests of 15 to 250 tokens."""
    draw = random.Random(seed)
    requests = []
    for row in range(number):
        first, second = draw.sample(THINGS, 2)
        note = " ".join(NOTE.format(*draw.sample(THINGS, 2), draw.randint(2, 99)) for _ in range(draw.randint(1, 6)))
        text = draw.choice(TASKS).format(first, second, draw.randint(10, 999), note)
        sampling = Sampling(temperature=0.7, max_tokens=draw.choice((64, 96, 128)))
        requests.append(
            GenerateRequest(f"r{seed}-{row}", "bench", "p1", ({"role": "user", "content": text},), sampling, seed=row)
        )
    return requests


async def bare(url: str, requests: list[GenerateRequest], concurrency: int) -> int:
    """Send requests by a plain loop, and return the number of written tokens."""
    left, tokens = iter(requests), 0
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:

        async def work() -> None:
            nonlocal tokens
            for request in left:
                sampling = {
                    "temperature": request.sampling.temperature,
                    "max_tokens": request.sampling.max_tokens,
                    "seed": request.seed,
                }
                reply = await client.post(
                    f"{url}/chat/completions", json={"model": "m", "messages": request.messages, **sampling}
                )
                tokens += reply.raise_for_status().json()["usage"]["completion_tokens"]

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return tokens


def ours(url: str, requests: list[GenerateRequest], concurrency: int, folder: Path) -> int:
    """Send requests through the client, and return the number of written tokens."""
    spec = ModelSpec(backend="openai", model="m", base_url=url, concurrency=concurrency)
    inference = Inference(ResponseStore(folder), EnginePool(folder / "models"))
    frame = inference.generate(spec, requests, "bench").frame
    inference.release()
    lost = frame["error"].drop_nulls().to_list()
    if lost:
        print(f"{len(lost)} requests have no answer: {sorted(set(lost))}")
    return sum(frame["completion_tokens"])


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--models", type=Path, default=Path(os.environ.get("INFINITY_MODELS", "data/models")))
    options = parser.parse_args()
    requests, rates = made_up(options.requests, seed=1), {}
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        weights = fetch(ModelSpec(), options.models.absolute())
        with vllm_serve(weights, log=temporary / "log", VLLM_SERVER_DEV_MODE="1") as url:
            ours(url, made_up(32, seed=0), options.concurrency, temporary / "warm")
            for name in ("bare", "ours"):
                httpx2.post(url.removesuffix("/v1") + "/reset_prefix_cache", timeout=60).raise_for_status()
                load, began = os.getloadavg()[0], time.monotonic()
                if name == "bare":
                    tokens = asyncio.run(bare(url, requests, options.concurrency))
                else:
                    tokens = ours(url, requests, options.concurrency, temporary / "store")
                seconds = time.monotonic() - began
                rates[name] = tokens / seconds
                print(
                    f"{name:5} {rates[name]:6.0f} tokens/s: {tokens} tokens of {options.requests} answers in {seconds:.0f} s; load before {load:.1f}",
                    flush=True,
                )
    print(f"ratio {rates['ours'] / rates['bare']:.3f}")


if __name__ == "__main__":
    main()
