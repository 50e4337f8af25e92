"""Throughput of every way to run a model, on an idle and a busy machine, by the waiting policy of the engine's threads.

    python -m infinity_assets_tests.benchmarks.sharing
    python -m infinity_assets_tests.benchmarks.sharing --ways vllm --settings before shipped --busy 0 2 --without-avx512

Every figure comes from a process of its own, with the embedded models (INFINITY_MODELS). Busy loops stand in for other
work: each keeps one core busy during the measurement. With `--without-avx512`, PyTorch and oneDNN use the instructions
of a CPU with AVX2 only; vLLM still loads its kernels for AVX-512, so a real machine of that kind may differ.

Ways: `vllm` answers 64 requests of 48 tokens in one batch, in the type that `dtype: auto` chooses on this machine,
`vllm_float32` and `vllm_bfloat16` in these types; `vllm_single` answers 6 of them one after the other, `vllm_long`
reads 24 prompts of about 1,000 tokens, `served` sends the 64 requests to `vllm serve` over HTTP, `transformers` answers
32 of them, and `embedder` embeds 256 texts of about 60 words.
"""

import json
import subprocess
import sys
import tempfile
from argparse import SUPPRESS
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.inference.weights.models import local_path
from infinity_assets.locations import models_dir
from infinity_assets.settings.models import EmbedderSpec, ModelSpec
from infinity_assets_tests.benchmarks.measuring import Watch, child, load, made_up_requests, made_up_text, parser

SETTINGS: dict[str, dict[str, str]] = {
    "before": {"VLLM_CPU_OMP_THREADS_BIND": "auto", "OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "undefined"},
    "nobind": {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "undefined"},
    "one_thread": {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "undefined", "OMP_NUM_THREADS": "1",
    },
    "never_spin": {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
    "shipped": {},
}  # fmt: skip
"""Environments by name. An invalid GOMP_SPINCOUNT leaves libgomp's default; `shipped` is the package's own setting."""

NO_AVX512 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def measure_vllm(
    requests: int = 64,
    at_once: int = 64,
    tokens: int = 48,
    words: int = 20,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
) -> dict[str, float]:
    """Answer requests in vLLM in this process. The rate counts written tokens, or read tokens for long prompts."""
    from infinity_assets.inference.engines.vllm_engine import VllmEngine

    watch = Watch()
    engine = VllmEngine(ModelSpec(dtype=dtype), local_path(ModelSpec(), models_dir()))
    return _measure(engine, watch.lap(), made_up_requests(requests, tokens, words), at_once, read=tokens == 1)


def measure_transformers() -> dict[str, float]:
    """Answer requests in transformers in this process."""
    from infinity_assets.inference.engines.transformers_engine import TransformersEngine

    watch = Watch()
    engine = TransformersEngine(ModelSpec(backend="transformers"), local_path(ModelSpec(), models_dir()))
    return _measure(engine, watch.lap(), made_up_requests(32, 48, 20))


def measure_served() -> dict[str, float]:
    """Ask `vllm serve` over HTTP."""
    from infinity_assets.inference.engines.openai_engine import OpenAIEngine
    from infinity_assets_tests.inference.engines.served import vllm_serve

    watch, weights = Watch(), local_path(ModelSpec(), models_dir())
    with tempfile.TemporaryDirectory() as folder, vllm_serve(weights, log=Path(folder) / "log") as url:
        opening = watch.lap()
        engine = OpenAIEngine(ModelSpec(backend="openai", model="m", base_url=url, concurrency=64))
        return _measure(engine, opening, made_up_requests(64, 48, 20))


def _measure(
    engine: Any, opening: float, requests: list[GenerateRequest], at_once: int = 64, read: bool = False
) -> dict[str, float]:
    """Answer requests after two to warm up, and return written (or read) tokens per second."""
    list(engine.run(made_up_requests(2, 4, 20)))
    watch, batches = Watch(), range(0, len(requests), at_once)
    answers = [answer for first in batches for _, answer in engine.run(requests[first : first + at_once])]
    counted = sum(answer.prompt_tokens if read else answer.completion_tokens for answer in answers)
    return {"rate": counted / watch.lap(), "opening": opening}


def measure_embedder(texts: int = 256) -> dict[str, float]:
    """Embed texts."""
    from infinity_assets.inference.engines.pool import open_embedder

    watch = Watch()
    embedder = open_embedder(EmbedderSpec(), models_dir())
    opening = watch.lap()
    embedder.encode(["warm up"])
    watch.lap()
    embedder.encode([made_up_text(number, 60) for number in range(texts)])
    return {"rate": texts / watch.lap(), "opening": opening}


WAYS: dict[str, tuple[str, Callable[[], dict[str, float]]]] = {
    "vllm": ("tokens/s", measure_vllm),
    "vllm_float32": ("tokens/s", lambda: measure_vllm(dtype="float32")),
    "vllm_bfloat16": ("tokens/s", lambda: measure_vllm(dtype="bfloat16")),
    "vllm_single": ("tokens/s", lambda: measure_vllm(requests=6, at_once=1)),
    "vllm_long": ("prompt tokens/s", lambda: measure_vllm(requests=24, tokens=1, words=700)),
    "served": ("tokens/s", measure_served),
    "transformers": ("tokens/s", measure_transformers),
    "embedder": ("texts/s", measure_embedder),
}


@contextmanager
def other_work(loops: int) -> Iterator[None]:
    """Keep a number of cores busy during a block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Print a line per way, environment and load."""
    arguments = parser(__doc__)
    arguments.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments.add_argument("--busy", nargs="+", type=int, default=[0, 2], help="busy loops beside the measurement")
    arguments.add_argument("--without-avx512", action="store_true", help="hide AVX-512 from PyTorch and oneDNN")
    arguments.add_argument("--child", help=SUPPRESS)
    options = arguments.parse_args()
    if options.child:
        print(json.dumps(WAYS[options.child][1]()))
        return
    print(f"{'way':<14}{'environment':<12}{'busy loops':>10}{'load':>7}{'rate':>10}  {'unit':<16}{'opened in':>9}")
    for way in options.ways:
        for name in options.settings:
            for loops in options.busy:
                environment = {**SETTINGS[name], **(NO_AVX512 if options.without_avx512 else {})}
                with other_work(loops):
                    found = child("--child", way, environment=environment)
                rate, opening = f"{found['rate']:>10.1f}  {WAYS[way][0]:<16}", f"{found['opening']:>7.1f} s"
                print(f"{way:<14}{name:<12}{loops:>10}{load():>7.1f}{rate}{opening}", flush=True)


if __name__ == "__main__":
    main()
