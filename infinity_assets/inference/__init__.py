"""Model calls: requests keyed by their content, a store of every answer, and the engines that answer what the store does not hold.

`client.Inference` is what stages use; `batch` makes requests of frames, `checking` holds answers against what was asked,
`budget` and `ledger` say what may be and what was spent. Behind them: `engines`, `responses` (the store), `weights`, and `planning`. Nothing
here imports an engine before a request needs one.
"""

import os

THREADS = {
    "OMP_WAIT_POLICY": "passive",  # a thread that waits for the others sleeps, and leaves its core to whoever has work
    "GOMP_SPINCOUNT": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # a thread whose core is taken moves to another one
}
"""How the threads of PyTorch and vLLM wait on a CPU: docs/engines.md has what it costs and gains. The environment has precedence."""

# Here, because OpenMP reads them when PyTorch is loaded, and every import of PyTorch comes after this one.
for _name, _value in THREADS.items():
    os.environ.setdefault(_name, _value)
