"""Automation: a sensor on the source folders, the run that follows it, and a daily schedule as a fallback.

A change of a folder starts `ingest_sources` over all sources (unchanged files are not opened), then `build_sets` over
all shards (partitions that the new rows do not affect are reused). A change takes two runs, whatever the size of the
graph. With an automation condition per asset, every wave would be a run of its own that loads the models again.
"""

from pathlib import Path

import dagster as dg

from infinity_assets.atomic import write_text
from infinity_assets.catalog.lake import Lake
from infinity_assets.defs.jobs import build_sets, ingest_sources
from infinity_assets.defs.partitions import SHARDS, SOURCES
from infinity_assets.defs.registry import needed_by
from infinity_assets.defs.resources import LakeResource
from infinity_assets.reading.pool import Pool
from infinity_assets.reading.sources import stat_fingerprint

_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def whole_range(keys: list[str]) -> dict[str, str]:
    """Return the run tags that select all partitions."""
    return {_START: keys[0], _END: keys[-1]}


def register_sources(instance: dg.DagsterInstance, pool: Pool, lake: Lake) -> tuple[list[str], list[str]]:
    """Make the `source` partitions equal to the folders of the pool.

    A removed source loses its partition and its rows. Downstream assets follow at the next run.

    Returns:
        The names of the added and of the removed sources.
    """
    assert SOURCES.name
    registered_names = set(instance.get_dynamic_partitions(SOURCES.name))
    folder_names = set(pool.source_folders())
    added = sorted(folder_names - registered_names)
    removed = sorted(registered_names - folder_names)
    instance.add_dynamic_partitions(SOURCES.name, added)
    for name in removed:
        instance.delete_dynamic_partition(SOURCES.name, name)
    for registered in needed_by(None):
        if registered.partitions == "source":
            lake.prune(registered.asset, folder_names)
    return added, removed


def sources_state(pool: Pool) -> str:
    """Return a text that changes whenever a folder of the pool is added, changed or removed."""
    return "\n".join(f"{name} {stat_fingerprint(folder)}" for name, folder in pool.source_folders().items())


def state_file(lake: Lake) -> Path:
    """Return the file with the state of the sources at the last `infinity run`."""
    return lake.catalog / "sources.state"


def remember_state(lake: Lake, state: str) -> None:
    """Record that the graph was materialized from sources in this state, so that the sensor starts no run for them."""
    write_text(state, state_file(lake))


def _request_ingest(instance: dg.DagsterInstance, run_key: str | None = None) -> dg.RunRequest | dg.SkipReason:
    # In the order in which Dagster keeps them: a range is everything from its first key to its last in that order.
    sources = list(instance.get_dynamic_partitions(SOURCES.name or ""))
    if not sources:
        return dg.SkipReason("There are no sources.")
    return dg.RunRequest(run_key=run_key, job_name=ingest_sources.name, tags=whole_range(sources))


@dg.sensor(job=ingest_sources, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def watch_sources(context: dg.SensorEvaluationContext, lake: LakeResource):
    """Registers and ingests the sources when a folder of the pool is added, changed or removed."""
    pool = lake.pool()
    opened = lake.open()
    state = sources_state(pool)
    last_run = state_file(opened)
    if state == (context.cursor or "") or (last_run.exists() and last_run.read_text(encoding="utf-8") == state):
        return dg.SkipReason(f"No change in {len(pool.source_folders())} sources.")
    register_sources(context.instance, pool, opened)
    last_run.unlink(missing_ok=True)  # it describes an older state than the run that follows
    context.update_cursor(state)
    return _request_ingest(context.instance)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[ingest_sources],
    request_job=build_sets,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def build_after_ingest(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """Builds F, G and the release after the sources have been ingested."""
    return dg.RunRequest(
        run_key=f"after-{context.dagster_run.run_id}", tags=whole_range(list(SHARDS.get_partition_keys()))
    )


@dg.schedule(job=ingest_sources, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def daily(context: dg.ScheduleEvaluationContext, lake: LakeResource):
    """Ingests changed sources once a day, in case the sensor is off; the build follows."""
    register_sources(context.instance, lake.pool(), lake.open())
    return _request_ingest(context.instance)
