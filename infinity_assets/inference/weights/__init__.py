"""Weights of models on disk, their download, and token counts without loading a model."""
