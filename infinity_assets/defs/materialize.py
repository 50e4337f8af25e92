"""Materialization of partitions: up-to-date partitions are reused, and the asset's function makes the others.

A partition is up to date if its key (code version, settings, files and data versions of the inputs) equals the key in
the manifest of the last materialization.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from infinity_assets.catalog.lake import Lake, Manifest, Outcome, StepKey
from infinity_assets.defs.registry import Registered
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.inference.batched import InferenceBatch
from infinity_assets.inference.engines.batching import iterate_chunks
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.models import Models
from infinity_assets.progress import reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.report import charts
from infinity_assets.settings import Settings, settings_hash, settings_texts


def materialize(
    registered: Registered, lake: Lake, pool: Pool, models: Models, partitions: Sequence[str], run_id: str, force: bool
) -> Iterator[tuple[str, Manifest, bool]]:
    """Materialize partitions of an asset, without Dagster.

    With `force`, up-to-date partitions are made again. Stored model answers are still reused.

    Yields:
        The name and the manifest of each finished partition, and whether its last materialization was reused.

    Raises:
        InfinityError: An input has not been materialized.
    """
    settings = Settings()
    with lake.scratch() as shared:
        for some in iterate_chunks(partitions, settings.calls.shards_at_once if registered.batched else 1):
            with ExitStack() as scratches:
                folders = [scratches.enter_context(lake.scratch()) for _ in some]
                steps = [
                    Step(registered.asset, name, settings, lake, pool, models, folder, shared)
                    for name, folder in zip(some, folders, strict=True)
                ]
                made, errors = _materialize_some(
                    [_with_key(step, registered) for step in steps], registered, run_id, force
                )
            for name in some:
                if name in made:
                    yield name, *made[name]
            if errors:
                raise errors[0]


def _with_key(step: Step, registered: Registered) -> Step:
    key = StepKey(
        asset=step.asset,
        partition=step.partition,
        code_version=registered.version,
        settings_hash=settings_hash(*registered.settings(step.settings)),
        inputs={**_input_versions(step, registered), **registered.files(step)},
    )
    return replace(step, key=key)


def _input_versions(step: Step, registered: Registered) -> dict[str, str]:
    """Return the data version of every input partition, by `asset/partition`."""
    versions = {}
    for upstream in registered.inputs:
        same = registered.reads_same_partition(upstream)
        for partition in [step.partition] if same else step.lake.partitions(upstream):
            manifest = step.lake.manifest(upstream, partition)
            if manifest is None:
                raise InfinityError(
                    f"`{step.asset}` needs `{upstream}` ({partition}), which has not been materialized: materialize it first."
                )
            versions[f"{upstream}/{partition}"] = manifest.data_version
    return versions


def _materialize_some(
    steps: Sequence[Step], registered: Registered, run_id: str, force: bool
) -> tuple[dict[str, tuple[Manifest, bool]], list[BaseException]]:
    """Materialize partitions, the stale ones in one batch. Return the manifest of each and whether it was reused, by
    partition, and the errors of the partitions that failed.
    """
    made: dict[str, tuple[Manifest, bool]] = {}
    errors: list[BaseException] = []
    for step in steps:
        assert step.key
        if not force and (manifest := step.lake.reusable(step.key)):
            reporter().begin(step.asset, step.partition)
            reporter().end(manifest.rows_out, reused=True)
            made[step.partition] = manifest, True
    stale = [step for step in steps if step.partition not in made]
    if stale:
        first, *rest = stale
        name = f"{first.partition} to {rest[-1].partition}" if rest else first.partition
        reporter().begin(first.asset, name, len(stale))
        if rest:
            batch = InferenceBatch(first.inference())
            manifests = batch.run([partial(_run, replace(step, batch=batch), registered, run_id) for step in stale])
        else:
            manifests = [_run(first, registered, run_id)]
        finished = [manifest for manifest in manifests if isinstance(manifest, Manifest)]
        errors = [error for error in manifests if isinstance(error, BaseException)]
        if not errors:
            reporter().end(sum(manifest.rows_out for manifest in finished), reused=False)
        made |= {manifest.partition: (manifest, False) for manifest in finished}
    return made, errors


def _run(step: Step, registered: Registered, run_id: str) -> Manifest:
    assert step.key
    started = time.time()
    try:
        outcome = registered.function(step)
    except BaseException:
        step.lake.write_calls(step.key, step.ledger.generations, run_id)  # the calls have been paid for
        raise
    parts = settings_texts(*registered.settings(step.settings))
    return step.lake.commit(step.key, _with_calls(outcome, step.ledger), run_id, started, parts)


def _with_calls(outcome: Outcome, ledger: Ledger) -> Outcome:
    """Return the outcome with the step's model calls in its metadata and on its page."""
    calls = ledger.generations
    if calls.is_empty():
        return outcome
    shown = {"calls by model and prompt": charts.table(ledger.table(), rows=50)}
    return replace(
        outcome,
        generations=calls,
        measures={**outcome.measures, **ledger.measures()},
        charts={**outcome.charts, **shown},
    )
