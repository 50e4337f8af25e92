"""Model calls: requests keyed by their content, a store of every answer, and the engines that write missing answers.

Stages use `client.Inference`. `batch` builds requests from frames, `checking` validates answers, `budget` caps spending
and `ledger` records it. Below them lie `engines`, `responses` (the response store) and `weights`. No module imports an
engine before a request needs one.
"""

import os

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # a thread that waits for the others sleeps and frees its core
    "GOMP_SPINCOUNT": "1000",  # but spins for a few microseconds first: on an idle machine the others arrive soon
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # a thread moves to another core if its own is busy
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables of PyTorch and vLLM for thread waiting on a CPU (measured in docs/engines.md) and logging.
A variable that is already set keeps its value.
"""

# OpenMP reads these variables when PyTorch is loaded, and every import of PyTorch comes after this one.
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
