"""Assets of the group `ingest`: source folders are read into the pool."""
