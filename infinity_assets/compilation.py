"""Compiles the numba loops once for a machine, so that the first step of a run that needs them does not wait half a minute for it.

    python -m infinity_assets.compilation

numba keeps what it compiled beside the source, or in its own cache where that folder cannot be written. Installing does this beside the download of
the models; a run does it first, and says so, where nobody has. `vllm` among the arguments also imports vLLM, whose first import is slow for a reason
of the same kind: Python compiles some thousand modules.
"""

import importlib
import sys
import time
from pathlib import Path

_PACKAGE = Path(__file__).parent
KERNELS = (
    "rows/token_kernels.py",
    "dedup/signing_kernels.py",
    "dedup/comparing_kernels.py",
    "decontamination/kernels.py",
    "selection/dsir/kernels.py",
    "selection/selectors/kernels.py",
)
"""The modules with compiled loops."""


def is_compiled() -> bool:
    """Return whether numba holds compiled loops of every module, made after its last change, beside the source."""
    return all(_compiled_since(_PACKAGE / module) for module in KERNELS)


def _compiled_since(source: Path) -> bool:
    changed = source.stat().st_mtime
    return any(index.stat().st_mtime >= changed for index in (source.parent / "__pycache__").glob(f"{source.stem}.*.nbi"))


def compile_kernels() -> None:
    """Compile the loops that a run uses, by running what calls them on a few made-up rows."""
    import numpy as np
    import polars as pl

    from infinity_assets.decontamination.gate import Gate
    from infinity_assets.dedup.comparing_kernels import join_all, settle
    from infinity_assets.dedup.duplicates import find_duplicates
    from infinity_assets.dedup.fingerprints import fingerprint
    from infinity_assets.rows import schema
    from infinity_assets.rows.ids import with_row_ids
    from infinity_assets.rows.token_hashes import compatible, token_hashes
    from infinity_assets.selection.dsir.weights import count, fit, weigh
    from infinity_assets.selection.selectors.kernels import passes
    from infinity_assets.settings import Settings

    settings = Settings(prompts_dir=None)
    prompts = [f"The {word} question: when does the river freeze, and why does the ice begin at its banks?" for word in ("first", "second")]
    turns = [[{"role": "user", "content": prompt}, {"role": "assistant", "content": prompt}] for prompt in prompts]
    rows = pl.DataFrame(
        {
            "messages": pl.Series(turns, dtype=schema.MESSAGES), "source": "made_up", "file": "none", "position": [0, 1],
            "kind": "conversation", "licence": "MIT", "domain": "chat", "language": "en",
        }
    )  # fmt: skip
    rows = with_row_ids(rows)
    prints = fingerprint(rows, settings.dedup.near)
    sources = {name: prints.with_columns(source=pl.lit(name)).lazy() for name in ("one", "other")}
    before = find_duplicates({"one": sources["one"]}, settings.dedup)
    find_duplicates(sources, settings.dedup, before=before, added=["other"])
    leader = np.arange(2, dtype=np.int32)
    join_all(leader, np.zeros(1, np.int64), np.ones(1, np.int64))
    settle(leader)
    items = pl.DataFrame({"item_id": ["made_up#0"], "benchmark": ["made_up"], "prompt": prompts[:1], "answer": ["A winter."]})
    Gate(items, settings.decontamination, ["The quick brown fox jumps over the lazy dog."]).hits(rows)
    texts = pl.Series(prompts)
    token_hashes(texts)
    compatible(texts)
    dsir = settings.foundation.dsir
    counts = count(texts, dsir)
    weigh(texts, fit(counts, counts, dsir), dsir)
    passes(np.array([0, 1], np.int64), np.zeros(1, np.int32), 1, 1)


def main() -> None:
    """Compile what is not compiled, and say how long it took."""
    began = time.monotonic()
    if not is_compiled():
        compile_kernels()
        print(f"compiled the loops over texts for this machine in {time.monotonic() - began:.0f} s", flush=True)
    if "vllm" in sys.argv[1:]:
        from infinity_assets.inference.engines.vllm_engine import import_vllm

        import_vllm()
        for module in ("sentence_transformers", "dagster"):
            importlib.import_module(module)


if __name__ == "__main__":
    main()
