"""Tokens per second of a stage, compared with the bare engine on the same requests in one batch.

    python -m infinity_assets_tests.benchmarks.throughput --requests 2000 --max-tokens 64

Both run one after the other, each in a process of its own, with the embedded model (INFINITY_MODELS) or `--model`. The
bare engine is `LLM.generate` with the same arguments, prompts and sampling; ours is `Inference.generate` with a
response store on disk. The time to open the engine is reported separately. The requests are about synthetic subjects
and all different; half of them share the start of a prompt.
"""

import json
import sys
import tempfile
import time
from argparse import SUPPRESS
from pathlib import Path
from typing import Any

from infinity_assets import prompts
from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.locations import models_dir
from infinity_assets.settings.models import EMBEDDED_MODEL, ModelSpec
from infinity_assets_tests.benchmarks.measuring import child, figures_of, made_up_requests, parser, print_figures


def requests(count: int, max_tokens: int) -> list[GenerateRequest]:
    """Return made-up requests; half of them follow the same two examples."""
    examples = "\n\n".join(turn.fill({"request": "Name it."}) for turn in prompts.load("evolve_deepen", "en").turns)
    return made_up_requests(count, max_tokens, before=examples)


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
    read, written = (float(frame[name].sum()) for name in ("prompt_tokens", "completion_tokens"))
    return figures_of(opened - began, cold, read, written) | {"replayed": warm}


def main() -> None:
    """Run both, and print their ratio."""
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    arguments.add_argument("--max-tokens", type=int, default=64)
    arguments.add_argument("--model", default=EMBEDDED_MODEL, help="a fetched model, or a folder")
    arguments.add_argument("--only", choices=("bare", "ours"), help=SUPPRESS)
    options = arguments.parse_args()
    if options.only:
        run = {"bare": bare, "ours": ours}[options.only]
        print(json.dumps(run(ModelSpec(model=options.model), requests(options.requests, options.max_tokens))))
        return
    found = {}
    for name in ("bare", "ours"):
        found[name] = child(*sys.argv[1:], "--only", name)
        print_figures(name, found[name])
    print(f"ours / bare: {found['ours']['per_second'] / found['bare']['per_second']:.3f}")
    replayed, cold = found["ours"]["replayed"], found["ours"]["seconds"]
    print(f"replayed from the store in {replayed:.2f} s, {replayed / cold:.2%} of its cold time")


if __name__ == "__main__":
    main()
