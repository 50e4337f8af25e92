import platform

import pytest

from infinity_assets.inference.engines.hardware import precision

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("dtype", "on", "machine", "capability", "able", "expected"),
    [
        ("auto", "cpu", "x86_64", "AVX2", {}, "float32"),
        ("auto", "cpu", "AMD64", "DEFAULT", {}, "float32"),
        ("auto", "cpu", "x86_64", "AVX512", {"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ("auto", "cpu", "x86_64", "AVX512", {"avx512_bf16": True}, "auto"),
        ("auto", "cpu", "x86_64", "AVX512", {"amx_bf16": True}, "auto"),
        ("auto", "cpu", "x86_64", "AVX2", {"avx512_bf16": True}, "float32"),
        ("auto", "cpu", "aarch64", "DEFAULT", {}, "auto"),
        ("auto", "cuda", "x86_64", "AVX2", {}, "auto"),
        ("bfloat16", "cpu", "x86_64", "AVX2", {}, "bfloat16"),
    ],
)
def test_auto_avoids_bf16_if_the_cpu_does_not_support_it(
    dtype: str,
    on: str,
    machine: str,
    capability: str,
    able: dict[str, bool],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert precision(dtype, on) == expected
