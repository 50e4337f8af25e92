"""From folders to the pool."""
