"""Tokens per second of a stage, compared with the bare engine on the same requests in one batch.

    python -m infinity_assets_tests.benchmarks.throughput --requests 2000 --max-tokens 64

Both run one after the other, each in a process of its own, with the embedded model (INFINITY_MODELS) or `--model`. The
bare engine is `LLM.generate` with the same arguments, prompts and sampling; ours is `Inference.generate` with a
response store on disk. The time to open the engine is reported separately. The requests are about synthetic subjects
and all different; half of them share the start of a prompt.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infinity_assets import prompts
from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.locations import models_dir
from infinity_assets.settings.models import EMBEDDED_MODEL, ModelSpec, Sampling

SUBJECTS = (
    *("rivers", "bridges", "bees", "clocks", "maps", "bread", "glaciers", "lenses", "harbours"),
    *("violins", "tides", "seeds", "radios", "kites", "fossils", "canals", "mirrors", "looms"),
)
ACTIONS = ["explain", "compare", "describe", "plan", "summarise", "question", "improve", "teach", "measure", "repair"]


def requests(count: int, max_tokens: int) -> list[GenerateRequest]:
    """Return seeded requests of 10 to 50 words; half of them follow the same two examples."""
    drawn = random.Random(0)
    made = []
    for number in range(count):
        words = [drawn.choice(SUBJECTS) for _ in range(drawn.randint(5, 40))]
        text = f"Please {drawn.choice(ACTIONS)} {drawn.choice(SUBJECTS)} ({number}): {' '.join(words)}."
        before = (
            [turn.fill({"request": text}) for turn in prompts.load("evolve_deepen", "en").turns]
            if number % 2
            else [text]
        )
        messages = [{"role": "user", "content": "\n\n".join(before)}]
        made.append(
            GenerateRequest(
                f"row{number}",
                "bench",
                "",
                tuple(messages),
                Sampling(temperature=0.7, max_tokens=max_tokens),
                seed=number,
            )
        )
    return made


def bare(spec: ModelSpec, asked: list[GenerateRequest]) -> dict[str, float]:
    """Run `LLM.generate` on one batch."""
    from vllm import SamplingParams

    from infinity_assets.inference.engines.vllm_engine import VllmEngine
    from infinity_assets.inference.weights.models import local_path

    began = time.monotonic()
    llm = VllmEngine(spec, local_path(spec, models_dir()))._llm
    opened = time.monotonic()
    tokenizer: Any = llm.get_tokenizer()
    texts = [tokenizer.apply_chat_template(list(r.messages), tokenize=False, add_generation_prompt=True) for r in asked]
    tokens: Any = [{"prompt_token_ids": tokenizer.encode(text, add_special_tokens=False)} for text in texts]
    params = [
        SamplingParams(temperature=r.sampling.temperature, max_tokens=r.sampling.max_tokens, seed=r.seed) for r in asked
    ]
    outputs = llm.generate(tokens, params, use_tqdm=False)
    written = sum(len(output.outputs[0].token_ids) for output in outputs)
    read = sum(len(output.prompt_token_ids or ()) for output in outputs)
    return figures_of(opened - began, time.monotonic() - opened, read, written)


def ours(spec: ModelSpec, asked: list[GenerateRequest]) -> dict[str, float]:
    """Run `Inference.generate` with a response store on disk."""
    from infinity_assets.inference.client import Inference
    from infinity_assets.inference.engines.pool import EnginePool
    from infinity_assets.inference.responses.store import ResponseStore

    pool = EnginePool(models_dir())
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with pool.engine(spec):
            opened = time.monotonic()
        frame = Inference(ResponseStore(Path(folder)), pool).generate(spec, asked, "bench").frame
        cold = time.monotonic() - opened
        again = time.monotonic()
        Inference(ResponseStore(Path(folder)), pool).generate(spec, asked, "bench")
        warm = time.monotonic() - again
    assert frame["error"].null_count() == len(asked), frame["error"].value_counts()
    return figures_of(
        opened - began, cold, float(frame["prompt_tokens"].sum()), float(frame["completion_tokens"].sum())
    ) | {"replayed": warm}


def figures_of(opening: float, seconds: float, read: float, written: float) -> dict[str, float]:
    """Return the figures of a run."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "opening": opening,
        "seconds": seconds,
        "prompt": read,
        "completion": written,
        "per_second": written / seconds,
        "GiB": memory,
    }


def main() -> None:
    """Run both, and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="a fetched model, or a folder")
    parser.add_argument("--only", choices=("bare", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        run = {"bare": bare, "ours": ours}[options.only]
        print(json.dumps(run(ModelSpec(model=options.model), requests(options.requests, options.max_tokens))))
        return
    found = {}
    for name in ("bare", "ours"):
        command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--only", name]
        found[name] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
        figures = found[name]
        print(
            f"{name:<5} {figures['completion']:>9,.0f} tokens written, {figures['prompt']:>9,.0f} read in {figures['seconds']:7.1f} s: "
            f"{figures['per_second']:7.1f} tokens/s; opened in {figures['opening']:.1f} s; {figures['GiB']:.1f} GiB",
            flush=True,
        )
    print(f"ours / bare: {found['ours']['per_second'] / found['bare']['per_second']:.3f}")
    replayed, cold = found["ours"]["replayed"], found["ours"]["seconds"]
    print(f"replayed from the store in {replayed:.2f} s, {replayed / cold:.2%} of its cold time")


if __name__ == "__main__":
    main()
