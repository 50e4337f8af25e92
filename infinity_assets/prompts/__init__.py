"""Prompts: one file each, with a name (the file's), a version, what it is for and which variables it takes.

A file is a YAML head between `---` lines and then the turns, each under a `## system` or `## user` heading; `$name` is a variable. The
hash of the whole file is part of the key of every request made with it: a changed prompt asks its own calls again and no others.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

import yaml

_FOLDER = files("infinity_assets.prompts")


@dataclass(frozen=True)
class Prompt:
    """A prompt template."""

    name: str
    version: int
    purpose: str
    variables: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]
    hash: str

    def render(self, **values: str) -> list[dict[str, str]]:
        """The messages, with every variable filled in. A missing or unknown variable is a KeyError."""
        if set(values) != set(self.variables):
            raise KeyError(f"prompt {self.name} takes {sorted(self.variables)}, not {sorted(values)}")
        return [{"role": role, "content": Template(text).substitute(values)} for role, text in self.turns]


@cache
def load(name: str) -> Prompt:
    """The prompt of that name."""
    raw = _FOLDER.joinpath(f"{name}.md").read_text(encoding="utf-8")
    _, head, body = raw.split("---\n", 2)
    meta = yaml.safe_load(head)
    sections = [part.split("\n", 1) for part in f"\n{body}".split("\n## ")[1:]]
    turns = tuple((role.strip(), text.strip()) for role, text in sections)
    digest = hashlib.blake2b(raw.encode(), digest_size=8).hexdigest()
    return Prompt(name, meta["version"], meta["purpose"], tuple(meta.get("variables") or ()), turns, digest)


def names() -> list[str]:
    """The names of all prompts."""
    return sorted(file.name.removesuffix(".md") for file in _FOLDER.iterdir() if file.name.endswith(".md"))
