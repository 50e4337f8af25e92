"""Tokens per second of the whole chat phase, compared with the bare engine on the same requests and batches.

    INFINITY_CHAT__SEEDS__MAX_SEEDS=500 infinity run --until inf_instruct_f
    INFINITY_CHAT__SEEDS__MAX_SEEDS=500 python -m infinity_assets_tests.benchmarks.synthesis --data data

DATA is a data folder with a lake up to `inf_instruct_f`, which is not changed. Both run one after the other, each in a
process of its own. Ours makes all assets of the phase after the seeds, including judge, students and embedder, with an
empty response store. The bare engine is `LLM.generate` on the requests of ours, batch by batch, because a batch depends
on the answers of the batch before. The time to open engines is reported separately. The ratio is that of tokens per
second, counting the prompts and answers of all calls.
"""

import json
import pickle
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.inference.requests import Request, Response
from infinity_assets_tests.benchmarks.measuring import child, figures_of, parser, print_figures


def ours(data: Path, batches: Path, folder: Path) -> dict[str, float]:
    """Make the assets in a new lake, and write their requests to a file."""
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.defs.materialize import materialize
    from infinity_assets.defs.registry import needed_by
    from infinity_assets.inference.engines.pool import EnginePool, open_embedder, open_engine
    from infinity_assets.inference.models import Models
    from infinity_assets.locations import models_dir
    from infinity_assets.reading.pool import Pool
    from infinity_assets.runs.plan_sandbox import mirror_of

    opening, working, asked = [0.0], defaultdict[str, float](float), []

    def timed(opener: Callable[..., Any]) -> Callable[..., Any]:
        def open_it(*arguments: Any) -> Any:
            began = time.monotonic()
            engine = opener(*arguments)
            opening[0] += time.monotonic() - began
            if opener is open_embedder:
                return Timed(engine, working)
            return Remembering(engine, arguments[0], asked, working)

        return open_it

    models = Models(EnginePool(models_dir(), timed(open_engine), timed(open_embedder)))
    calls = []
    lake = mirror_of(Lake(data), folder, ())
    chat = [r for r in needed_by(None) if r.group == "chat" and r.asset not in ("tag_vocabulary", "seed_selected")]
    seeds = lake.scan("seed_selected").select(pl.len()).collect().item()
    began = time.monotonic()
    for registered in chat:
        asset, names = registered.asset, registered.partition_names(())
        started, before, worked = time.monotonic(), opening[0], working.copy()
        list(materialize(registered, lake, Pool.load(data), models, names, "benchmark", force=True))
        took = time.monotonic() - started - (opening[0] - before)
        tables = [pl.read_parquet(file) for file in (lake.catalog / "generations" / asset).rglob("*.parquet")]
        calls += tables
        rows = lake.scan(asset).select(pl.len()).collect().item()
        made = sum(table.filter(~pl.col("cached")).height for table in tables)
        engine, embedder = (working[part] - worked[part] for part in ("engine", "embedder"))
        inside = f"of these {engine:6.1f} s in the engine, {embedder:5.1f} s in the embedder"
        print(f"  {asset:<18} {rows:>6,} rows {made:>7,} calls {took:8.1f} s, {inside}", file=sys.stderr)
    seconds = time.monotonic() - began - opening[0]
    batches.write_bytes(pickle.dumps(asked))
    fresh = pl.concat(calls).filter(~pl.col("cached"))
    read, written = float(fresh["prompt_tokens"].sum()), float(fresh["completion_tokens"].sum())
    return figures_of(opening[0], seconds, read, written) | {"seeds": seeds}


class Timed:
    """An embedder with a clock."""

    def __init__(self, embedder: Any, working: dict[str, float]):
        self._embedder, self._working = embedder, working

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def encode(self, texts: Sequence[str]) -> Any:
        """Encode texts like the embedder."""
        began = time.monotonic()
        vectors = self._embedder.encode(texts)
        self._working["embedder"] += time.monotonic() - began
        return vectors


class Remembering:
    """An engine with a clock that keeps its requests."""

    def __init__(self, engine: Any, spec: Any, asked: list, working: dict[str, float]):
        self._engine, self._spec, self._asked, self._working = engine, spec, asked, working

    def run(self, requests: Sequence[Request], *admit: Any) -> Generator[tuple[int, Response], None, None]:
        """Do the same as the engine."""
        self._asked.append((self._spec, list(requests)))
        began = time.monotonic()
        for answer in self._engine.run(requests, *admit):
            self._working["engine"] += time.monotonic() - began
            yield answer
            began = time.monotonic()
        self._working["engine"] += time.monotonic() - began

    def close(self) -> None:
        """Do the same as the engine."""
        self._engine.close()


def bare(batches: Path) -> dict[str, float]:
    """Run `LLM.generate` batch by batch."""
    from infinity_assets.inference.engines.vllm_engine import VllmEngine
    from infinity_assets.inference.weights.models import local_path
    from infinity_assets.locations import models_dir

    opened, engine, opening, seconds, read, written = None, None, 0.0, 0.0, 0, 0
    for spec, requests in pickle.loads(batches.read_bytes()):
        if spec != opened:
            began = time.monotonic()
            if engine:
                engine.close()
            engine, opened = VllmEngine(spec, local_path(spec, models_dir())), spec
            opening += time.monotonic() - began
        assert engine
        began = time.monotonic()
        flights: Any = [engine._prepare(position, request) for position, request in enumerate(requests)]
        flights = [flight for flight in flights if not isinstance(flight, Response)]
        prompts = [{"prompt_token_ids": flight.tokens} for flight in flights]
        outputs = engine._llm.generate(prompts, [flight.params for flight in flights], use_tqdm=False)
        seconds += time.monotonic() - began
        written += sum(len(output.outputs[0].token_ids) for output in outputs)
        read += sum(len(flight.tokens) for flight in flights)
    return figures_of(opening, seconds, read, written)


def main() -> None:
    """Run both, and print their ratio."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="a data folder with a lake up to inf_instruct_f")
    arguments.add_argument("--batches", type=Path, help="file for the requests (default: a temporary file)")
    arguments.add_argument("--lake", type=Path, help="an empty folder for lake and answers (default: a temporary one)")
    arguments.add_argument("--only", choices=("bare", "ours"), help=SUPPRESS)
    options = arguments.parse_args()
    if options.only == "bare":
        print(json.dumps(bare(options.batches)))
        return
    if options.only == "ours":
        print(json.dumps(ours(options.data.absolute(), options.batches, options.lake.absolute())))
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        batches, lake = options.batches or Path(folder) / "batches", options.lake or Path(folder) / "lake"
        for name in ("ours", "bare"):
            places = ["--data", str(options.data), "--batches", str(batches), "--lake", str(lake)]
            found[name] = child(*places, "--only", name, quiet=False)
            print_figures(name, found[name])
    ratio = found["ours"]["all_per_second"] / found["bare"]["all_per_second"]
    print(f"{found['ours']['seeds']:,.0f} seeds; ours / bare: {ratio:.3f}")


if __name__ == "__main__":
    main()
