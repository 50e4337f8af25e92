"""Errors that a user can fix, shown as one sentence without a traceback."""


class InfinityError(Exception):
    """An error whose message says in one sentence the problem, its place (file, row, asset) and the remedy."""
