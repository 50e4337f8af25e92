"""Model calls: requests keyed by their content, a store of every answer, and the engines that write missing answers.

Stages call models through `client.Inference`. `batch` builds requests from frames, `checking` validates answers,
`budget` caps spending and `ledger` records it. The client uses `engines`, `responses` (the response store) and
`weights`. An engine is imported only when a request needs it.
"""

import os

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # a thread that waits for other threads sleeps and frees its core
    "GOMP_SPINCOUNT": "1000",  # but first spins for a few microseconds: on an idle machine, the others finish soon
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # a thread moves to another core if its own is busy
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables for PyTorch and vLLM. They control how threads wait on a CPU (measured in docs/engines.md), and
logging. A variable that is already set keeps its value.
"""

# OpenMP reads these variables when PyTorch is loaded, so they must be set before any import of PyTorch.
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
