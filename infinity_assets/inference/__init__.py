"""Model calls: requests keyed by their content, a store of every answer, and the engines that answer what the store does not hold.

`client.Inference` is what stages use; `batch` makes requests of frames, `checking` holds answers against what was asked,
`budget` and `ledger` say what may be and what was spent. Behind them: `engines`, `responses` (the store), `weights`, and `planning`. Nothing
here imports an engine before a request needs one.
"""

import os

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # a thread that waits for the others sleeps, and leaves its core to whoever has work,
    "GOMP_SPINCOUNT": "1000",  # but looks again for some microseconds first: on a quiet machine they are about to come
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # a thread whose core is taken moves to another one
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables for PyTorch and vLLM: how threads wait on a CPU (docs/engines.md has the measurements), and what is logged.
A variable that is already set keeps its value.
"""

# Here, because OpenMP reads them when PyTorch is loaded, and every import of PyTorch comes after this one.
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
