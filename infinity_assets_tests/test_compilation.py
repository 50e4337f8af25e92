"""The compiled loops: their modules, and the conditions for compiling them again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infinity_assets import compilation
from infinity_assets.compilation import KERNELS, is_compiled


def test_every_module_with_compiled_loops_is_listed() -> None:
    package = Path(compilation.__file__).parent
    modules = {
        str(file.relative_to(package)) for file in package.rglob("*.py") if "@njit" in file.read_text(encoding="utf-8")
    }
    assert modules == set(KERNELS)


def test_loops_are_compiled_again_when_their_module_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(compilation.__file__).parent
    monkeypatch.setattr(compilation, "_PACKAGE", tmp_path)
    for module in KERNELS:
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / module, tmp_path / module)
    assert not is_compiled()
    for module in KERNELS:
        cache = (tmp_path / module).parent / "__pycache__"
        cache.mkdir(exist_ok=True)
        (cache / f"{Path(module).stem}.loop-1.py311.nbi").touch()
    assert is_compiled()
    changed = tmp_path / KERNELS[2]
    os.utime(changed, (changed.stat().st_atime, changed.stat().st_mtime + 9e6))
    assert not is_compiled()


ONE = "selection/kernels.py"
CODE = f"""
import numpy as np
from infinity_assets import compilation
from infinity_assets.selection.kernels import passes
compilation.KERNELS = ("{ONE}",)
print(compilation.is_compiled())
passes(np.array([0, 1], np.int64), np.zeros(1, np.int32), 1, 1)
print(compilation.is_compiled())
"""


def test_loops_in_another_cache_folder_are_found(tmp_path: Path) -> None:
    """Numba uses NUMBA_CACHE_DIR, or its own folder if the source folder is not writable."""
    for expected in (["False", "True"], ["True", "True"]):
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == expected
