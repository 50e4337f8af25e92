"""Errors that a user can do something about: one clear sentence, shown without a traceback."""


class InfinityError(Exception):
    """What went wrong, where (file, row, asset), and what to do about it, in one sentence."""
