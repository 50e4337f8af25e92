"""Why a partition would be made again: every reason, told by name."""

from pathlib import Path

import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.catalog.staleness import Wanted, changes, why
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


def commit(
    lake: Lake,
    asset: str,
    partition: str,
    inputs: dict[str, str] | None = None,
    rows: int = 1,
    unanswered: bool = False,
) -> None:
    key = StepKey(
        asset=asset, partition=partition, code_version="1", settings_hash=settings_hash(*SECTIONS), inputs=inputs or {}
    )
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


def wanted(
    sections: tuple = SECTIONS,
    version: str = "1",
    reads: tuple = (("pool", "a"), ("pool", "b")),
    fingerprint: str = "f1",
) -> Wanted:
    return Wanted(
        "asset",
        "all",
        version,
        settings_texts(*sections),
        settings_hash(*sections),
        (),
        reads,
        {"files of a": fingerprint},
    )


def said(lake: Lake, now: Wanted, remade: set[tuple[str, str]] | None = None) -> list[str]:
    return [str(reason) for reason in why(lake, now, remade or set())]


def test_what_is_up_to_date_has_no_reason(lake: Lake) -> None:
    assert said(lake, wanted()) == []


def test_what_was_never_made_has_that_reason_alone(lake: Lake) -> None:
    assert said(lake, Wanted("other", "all", "1", [], "x")) == ["never made"]


def test_a_changed_setting_is_told_by_its_name_and_both_values(lake: Lake) -> None:
    assert said(lake, wanted(OTHER)) == [
        "settings changed: final.min_answer_score: 1.5 -> 2.0; model@main:2048 -> model@main:4096"
    ]


def test_a_changed_code_version(lake: Lake) -> None:
    assert said(lake, wanted(version="2")) == ["code changed: version 1 -> 2"]


def test_a_changed_input_and_changed_files(lake: Lake) -> None:
    commit(lake, "pool", "b", rows=2)
    assert said(lake, wanted()) == ["input changed: pool (b)"]
    assert said(lake, wanted(fingerprint="f2")) == ["input changed: files of a, pool (b)"]


def test_an_input_that_is_gone_and_one_that_came(lake: Lake) -> None:
    assert said(lake, wanted(reads=(("pool", "a"),))) == ["input changed: pool (b) gone"]
    commit(lake, "pool", "c")
    assert said(lake, wanted(reads=(("pool", "a"), ("pool", "b"), ("pool", "c")))) == ["input changed: pool (c)"]


def test_an_input_that_is_made_again_may_change(lake: Lake) -> None:
    assert said(lake, wanted(), {("pool", "a"), ("pool", "b")}) == [
        "input is made again and may change: pool (2 partitions)"
    ]


def test_rows_that_are_gone_or_cut(lake: Lake) -> None:
    lake.rows_file("asset").write_bytes(b"")
    assert said(lake, wanted()) == ["its files are missing or not whole"]


def test_calls_left_unanswered(lake: Lake) -> None:
    commit(lake, "asset", "all", inputs={**versions(lake, "pool"), "files of a": "f1"}, unanswered=True)
    assert said(lake, wanted()) == ["model calls were left unanswered: 1"]


def test_the_reasons_agree_with_what_a_run_reuses(lake: Lake) -> None:
    key = StepKey(
        asset="asset",
        partition="all",
        code_version="1",
        settings_hash=settings_hash(*SECTIONS),
        inputs=versions(lake, "pool"),
    )
    assert lake.reusable(key.model_copy(update={"inputs": {**key.inputs, "files of a": "f1"}}))
    assert not lake.reusable(key), "one input less"


def test_nested_fields_have_their_path() -> None:
    before, now = settings_texts(Scoring(), Chat()), settings_texts(Scoring(max_rows=7), Chat())
    assert changes(before, now) == ["max_rows: 5000 -> 7"]
    before, now = settings_texts(Chat()), settings_texts(Chat.model_validate({"seeds": {"max_seeds": 9}}))
    assert changes(before, now) == ["seeds.max_seeds: 64 -> 9"]


def test_a_section_that_is_named_names_its_fields() -> None:
    settings = Settings()
    parts = (settings.chat.answering, settings.chat, "hash-1")
    assert [path_of(part, settings) for part in parts] == ["chat.answering", "chat", ""]
    changed = settings_texts(Answering.model_validate({"sampling": {"max_tokens": 5}}), settings.chat, "hash-2")
    said = changes(settings_texts(*parts), changed, ["chat.answering", "chat", "prompt tag"])
    assert said == ["chat.answering.sampling.max_tokens: 320 -> 5", "prompt tag: hash-1 -> hash-2"]


def test_settings_of_an_old_manifest_are_not_known() -> None:
    assert changes([], settings_texts(Chat())) == []
