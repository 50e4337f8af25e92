"""Device and number format of models that run in this process."""

import platform


def device() -> str:
    """Return the device of models: `cuda` if there is a GPU, otherwise `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(dtype: str, on: str) -> str:
    """Return the number format of a model: the configured one, with `auto` resolved to suit the machine.

    An x86 CPU without bf16 instructions (AVX512-BF16 or AMX) emulates every bf16 operation, so `auto` becomes float32
    there. For the embedded model in vLLM on two cores, 64 requests at a time, float32 and bf16 give 227 and 89 tokens a
    second with AVX-512 alone, and 176 and 40 with AVX2.

    Args:
        dtype: The `dtype` of the settings.
        on: `cpu`, or another device.
    """
    if dtype == "auto" and on == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        import torch

        capabilities = torch.cpu.get_capabilities()
        # The environment can hide the capabilities of a CPU.
        hidden = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
        if hidden or not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")):
            return "float32"
    return dtype
