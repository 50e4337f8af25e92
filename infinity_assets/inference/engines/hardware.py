"""Where models run in this process, and in what numbers."""

import platform


def device() -> str:
    """Where models run: on the GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(dtype: str, on: str) -> str:
    """The numbers that a model computes with: what the settings ask for, and for `auto` what suits the machine.

    On an x86 CPU without AVX-512 every bf16 operation is put together from others: there `auto` is float32. (The embedded model in vLLM on two
    cores of a Zen 3, 64 requests at a time: 176 tokens a second, in bf16 40.)

    Args:
        dtype: Of the settings.
        on: `cpu`, or another device.
    """
    if dtype == "auto" and on == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        import torch

        if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
            return "float32"
    return dtype
