"""Detection of settings, models and prompts that an asset reads without declaring them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from infinity_assets import prompts
from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.registry import Part, find
from infinity_assets.defs.step import Step
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.declarations import watched
from infinity_assets_tests.defs.steps import step_of


def try_asset(tmp_path: Path, settings: Callable[[Settings], Sequence[Part]], reads: Callable[[Step], object]) -> None:
    """Run an asset that declares and reads settings."""

    def function(step: Step) -> Outcome:
        reads(step)
        return Outcome(pl.DataFrame())

    watched(replace(find("allowed"), function=function, settings=settings)).function(step_of("allowed", Lake(tmp_path)))


DECLARED: list[tuple[Callable[[Settings], Sequence[Part]], Callable[[Step], object]]] = [
    (lambda s: (s.dedup,), lambda step: step.settings.dedup.near.threshold),
    (lambda s: (s.dedup.near.signing,), lambda step: step.settings.dedup.near.bands),
    (lambda s: (s.shards,), lambda step: step.settings.shards),
    (lambda s: (s.models.judge.weights_id,), lambda step: step.settings.models.judge.revision),
    (lambda _: (), lambda step: step.settings.ingest.workers),
    (
        lambda s: tuple(prompts.hashes(None, "tag")),
        lambda step: prompts.load_bilingual("tag", step.settings.prompts_dir),
    ),
]
UNDECLARED: list[tuple[Callable[[Settings], Sequence[Part]], Callable[[Step], object], str]] = [
    (lambda s: (s.dedup.near.signing,), lambda step: step.settings.dedup.near.threshold, "dedup.near.threshold"),
    (lambda s: (s.chat,), lambda step: step.settings.shards, "shards"),
    (
        lambda s: (s.models.judge.weights_id,),
        lambda step: step.settings.models.generator.model,
        "models.generator.model",
    ),
    (lambda s: tuple(prompts.hashes(None, "tag")), lambda step: prompts.load_bilingual("lift"), "lift"),
]


@pytest.mark.parametrize(("settings", "reads"), DECLARED)
def test_declared_settings_may_be_read(
    tmp_path: Path, settings: Callable[[Settings], Sequence[Part]], reads: Callable[[Step], object]
) -> None:
    try_asset(tmp_path, settings, reads)


@pytest.mark.parametrize(("settings", "reads", "name"), UNDECLARED)
def test_undeclared_settings_are_named(
    tmp_path: Path, settings: Callable[[Settings], Sequence[Part]], reads: Callable[[Step], object], name: str
) -> None:
    with pytest.raises(AssertionError, match=name):
        try_asset(tmp_path, settings, reads)
