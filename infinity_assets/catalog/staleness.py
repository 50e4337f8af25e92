"""Why a partition would be made again: what it depends on now, compared with what its manifest says it was made from.

Needs no rows. Of an input that is itself to be made again it cannot be known whether it comes out different: that is said as `may change`.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from infinity_assets.catalog.lake import Lake

Kind = Literal["new", "code", "settings", "input", "upstream", "files", "unanswered", "source"]


@dataclass(frozen=True)
class Reason:
    """Why a partition would be made again."""

    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        return _WORDS[self.kind] + (f": {self.detail}" if self.detail else "")


_WORDS: dict[Kind, str] = {
    "new": "never made",
    "code": "code changed",
    "settings": "settings changed",
    "input": "input changed",
    "upstream": "input is made again and may change",
    "files": "its files are missing or not whole",
    "unanswered": "model calls were left unanswered",
    "source": "it cannot be told",
}


@dataclass(frozen=True)
class Wanted:
    """What a partition depends on now."""

    asset: str
    partition: str
    code_version: str
    settings: Sequence[str]
    """As `settings_texts` gives them."""
    settings_hash: str
    names: Sequence[str] = ()
    """What they are called: the path of a section, the name of a prompt; empty where there is nothing to add."""
    reads: Sequence[tuple[str, str]] = ()
    """Asset and partition of every input."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of files outside the lake, by name."""


def why(lake: Lake, wanted: Wanted, remade: Collection[tuple[str, str]]) -> list[Reason]:
    """Why a partition would be made again; empty if it is up to date.

    Args:
        lake: The lake.
        wanted: What the partition depends on now.
        remade: Asset and partition of what will be made again before.
    """
    made = lake.manifest(wanted.asset, wanted.partition)
    if made is None:
        return [Reason("new")]
    reasons = []
    if made.code_version != wanted.code_version:
        reasons.append(Reason("code", f"version {made.code_version} -> {wanted.code_version}"))
    if made.settings_hash != wanted.settings_hash:
        reasons.append(Reason("settings", "; ".join(changes(made.made_with, wanted.settings, wanted.names))))
    now: dict[str, str | None] = dict(wanted.files)
    for asset, partition in wanted.reads:
        upstream = lake.manifest(asset, partition)
        now[f"{asset}/{partition}"] = upstream.data_version if upstream else None
    coming = {f"{asset}/{partition}" for asset, partition in wanted.reads if (asset, partition) in remade}
    if differing := [name for name in now if name not in coming and made.inputs.get(name) != now[name]]:
        reasons.append(Reason("input", _listed(differing)))
    if gone := [name for name in made.inputs if name not in now]:
        reasons.append(Reason("input", f"{_listed(gone)} gone"))
    if coming:
        reasons.append(Reason("upstream", _listed(coming)))
    if made.unanswered:
        reasons.append(Reason("unanswered", f"{made.unanswered:,}"))
    if not lake.intact(made):
        reasons.append(Reason("files"))
    return reasons


def changes(before: Sequence[str], now: Sequence[str], names: Sequence[str] = ()) -> list[str]:
    """The fields that differ between two lists of settings, as `name: old -> new`; empty where the old ones are not known."""
    if not before:
        return []
    if len(before) != len(now):
        return ["other sections of the settings are read"]
    called = names or [""] * len(now)
    return [
        line
        for old, new, name in zip(before, now, called, strict=True)
        if old != new
        for line in _differences(_value(old), _value(new), name)
    ]


def _value(text: str) -> Any:
    """A section as its fields; a single value as it stands."""
    try:
        found = json.loads(text)
    except ValueError:
        return text.strip("'")
    return found if isinstance(found, dict) else text


def _differences(old: Any, new: Any, name: str = "") -> Iterable[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    else:
        yield f"{name + ': ' if name else ''}{_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(names: Iterable[str]) -> str:
    """Inputs, the partitions of one asset together."""
    by_asset: dict[str, list[str]] = {}
    for name in sorted(names):
        asset, _, partition = name.partition("/")
        by_asset.setdefault(asset, []).append(partition)
    return ", ".join(
        asset
        if parts == [""] or parts == ["all"]
        else f"{asset} ({parts[0]})"
        if len(parts) == 1
        else f"{asset} ({len(parts)} partitions)"
        for asset, parts in by_asset.items()
    )
