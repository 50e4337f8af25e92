"""The domains of the recipe."""

from typing import Literal, get_args

Domain = Literal["math", "code", "knowledge", "chat"]
DOMAINS: tuple[str, ...] = get_args(Domain)
