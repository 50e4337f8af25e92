"""Every reason to materialize a partition again has its name."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.catalog.staleness import Dependencies, setting_changes, stale_reasons
from infinity_assets.rows import schema
from infinity_assets.settings import Scoring, Settings, path_of, settings_hash, settings_texts
from infinity_assets.settings.chat import Answering, Chat, Final

SECTIONS = (Chat(), "model@main:2048")
OTHER = (Chat(final=Final(min_answer_score=2.0)), "model@main:4096")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    commit(lake, "pool", "a")
    commit(lake, "pool", "b")
    commit(lake, "asset", "all", inputs={**versions(lake, "pool"), "files of a": "f1"})
    return lake


def key_of(asset: str, partition: str, inputs: dict[str, str]) -> StepKey:
    hashed = settings_hash(*SECTIONS)
    return StepKey(asset=asset, partition=partition, code_version="1", settings_hash=hashed, inputs=inputs)


def commit(
    lake: Lake,
    asset: str,
    partition: str,
    inputs: dict[str, str] | None = None,
    rows: int = 1,
    unanswered: bool = False,
) -> None:
    key = key_of(asset, partition, inputs or {})
    calls = [("k", "r", "generate", "m", "p", 1, 1, 0.1, False, "timeout", "away", 0, 0.0)] if unanswered else []
    generations = pl.DataFrame(calls, schema=schema.GENERATIONS, orient="row")
    lake.commit(
        key, Outcome(pl.DataFrame({"n": range(rows)}), generations=generations), "run", 0.0, settings_texts(*SECTIONS)
    )


def versions(lake: Lake, asset: str) -> dict[str, str]:
    return {
        f"{asset}/{name}": manifest.data_version
        for name in lake.partitions(asset)
        if (manifest := lake.manifest(asset, name))
    }


BOTH = (("pool", "a"), ("pool", "b"))


def dependencies(
    sections: tuple = SECTIONS, version: str = "1", reads: tuple = BOTH, fingerprint: str = "f1"
) -> Dependencies:
    hashed = settings_hash(*sections)
    return Dependencies(
        "asset", "all", version, settings_texts(*sections), hashed, (), reads, {"files of a": fingerprint}
    )


def reasons(lake: Lake, current: Dependencies, remade: set[tuple[str, str]] | None = None) -> list[str]:
    return [str(reason) for reason in stale_reasons(lake, current, remade or set())]


@pytest.mark.parametrize(
    ("current", "remade", "expected"),
    [
        (dependencies(), (), []),
        (Dependencies("other", "all", "1", [], "x"), (), ["never materialized"]),
        (
            dependencies(OTHER),
            (),
            ["settings changed: final.min_answer_score: 1.5 -> 2.0; model@main:2048 -> model@main:4096"],
        ),
        (dependencies(version="2"), (), ["code changed: version 1 -> 2"]),
        (dependencies(fingerprint="f2"), (), ["input changed: files of a"]),
        (dependencies(reads=BOTH[:1]), (), ["input changed: pool (b) gone"]),
        (dependencies(), BOTH, ["input is materialized again and may change: pool (2 partitions)"]),
    ],
)
def test_changed_dependencies_are_reasons(
    lake: Lake, current: Dependencies, remade: tuple, expected: list[str]
) -> None:
    assert reasons(lake, current, set(remade)) == expected


def test_changed_and_added_rows_are_reasons(lake: Lake) -> None:
    commit(lake, "pool", "b", rows=2)
    assert reasons(lake, dependencies(fingerprint="f2")) == ["input changed: files of a, pool (b)"]
    commit(lake, "pool", "c")
    assert reasons(lake, dependencies(reads=(*BOTH, ("pool", "c")))) == ["input changed: pool (2 partitions)"]


def test_incomplete_rows_and_unanswered_calls_are_reasons(lake: Lake) -> None:
    commit(lake, "asset", "all", inputs={**versions(lake, "pool"), "files of a": "f1"}, unanswered=True)
    assert reasons(lake, dependencies()) == ["model calls were left unanswered: 1"]
    lake.rows_file("asset").write_bytes(b"")
    assert reasons(lake, dependencies())[1:] == ["files are missing or incomplete"]


def test_the_reasons_agree_with_the_partitions_that_a_run_reuses(lake: Lake) -> None:
    key = key_of("asset", "all", versions(lake, "pool"))
    assert lake.reusable(key.model_copy(update={"inputs": {**key.inputs, "files of a": "f1"}}))
    assert not lake.reusable(key), "one input less"


def test_nested_fields_have_their_path() -> None:
    before, current = settings_texts(Scoring(), Chat()), settings_texts(Scoring(max_rows=7), Chat())
    assert setting_changes(before, current) == ["max_rows: 5000 -> 7"]
    before, current = settings_texts(Chat()), settings_texts(Chat.model_validate({"seeds": {"max_seeds": 9}}))
    assert setting_changes(before, current) == ["seeds.max_seeds: 64 -> 9"]


def test_the_name_of_a_section_precedes_its_fields() -> None:
    settings = Settings()
    parts = (settings.chat.answering, settings.chat, "hash-1")
    assert [path_of(part, settings) for part in parts] == ["chat.answering", "chat", ""]
    changed = settings_texts(Answering.model_validate({"sampling": {"max_tokens": 5}}), settings.chat, "hash-2")
    changed_settings = setting_changes(settings_texts(*parts), changed, ["chat.answering", "chat", "prompt tag"])
    assert changed_settings == ["chat.answering.sampling.max_tokens: 320 -> 5", "prompt tag: hash-1 -> hash-2"]


def test_a_manifest_without_settings_has_no_changes() -> None:
    assert setting_changes([], settings_texts(Chat())) == []
