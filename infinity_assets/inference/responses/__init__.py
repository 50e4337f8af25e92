"""The response store: what every model ever answered, on disk."""
