"""Overhead of `Inference.generate` and the response store over HTTP, compared with a bare loop on the same server.

    python -m infinity_assets_tests.benchmarks.throughput_http [--requests 2000] [--concurrency 64] [--models FOLDER]

Starts `vllm serve` with the embedded model and sends the same requests twice: by `--concurrency` plain asyncio workers
with httpx2 alone, and through the engine for servers, the client and a new response store. The server's prefix cache is
cleared in between. Answers have at most 96 tokens and may end earlier. Absolute figures depend on the machine:
quote the ratio of tokens per second (target: 0.95).
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

import httpx2

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.inference.weights.models import fetch
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests.benchmarks.measuring import load, made_up_requests, parser
from infinity_assets_tests.inference.engines.served import vllm_serve


async def bare(url: str, requests: list[GenerateRequest], concurrency: int) -> int:
    """Send requests by a plain loop, and return the number of written tokens."""
    left, tokens = iter(requests), 0
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:

        async def work() -> None:
            nonlocal tokens
            for request in left:
                body = {"model": "m", "messages": request.messages, "seed": request.seed}
                body |= {name: getattr(request.sampling, name) for name in ("temperature", "max_tokens")}
                reply = await client.post(f"{url}/chat/completions", json=body)
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
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    arguments.add_argument("--concurrency", type=int, default=64)
    arguments.add_argument("--models", type=Path, default=Path(os.environ.get("INFINITY_MODELS", "data/models")))
    options = arguments.parse_args()
    requests, rates = made_up_requests(options.requests, 96), {}
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        weights = fetch(ModelSpec(), options.models.absolute())
        with vllm_serve(weights, log=temporary / "log", VLLM_SERVER_DEV_MODE="1") as url:
            ours(url, made_up_requests(32, 96, first=options.requests), options.concurrency, temporary / "warm")
            for name in ("bare", "ours"):
                httpx2.post(url.removesuffix("/v1") + "/reset_prefix_cache", timeout=60).raise_for_status()
                before, began = load(), time.monotonic()
                if name == "bare":
                    tokens = asyncio.run(bare(url, requests, options.concurrency))
                else:
                    tokens = ours(url, requests, options.concurrency, temporary / "store")
                seconds = time.monotonic() - began
                rates[name] = tokens / seconds
                work = f"{tokens} tokens of {options.requests} answers in {seconds:.0f} s"
                print(f"{name:5} {rates[name]:6.0f} tokens/s: {work}; load before {before:.1f}", flush=True)
    print(f"ratio {rates['ours'] / rates['bare']:.3f}")


if __name__ == "__main__":
    main()
