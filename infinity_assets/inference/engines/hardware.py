"""Where models run in this process, and in what numbers."""

import platform


def device() -> str:
    """Where models run: on the GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(dtype: str, on: str) -> str:
    """Return the numbers that a model computes with: what the settings ask for, and for `auto` what suits the machine.

    An x86 CPU without instructions for bf16 (AVX512-BF16 or AMX) puts every bf16 operation together from others: there `auto` is float32. The
    embedded model in vLLM on two cores, 64 requests at a time: 227 tokens a second with AVX-512 alone, in bf16 89; 176 and 40 with AVX2.

    Args:
        dtype: Of the settings.
        on: `cpu`, or another device.
    """
    if dtype == "auto" and on == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        import torch

        able = torch.cpu.get_capabilities()
        hidden = torch.backends.cpu.get_cpu_capability() in (
            "DEFAULT",
            "AVX2",
        )  # by the environment, if the CPU has more
        if hidden or not (able.get("avx512_bf16") or able.get("amx_bf16")):
            return "float32"
    return dtype
