"""Prompts, one file per name and language: `NAME.en.md` and `NAME.zh.md`.

A file has a YAML head between `---` lines (version, purpose and variables), followed by the turns, each under a heading
`## system`, `## user` or `## assistant`. The last turn is a user turn. `$name` is a variable, `$$` a dollar sign. The
Chinese file is used for Chinese rows, and the English file for all other rows. Prompts about labels and about the
fields of a dataset have an English file only. Files in the folder `prompts_dir` (setting) replace packaged files. See
docs/prompts.md.

The hash of a prompt covers its version and turns, and is part of the request key. So only the requests of a
changed prompt are repeated, and a new purpose or a new description of a variable does not repeat any request.
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
"""Pattern of the BCP 47 tags of Chinese, such as `zh`, `zh-Hant` and `zh-CN`."""

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
    """Alternating texts and variable names; the first and the last element are texts."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the variable names in the order of their use. A name that is used twice occurs twice."""
        return self.pieces[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text of the turn with the values inserted. A variable without a value stays as `$name`."""
        filled = list(self.pieces)
        filled[1::2] = (values.get(name, f"${name}") for name in self.variables)
        return "".join(filled)


@dataclass(frozen=True)
class Prompt:
    """A prompt in one language."""

    name: str
    language: Language
    version: int
    purpose: str
    variables: Mapping[str, str]
    """Descriptions of the variables, by name."""
    turns: tuple[Turn, ...]
    hash: str
    file: Path = field(compare=False)

    @property
    def label(self) -> str:
        """Return name and language as in the file name, such as `tag.zh`. Requests and ledger tables use it."""
        return f"{self.name}.{self.language}"

    @property
    def examples(self) -> tuple[str, ...]:
        """Return the answers of the examples, which are the assistant turns."""
        return tuple(turn.fill({}) for turn in self.turns if turn.role == "assistant")


class Bilingual(NamedTuple):
    """The English and the Chinese version of a prompt."""

    en: Prompt
    zh: Prompt

    def choose(self, tag: str | None) -> Prompt:
        """Return the version for a row with this BCP 47 language tag."""
        return self.zh if re.match(CHINESE, tag or "") else self.en


def names() -> list[str]:
    """Return the names of all packaged prompts, sorted."""
    return sorted(file.name.removesuffix(f".en{_SUFFIX}") for file in _OURS.glob(f"*.en{_SUFFIX}"))


def load(name: str, language: Language, folder: Path | None = None) -> Prompt:
    """Load a prompt in one language, from `folder` if it has the file, else from this package.

    Raises:
        InfinityError: There is no prompt with this name and language, or its file is invalid.
    """
    if language not in languages(name):
        suffix = f" in {language}" if languages(name) else ""
        raise InfinityError(f"There is no prompt {name}{suffix}: `infinity prompts list` shows all.")
    file = f"{name}.{language}{_SUFFIX}"
    ours = _read(_OURS / file)
    if folder is None or not (folder / file).is_file():
        return ours
    theirs = _read(folder / file)
    expected, found = _join_names(ours.variables), _join_names(theirs.variables)
    if expected != found:
        raise InfinityError(f"{theirs.file}: the variables of this prompt are {expected}, not {found}.")
    return theirs


def languages(name: str) -> tuple[Language, ...]:
    """Return the languages in which this package has a prompt."""
    return tuple(language for language in LANGUAGES if (_OURS / f"{name}.{language}{_SUFFIX}").is_file())


def load_bilingual(name: str, folder: Path | None = None) -> Bilingual:
    """Load a prompt in both languages with `load`. The English file replaces a missing Chinese file."""
    english = load(name, "en", folder)
    return Bilingual(english, load(name, "zh", folder) if "zh" in languages(name) else english)


def load_all(name: str, folder: Path | None = None) -> tuple[Prompt, ...]:
    """Load a prompt in each of its languages, with `load`."""
    return tuple(load(name, language, folder) for language in languages(name))


def hashes(folder: Path | None, *prompt_names: str) -> Iterator[str]:
    """Return the hashes of prompts, in each of their languages, for the data version of an asset."""
    return (prompt.hash for name in prompt_names for prompt in load_all(name, folder))


def check_folder(folder: Path) -> None:
    """Check that each file in a user's folder, except README.md and hidden files, can replace a packaged prompt.

    Raises:
        InfinityError: The path is not a folder, or a file is invalid, has an unknown name or other variables.
    """
    if not folder.is_dir():
        raise InfinityError(f"Setting `prompts_dir`: {folder} is not a folder.")
    ours = {prompt.file.name: prompt for name in names() for prompt in load_all(name)}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.name == "README.md":
            continue
        if file.name not in ours:
            advice = "`infinity prompts list` shows all prompts, and their files end in .en.md and .zh.md."
            raise InfinityError(f"{file} does not replace a prompt: {advice}")
        if not file.is_file():
            raise InfinityError(f"{file} is not a file.")
        load(ours[file.name].name, ours[file.name].language, folder)


def _read(file: Path) -> Prompt:
    try:
        return _parse(file.read_text(encoding="utf-8-sig"), file)
    except (ValueError, yaml.YAMLError) as error:
        raise InfinityError(f"{file}: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=256)
def _parse(raw: str, file: Path) -> Prompt:
    name, language = file.name.removesuffix(_SUFFIX).rsplit(".", 1)
    parts = _FILE.fullmatch(raw)
    if parts is None:
        layout = "a line of ---, then version, purpose and variables in YAML, then a line of ---."
        raise ValueError(f"a prompt begins with {layout}")
    head = _check_head(yaml.safe_load(parts["head"]))
    turns = tuple(_split_turns(parts["body"]))
    used, described = _join_names({name for turn in turns for name in turn.variables}), _join_names(head["variables"])
    if used != described:
        raise ValueError(f"its text uses the variables {used}, but its head describes {described}.")
    decisive = json.dumps([head["version"], [[turn.role, turn.pieces] for turn in turns]])
    digest = hashlib.blake2b(decisive.encode(), digest_size=8).hexdigest()
    assert language in LANGUAGES
    return Prompt(name, language, head["version"], head["purpose"].strip(), head["variables"], turns, digest, file)


def _check_head(head: Any) -> dict[str, Any]:
    if not isinstance(head, dict) or set(head) != {"version", "purpose", "variables"}:
        raise ValueError("its head must have version, purpose and variables, and nothing else.")
    if not isinstance(head["version"], int) or head["version"] < 1:
        raise ValueError(f"its version must be a whole number from 1, not {head['version']!r}.")
    described = head["variables"]
    texts = [head["purpose"], *described.values()] if isinstance(described, dict) else [None]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("its purpose must be a sentence, and its variables a list of `name: description`.")
    return head


def _split_turns(body: str) -> Iterator[Turn]:
    before, *sections = _HEADING.split(body)
    texts = [text.strip() for text in sections[1::2]]
    roles = [role.strip() for role in sections[::2]]
    if unknown := [role for role in roles if role not in _ROLES]:
        advice = "a heading inside a turn needs another level, such as ###."
        raise ValueError(f"`## {unknown[0]}` is not a role (system, user, assistant): {advice}")
    asked = roles[roles[:1] == ["system"] :]
    if before.strip() or asked != [*["user", "assistant"] * (len(asked) // 2), "user"]:
        order = "an optional `## system`, then alternating `## user` and `## assistant`, ending with `## user`."
        raise ValueError(f"its turns must be {order}")
    for role, text in zip(roles, texts, strict=True):
        template = Template(text)
        if not text or _MARK in text:
            raise ValueError(f"a turn of `## {role}` is empty, or contains a null character.")
        if not template.is_valid():
            raise ValueError(f"a dollar sign under `## {role}` begins no variable: write $$ for the sign itself.")
        marked = template.substitute({name: f"{_MARK}{name}{_MARK}" for name in template.get_identifiers()})
        yield Turn(role, tuple(marked.split(_MARK)))


def _join_names(variables: Any) -> str:
    return ", ".join(sorted(map(str, variables))) or "none"
