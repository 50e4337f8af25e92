"""Model calls: requests keyed by their content, a store of every answer, and the engines that answer what the store does not hold.

`client.Inference` is what stages use. Nothing here imports an engine before a request needs one.
"""
