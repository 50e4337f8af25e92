"""Reasons to materialize a partition again: the differences between its present dependencies and its manifest.

No rows are read. An input that will itself be materialized again may or may not change: its reason is `upstream`.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from infinity_assets.catalog.lake import ALL, Lake

Kind = Literal["new", "code", "settings", "input", "upstream", "files", "unanswered", "source"]


@dataclass(frozen=True)
class Reason:
    """A reason to materialize a partition again."""

    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        return _WORDS[self.kind] + (f": {self.detail}" if self.detail else "")


_WORDS: dict[Kind, str] = {
    "new": "never materialized",
    "code": "code changed",
    "settings": "settings changed",
    "input": "input changed",
    "upstream": "input is materialized again and may change",
    "files": "files are missing or incomplete",
    "unanswered": "model calls were left unanswered",
    "source": "cannot be determined",
}


@dataclass(frozen=True)
class Dependencies:
    """The present dependencies of a partition."""

    asset: str
    partition: str
    code_version: str
    settings: Sequence[str]
    """The settings that the partition depends on, one text per section, from `settings_texts`."""
    settings_hash: str
    names: Sequence[str] = ()
    """Names of the `settings`, in their order: the path of a section or the name of a prompt, or an empty text."""
    reads: Sequence[tuple[str, str]] = ()
    """All inputs: pairs of asset and partition."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the files outside the lake that the partition depends on, by name."""


def stale_reasons(lake: Lake, current: Dependencies, remade: Collection[tuple[str, str]]) -> list[Reason]:
    """Return the reasons to materialize a partition again; an empty list if it is up to date.

    The partitions `remade` (pairs of asset and partition) will be materialized before it.
    """
    manifest = lake.manifest(current.asset, current.partition)
    if manifest is None:
        return [Reason("new")]
    reasons = []
    if manifest.code_version != current.code_version:
        reasons.append(Reason("code", f"version {manifest.code_version} -> {current.code_version}"))
    if manifest.settings_hash != current.settings_hash:
        changes = setting_changes(manifest.made_with, current.settings, current.names)
        reasons.append(Reason("settings", "; ".join(changes)))
    inputs: dict[str, str | None] = dict(current.files)
    for asset, partition in current.reads:
        upstream = lake.manifest(asset, partition)
        inputs[f"{asset}/{partition}"] = upstream.data_version if upstream else None
    coming = {f"{asset}/{partition}" for asset, partition in current.reads if (asset, partition) in remade}
    if differing := [name for name in inputs if name not in coming and manifest.inputs.get(name) != inputs[name]]:
        reasons.append(Reason("input", _listed(differing)))
    if gone := [name for name in manifest.inputs if name not in inputs]:
        reasons.append(Reason("input", f"{_listed(gone)} gone"))
    if coming:
        reasons.append(Reason("upstream", _listed(coming)))
    if manifest.unanswered:
        reasons.append(Reason("unanswered", f"{manifest.unanswered:,}"))
    if not lake.intact(manifest):
        reasons.append(Reason("files"))
    return reasons


def setting_changes(before: Sequence[str], after: Sequence[str], names: Sequence[str] = ()) -> list[str]:
    """Return the differences between two lists of settings, as texts `name: old -> new`.

    The result is empty if `before` is empty, because then the old settings are unknown.
    """
    if not before:
        return []
    if len(before) != len(after):
        return ["the step reads other sections of the settings"]
    labels = names or [""] * len(after)
    return [
        line
        for old, new, name in zip(before, after, labels, strict=True)
        if old != new
        for line in _differences(_value(old), _value(new), name)
    ]


def _value(text: str) -> Any:
    """Parse the text of a section into its fields. Return a text that is not a section as it is, without quotes."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip("'")
    return value if isinstance(value, dict) else text


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
    """Return the names of inputs as one text, with an asset's partitions counted if there are several."""
    by_asset: dict[str, list[str]] = {}
    for name in sorted(names):
        asset, _, partition = name.partition("/")
        by_asset.setdefault(asset, []).append(partition)
    counted = {asset: parts[0] if len(parts) == 1 else f"{len(parts)} partitions" for asset, parts in by_asset.items()}
    return ", ".join(asset if part in ("", ALL) else f"{asset} ({part})" for asset, part in counted.items())
