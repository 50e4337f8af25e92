"""The response store: every model answer, on disk."""
