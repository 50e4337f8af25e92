"""Number of examples of a property test: a quick profile by default, a thorough one on request.

    HYPOTHESIS_PROFILE=thorough make test

The quick profile draws a quarter of the examples, the same ones in every run, so that a failure is due to the change
under test. The thorough profile draws all of them, new ones in every run.
"""

import os

from hypothesis import settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
FEWEST = 10
"""Least number of examples of a property in the quick profile, unless the thorough one has fewer."""

settings.register_profile("quick", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)


def examples(thorough: int) -> int:
    """Return the number of examples in the profile in force, given the number in the thorough one."""
    return thorough if PROFILE == "thorough" else min(thorough, max(FEWEST, thorough // 4))
