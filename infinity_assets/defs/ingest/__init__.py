"""Ingestion of source folders into the pool."""
