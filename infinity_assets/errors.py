"""Errors that a user can fix, shown as one sentence without a traceback."""


class InfinityError(Exception):
    """An error that the user can fix. The message names the problem, its place (file, row, asset) and the remedy."""
