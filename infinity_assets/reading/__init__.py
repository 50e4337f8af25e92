"""Readers that turn the files of a source, in any container and layout, into rows."""
