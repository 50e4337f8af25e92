"""Device and data type (dtype) of models that run in this process."""

import platform


def device() -> str:
    """Return the device for models: `cuda` if there is a GPU, otherwise `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(dtype: str, on: str) -> str:
    """Return the dtype of a model: the one of the settings, but float32 instead of `auto` if bf16 is slow.

    An x86 CPU without bf16 instructions (AVX512-BF16 or AMX) emulates every bf16 operation. With the embedded model in
    vLLM on two cores and 64 concurrent requests, float32 and bf16 give 227 and 89 tokens per second with AVX-512 alone,
    and 176 and 40 with AVX2.
    """
    if dtype == "auto" and on == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        import torch

        capabilities = torch.cpu.get_capabilities()
        # The environment can hide the capabilities of a CPU.
        hidden = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
        if hidden or not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")):
            return "float32"
    return dtype
