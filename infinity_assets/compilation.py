"""Compile numba kernels and Python modules before the first run on a machine, which would otherwise wait for them.

    python -m infinity_assets.compilation kernels
    python -m infinity_assets.compilation modules

`kernels` compiles the loops over texts, in half a minute. numba caches them next to the source, or in its own folder if
the source folder is not writable. `modules` imports vLLM and PyTorch, whose thousands of modules Python compiles to
bytecode at their first import. The Makefile does both while the models download. A run that finds no compiled loops
says so and compiles them first.
"""

import importlib
import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent
KERNELS = tuple(sorted(file.relative_to(_PACKAGE).as_posix() for file in _PACKAGE.rglob("*kernels.py")))
"""Paths of the modules with numba loops, relative to the package."""


def is_compiled() -> bool:
    """Return whether the compiled loops of every module in `KERNELS` are newer than its source file."""
    return all(_is_compiled(module) for module in KERNELS)


def _is_compiled(module: str) -> bool:
    source = _PACKAGE / module
    changed = source.stat().st_mtime
    return any(index.stat().st_mtime >= changed for index in _cache_folder(module).glob(f"{source.stem}.*.nbi"))


def _cache_folder(module: str) -> Path:
    """Return the folder in which numba caches the loops of a module."""
    source = _PACKAGE / module
    if "NUMBA_CACHE_DIR" not in os.environ and os.access(source.parent, os.W_OK):
        return source.parent / "__pycache__"
    # numba caches in another folder and only a loaded loop knows its path. Loading takes most of a second.
    name = f"{__package__}.{module.removesuffix('.py').replace('/', '.')}"
    loops = [
        loop
        for loop in vars(importlib.import_module(name)).values()
        if hasattr(loop, "stats") and loop.__module__ == name
    ]
    return Path(loops[0].stats.cache_path)


def compile_kernels() -> None:
    """Compile all numba loops by running them on two made-up rows."""
    import numpy as np
    import polars as pl

    from infinity_assets.decontamination.gate import Gate
    from infinity_assets.dedup.comparing_kernels import join_all, settle
    from infinity_assets.dedup.duplicates import find_duplicates
    from infinity_assets.dedup.fingerprints import fingerprint
    from infinity_assets.rows import schema
    from infinity_assets.rows.ids import add_row_ids
    from infinity_assets.rows.token_hashes import hash_tokens, to_nfkc
    from infinity_assets.selection.dsir.weights import count, fit, weigh
    from infinity_assets.selection.kernels import passes
    from infinity_assets.settings import Decontamination, Dedup
    from infinity_assets.settings.foundation import Dsir

    dedup, dsir = Dedup(), Dsir()
    prompts = [
        f"The {word} question: when does the river freeze, and why does the ice begin at its banks?"
        for word in ("first", "second")
    ]
    turns = [[{"role": "user", "content": prompt}, {"role": "assistant", "content": prompt}] for prompt in prompts]
    rows = pl.DataFrame(
        {
            "messages": pl.Series(turns, dtype=schema.MESSAGES), "source": "made_up", "file": "none",
            "position": [0, 1], "kind": "conversation", "licence": "MIT", "domain": "chat", "language": "en",
        }
    )  # fmt: skip
    rows = add_row_ids(rows)
    prints = fingerprint(rows, dedup.near)
    sources = {name: prints.with_columns(source=pl.lit(name)).lazy() for name in ("one", "other")}
    before = find_duplicates({"one": sources["one"]}, dedup)
    find_duplicates(sources, dedup, before=before, added=["other"])
    leader = np.arange(2, dtype=np.int32)
    join_all(leader, np.zeros(1, np.int64), np.ones(1, np.int64))
    settle(leader)
    items = pl.DataFrame(
        {"item_id": ["made_up#0"], "benchmark": ["made_up"], "prompt": prompts[:1], "answer": ["A winter."]}
    )
    Gate(items, Decontamination(), ["The quick brown fox jumps over the lazy dog."]).hits(rows)
    texts = pl.Series(prompts)
    hash_tokens(texts)
    to_nfkc(texts)
    counts = count(texts, dsir)
    weigh(texts, fit(counts, counts, dsir), dsir)
    passes(np.array([0, 1], np.int64), np.zeros(1, np.int32), 1, 1)


def import_modules() -> None:
    """Import the modules that a run needs, so that Python caches their bytecode."""
    from infinity_assets.inference.engines.vllm_engine import import_vllm

    import_vllm()
    for module in ("sentence_transformers", "infinity_assets.definitions"):
        importlib.import_module(module)


def main() -> None:
    """Compile the parts that the command line names: `kernels`, `modules` or both."""
    wanted = sys.argv[1:]
    if not wanted or not set(wanted) <= {"kernels", "modules"}:
        raise SystemExit(__doc__)
    if "kernels" in wanted and not is_compiled():
        compile_kernels()
    if "modules" in wanted:
        import_modules()


if __name__ == "__main__":
    main()
