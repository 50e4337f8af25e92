"""Model calls: requests keyed by their content, a store of every answer, and the engines that answer what the store does not hold.

`client.Inference` is what stages use; `batch` makes requests of frames, `checking` holds answers against what was asked,
`budget` and `ledger` say what may be and what was spent. Behind them: `engines`, `responses` (the store), `weights`, and `planning`. Nothing
here imports an engine before a request needs one.
"""
