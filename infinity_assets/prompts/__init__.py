"""Prompts, one file per name and language: `NAME.en.md` and `NAME.zh.md`.

A file has a YAML head between `---` lines (version, purpose and variables), followed by the turns, each under a `##
system`, `## user` or `## assistant` heading. The last turn is a user's. `$name` is a variable, `$$` a dollar sign.
Requests about Chinese rows use the Chinese file, all others the English one. Prompts about labels only have an English
file, because labels are English. Files in a user's folder (setting `prompts_dir`) replace ours. See docs/prompts.md.

The hash of a prompt covers its version and turns, and is part of the key of each request made with it. So a changed
prompt repeats only its own requests, and rewording a head repeats none.
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
    """A turn of a prompt."""

    role: str
    pieces: tuple[str, ...]
    """Text and variable names alternately, beginning and ending with text."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the variable names, each as often as it is used."""
        return self.pieces[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with the values inserted unchanged. A variable without a value stays as `$name`."""
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
    """Descriptions by name."""
    turns: tuple[Turn, ...]
    hash: str
    file: Path = field(compare=False)

    @property
    def label(self) -> str:
        """Return name and language as in the file name, `tag.zh`, for requests and ledger tables."""
        return f"{self.name}.{self.language}"

    @property
    def examples(self) -> tuple[str, ...]:
        """Return the example answers, which are the assistant's turns."""
        return tuple(turn.fill({}) for turn in self.turns if turn.role == "assistant")


class Bilingual(NamedTuple):
    """A prompt in both languages."""

    en: Prompt
    zh: Prompt

    def choose(self, tag: str | None) -> Prompt:
        """Return the prompt for a row with this BCP 47 language tag."""
        return self.zh if re.match(CHINESE, tag or "") else self.en


def names() -> list[str]:
    """Return the names of all prompts."""
    return sorted(file.name.removesuffix(f".en{_SUFFIX}") for file in _OURS.glob(f"*.en{_SUFFIX}"))


def load(name: str, language: Language, folder: Path | None = None) -> Prompt:
    """Load a prompt in one language, from `folder` if it has the file, else from ours.

    Raises:
        InfinityError: There is no prompt with this name and language, or its file cannot be used.
    """
    if language not in languages(name):
        suffix = f" in {language}" if languages(name) else ""
        raise InfinityError(f"There is no prompt {name}{suffix}: `infinity prompts list` shows all.")
    file = f"{name}.{language}{_SUFFIX}"
    ours = _read(_OURS / file)
    if folder is None or not (folder / file).is_file():
        return ours
    theirs = _read(folder / file)
    if set(theirs.variables) != set(ours.variables):
        raise InfinityError(
            f"{theirs.file}: the variables of this prompt are {_join_names(ours.variables)}, not {_join_names(theirs.variables)}."
        )
    return theirs


def languages(name: str) -> tuple[Language, ...]:
    """Return the languages of a prompt."""
    return tuple(language for language in LANGUAGES if (_OURS / f"{name}.{language}{_SUFFIX}").is_file())


def load_bilingual(name: str, folder: Path | None = None) -> Bilingual:
    """Load a prompt in both languages, each from `folder` or ours. English stands in for a missing Chinese file."""
    english = load(name, "en", folder)
    return Bilingual(english, load(name, "zh", folder) if "zh" in languages(name) else english)


def load_all(name: str, folder: Path | None = None) -> tuple[Prompt, ...]:
    """Load a prompt in each of its languages."""
    return tuple(load(name, language, folder) for language in languages(name))


def hashes(folder: Path | None, *prompt_names: str) -> Iterator[str]:
    """Return the hashes of prompts in each of their languages, for the data version of an asset."""
    return (prompt.hash for name in prompt_names for prompt in load_all(name, folder))


def check_folder(folder: Path) -> None:
    """Check that every file in a user's folder, except README.md, can replace one of ours.

    Raises:
        InfinityError: The path is not a folder, or a file is not a prompt, has an unknown name or other variables.
    """
    if not folder.is_dir():
        raise InfinityError(f"Setting `prompts_dir`: {folder} is not a folder.")
    ours = {prompt.file.name: prompt for name in names() for prompt in load_all(name)}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.name == "README.md":
            continue
        if file.name not in ours:
            raise InfinityError(
                f"{file} does not replace a prompt: `infinity prompts list` shows all prompts, and their files end in .en.md"
                " and .zh.md."
            )
        if not file.is_file():
            raise InfinityError(f"{file} is not a file.")
        load(ours[file.name].name, ours[file.name].language, folder)


def _read(file: Path) -> Prompt:
    try:
        return _parse(file.read_text(encoding="utf-8-sig"), file)
    except (UnicodeDecodeError, yaml.YAMLError, _FaultyError) as error:
        raise InfinityError(f"{file}: {' '.join(str(error).split())}") from error


class _FaultyError(Exception):
    """A fault that makes a text unusable as a prompt."""


@lru_cache(maxsize=256)
def _parse(raw: str, file: Path) -> Prompt:
    name, language = file.name.removesuffix(_SUFFIX).rsplit(".", 1)
    parts = _FILE.fullmatch(raw)
    if parts is None:
        raise _FaultyError(
            "a prompt begins with a line of ---, then version, purpose and variables in YAML, then a line of ---."
        )
    head = _check_head(yaml.safe_load(parts["head"]))
    turns = tuple(_split_turns(parts["body"]))
    used = {variable for turn in turns for variable in turn.variables}
    if used != set(head["variables"]):
        raise _FaultyError(
            f"its text uses the variables {_join_names(used)}, but its head describes {_join_names(head['variables'])}."
        )
    decisive = json.dumps([head["version"], [[turn.role, turn.pieces] for turn in turns]])
    digest = hashlib.blake2b(decisive.encode(), digest_size=8).hexdigest()
    assert language in LANGUAGES
    return Prompt(name, language, head["version"], head["purpose"].strip(), head["variables"], turns, digest, file)


def _check_head(head: Any) -> dict[str, Any]:
    if not isinstance(head, dict) or set(head) != {"version", "purpose", "variables"}:
        raise _FaultyError("its head must have version, purpose and variables, and nothing else.")
    if not isinstance(head["version"], int) or head["version"] < 1:
        raise _FaultyError(f"its version must be a whole number from 1, not {head['version']!r}.")
    described = head["variables"]
    if not isinstance(described, dict) or not all(
        isinstance(text, str) and text.strip() for text in (head["purpose"], *described.values())
    ):
        raise _FaultyError("its purpose must be a sentence, and its variables a list of `name: description`.")
    return head


def _split_turns(body: str) -> Iterator[Turn]:
    before, *sections = _HEADING.split(body)
    texts = [text.strip() for text in sections[1::2]]
    roles = [role.strip() for role in sections[::2]]
    if unknown := [role for role in roles if role not in _ROLES]:
        raise _FaultyError(
            f"`## {unknown[0]}` is not a role (system, user, assistant): a heading inside a turn needs another level,"
            " such as ###."
        )
    asked = roles[roles[:1] == ["system"] :]
    if before.strip() or asked != [*["user", "assistant"] * (len(asked) // 2), "user"]:
        raise _FaultyError(
            "its turns must be an optional `## system`, then alternating `## user` and `## assistant`, ending with `## user`."
        )
    for role, text in zip(roles, texts, strict=True):
        template = Template(text)
        if not text or _MARK in text:
            raise _FaultyError(f"a turn of `## {role}` is empty, or contains a null character.")
        if not template.is_valid():
            raise _FaultyError(
                f"a dollar sign under `## {role}` does not begin a variable: write $$ for the sign itself."
            )
        marked = template.substitute({name: f"{_MARK}{name}{_MARK}" for name in template.get_identifiers()})
        yield Turn(role, tuple(marked.split(_MARK)))


def _join_names(variables: Any) -> str:
    return ", ".join(sorted(map(str, variables))) or "none"
