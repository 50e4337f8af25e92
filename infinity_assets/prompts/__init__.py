"""Prompts: one file for each name and language, `NAME.en.md` and `NAME.zh.md`, with a version, what it is for and what its variables are. What is
asked about labels, which are English, has an English file only.

A file is a YAML head between `---` lines and then the turns, each under a `## system`, `## user` or `## assistant` heading, the last one a
user's; `$name` is a variable, `$$` a dollar sign. Rows in Chinese are asked in Chinese, all others in English. A folder of the user's own
(setting `prompts_dir`) may hold files that take the place of ours. See docs/prompts.md.

The hash of a prompt is that of its version and its turns, and part of the key of every request made with it: a changed prompt asks its own
calls again and no others, and a head may be reworded for nothing.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import yaml

from infinity_assets.errors import InfinityError

Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
CHINESE = r"^(?i:zh)(?:-|$)"
"""BCP 47 tags of Chinese: `zh`, `zh-Hant`, `zh-CN`."""

_OURS = Path(__file__).parent
_SUFFIX = ".md"
_FILE = re.compile(r"---\n(?P<head>.*?\n)---\n(?P<body>.*)", re.DOTALL)
_HEADING = re.compile(r"^## *(.*)$", re.MULTILINE)
_ROLES = ("system", "user", "assistant")
_MARK = "\0"


class Turn(NamedTuple):
    """A turn of a template."""

    role: str
    pieces: tuple[str, ...]
    """Text and names of variables in turn, beginning and ending with text."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The names in it, as often as they are used."""
        return self.pieces[1::2]

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with these values in it, as they are; a variable without one stays as `$name`."""
        return "".join(
            values.get(piece, f"${piece}") if place % 2 else piece for place, piece in enumerate(self.pieces)
        )


@dataclass(frozen=True)
class Prompt:
    """A prompt in one language."""

    name: str
    language: Language
    version: int
    purpose: str
    variables: Mapping[str, str]
    """What each one is, in a sentence."""
    turns: tuple[Turn, ...]
    hash: str
    file: Path = field(compare=False)

    @property
    def label(self) -> str:
        """Name and language as the file has them, `tag.zh`: how requests and books call it."""
        return f"{self.name}.{self.language}"

    @property
    def examples(self) -> tuple[str, ...]:
        """The answers that it shows."""
        return tuple(turn.filled({}) for turn in self.turns if turn.role == "assistant")


class Bilingual(NamedTuple):
    """A prompt in both languages."""

    en: Prompt
    zh: Prompt

    def of(self, tag: str | None) -> Prompt:
        """The one for a row of that language, a BCP 47 tag."""
        return self.zh if re.match(CHINESE, tag or "") else self.en


def names() -> list[str]:
    """The names of all prompts."""
    return sorted(file.name.removesuffix(f".en{_SUFFIX}") for file in _OURS.glob(f"*.en{_SUFFIX}"))


def load(name: str, language: Language, folder: Path | None = None) -> Prompt:
    """A prompt in one language: the file in `folder` if there is one, else ours.

    Raises:
        InfinityError: There is no prompt of that name in that language, or its file cannot be used.
    """
    if language not in languages(name):
        some = f" in {language}" if languages(name) else ""
        raise InfinityError(f"There is no prompt {name}{some}: `infinity prompts list` shows all.")
    file = f"{name}.{language}{_SUFFIX}"
    ours = _read(_OURS / file)
    if folder is None or not (folder / file).is_file():
        return ours
    theirs = _read(folder / file)
    if set(theirs.variables) != set(ours.variables):
        raise InfinityError(
            f"{theirs.file}: the variables of this prompt are {_listed(ours.variables)}, not {_listed(theirs.variables)}."
        )
    return theirs


def languages(name: str) -> tuple[Language, ...]:
    """The languages that a prompt is in."""
    return tuple(language for language in LANGUAGES if (_OURS / f"{name}.{language}{_SUFFIX}").is_file())


def both(name: str, folder: Path | None = None) -> Bilingual:
    """A prompt in both languages, of which either may be a file in `folder`; twice the same where there is English only."""
    english = load(name, "en", folder)
    return Bilingual(english, load(name, "zh", folder) if "zh" in languages(name) else english)


def wordings(name: str, folder: Path | None = None) -> tuple[Prompt, ...]:
    """A prompt in every language that it is in."""
    return tuple(load(name, language, folder) for language in languages(name))


def hashes(folder: Path | None, *of: str) -> Iterator[str]:
    """The hashes of these prompts in every language: what of them an asset's result depends on."""
    return (prompt.hash for name in of for prompt in wordings(name, folder))


