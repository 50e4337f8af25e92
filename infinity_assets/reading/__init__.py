"""Readers: from the files of a source to rows, whatever their container and layout."""
