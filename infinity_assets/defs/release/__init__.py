"""The released files."""