def check(folder: Path) -> None:
    """Whether a folder of the user's own can be used: every file in it but README.md is one that takes the place of ours.

    Raises:
        InfinityError: It is no folder, or a file in it is no prompt, has another name or other variables.
    """
    if not folder.is_dir():
        raise InfinityError(f"Setting `prompts_dir` names {folder}, which is no folder.")
    ours = {prompt.file.name: prompt for name in names() for prompt in wordings(name)}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.name == "README.md":
            continue
        if file.name not in ours:
            raise InfinityError(
                f"{file} takes the place of no prompt: `infinity prompts list` shows all, and their files end in .en.md and .zh.md."
            )
        if not file.is_file():
            raise InfinityError(f"{file} is no file.")
        load(ours[file.name].name, ours[file.name].language, folder)


def _read(file: Path) -> Prompt:
    try:
        return _parsed(file.read_text(encoding="utf-8-sig"), file)
    except (UnicodeDecodeError, yaml.YAMLError, _FaultyError) as error:
        raise InfinityError(f"{file}: {' '.join(str(error).split())}") from error


class _FaultyError(Exception):
    """Why a text is no prompt."""


@lru_cache(maxsize=256)
def _parsed(raw: str, file: Path) -> Prompt:
    name, language = file.name.removesuffix(_SUFFIX).rsplit(".", 1)
    parts = _FILE.fullmatch(raw)
    if parts is None:
        raise _FaultyError(
            "a prompt begins with a line of ---, then version, purpose and variables in YAML, then a line of ---."
        )
    head = _checked(yaml.safe_load(parts["head"]))
    turns = tuple(_turns(parts["body"]))
    used = {variable for turn in turns for variable in turn.variables}
    if used != set(head["variables"]):
        raise _FaultyError(
            f"its text uses the variables {_listed(used)}, and its head describes {_listed(head['variables'])}."
        )
    decisive = json.dumps([head["version"], [[turn.role, turn.pieces] for turn in turns]])
    digest = hashlib.blake2b(decisive.encode(), digest_size=8).hexdigest()
    assert language in LANGUAGES
    return Prompt(name, language, head["version"], head["purpose"].strip(), head["variables"], turns, digest, file)


def _checked(head: Any) -> dict[str, Any]:
    if not isinstance(head, dict) or set(head) != {"version", "purpose", "variables"}:
        raise _FaultyError("its head has version, purpose and variables, and nothing else.")
    if not isinstance(head["version"], int) or head["version"] < 1:
        raise _FaultyError(f"its version is a whole number from 1, not {head['version']!r}.")
    described = head["variables"]
    if not isinstance(described, dict) or not all(
        isinstance(text, str) and text.strip() for text in (head["purpose"], *described.values())
    ):
        raise _FaultyError("its purpose is a sentence, and its variables are a list of `name: what it is`.")
    return head


def _turns(body: str) -> Iterator[Turn]:
    before, *sections = _HEADING.split(body)
    texts = [text.strip() for text in sections[1::2]]
    roles = [role.strip() for role in sections[::2]]
    if unknown := [role for role in roles if role not in _ROLES]:
        raise _FaultyError(
            f"`## {unknown[0]}` names no role (system, user, assistant): a heading inside a turn needs another level, such as ###."
        )
    asked = roles[roles[:1] == ["system"] :]
    if before.strip() or asked != [*["user", "assistant"] * (len(asked) // 2), "user"]:
        raise _FaultyError(
            "its turns are a `## system` if need be, then `## user` and `## assistant` in turn, and a `## user` at the end."
        )
    for role, text in zip(roles, texts, strict=True):
        template = Template(text)
        if not text or _MARK in text:
            raise _FaultyError(f"a turn of `## {role}` is empty, or holds a null character.")
        if not template.is_valid():
            raise _FaultyError(f"a dollar sign under `## {role}` begins no variable: write $$ for the sign itself.")
        marked = template.substitute({name: f"{_MARK}{name}{_MARK}" for name in template.get_identifiers()})
        yield Turn(role, tuple(marked.split(_MARK)))


def _listed(variables: Any) -> str:
    return ", ".join(sorted(map(str, variables))) or "none"
