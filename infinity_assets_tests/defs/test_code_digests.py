"""The code behind an asset changes only with its version, or with a confirmation that the result stays the same."""

import ast
import json

import pytest

from infinity_assets.defs.registry import find
from infinity_assets_tests.defs import code_digests
from infinity_assets_tests.defs.code_digests import FILE, Module, digest_of, digests, read_module

COMMAND = "python -m infinity_assets_tests.defs.code_digests"


def test_changed_code_is_confirmed_or_has_a_new_version() -> None:
    confirmed, now = json.loads(FILE.read_text(encoding="utf-8")), digests()
    changed = [asset for asset in now if confirmed.get(asset) != now[asset]]
    silent = [asset for asset in changed if asset in confirmed and confirmed[asset]["version"] == now[asset]["version"]]
    assert not silent, (
        f"the code behind {', '.join(silent)} has changed: raise `version=` if other rows can come out, "
        f"then run `{COMMAND}`"
    )
    assert confirmed == now, (
        f"new versions of {', '.join(changed) or 'removed assets'} are not on record: run `{COMMAND}`"
    )


def change(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Replace code in a module as the digests see it."""
    module = read_module(name)
    assert module
    texts = {defined: ast.unparse(statement) for defined, statement in module.statements.items()}
    statements = {defined: ast.parse(text.replace(old, new)).body[0] for defined, text in texts.items() if old in text}
    assert statements
    changed = Module(name, module.folder, {**module.statements, **statements}, module.imports)
    monkeypatch.setattr(code_digests, "read_module", lambda asked: changed if asked == name else read_module(asked))


def test_called_code_counts_in_any_module(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {asset: digest_of(find(asset)) for asset in ("deduped", "duplicates", "scored")}
    change(monkeypatch, "infinity_assets.dedup.near", "def ", "async def ")
    after = {asset: digest_of(find(asset)) for asset in before}
    assert {asset for asset in before if after[asset] != before[asset]} == {"duplicates"}


def test_modules_that_are_imported_by_name_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of(find("evolved"))
    change(monkeypatch, "infinity_assets.synthesis.strategies.magpie", "def write", "async def write")
    assert digest_of(find("evolved")) != before
