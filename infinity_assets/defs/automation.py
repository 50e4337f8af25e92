"""Automation: a sensor that watches the source folders, one that builds the sets after an ingest, and a daily schedule.

A change of a folder starts the job `ingest_sources` for all sources (unchanged files are not opened), then the job
`build_sets` for all shards (unaffected partitions are reused). So every change takes two runs. Automation conditions
per asset would take more runs, each of which would load the models again.
"""

from pathlib import Path

import dagster as dg

from infinity_assets.catalog.lake import Lake
from infinity_assets.defs.jobs import build_sets, ingest_sources
from infinity_assets.defs.partitions import SHARDS, SOURCES
from infinity_assets.defs.registry import needed_by
from infinity_assets.defs.resources import LakeResource
from infinity_assets.reading.pool import Pool
from infinity_assets.reading.sources import stat_fingerprint


def whole_range(keys: list[str]) -> dict[str, str]:
    """Return the run tags that select all partitions."""
    return {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}


def register_sources(instance: dg.DagsterInstance, pool: Pool, lake: Lake) -> tuple[list[str], list[str]]:
    """Add and delete `source` partitions so that they match the source folders of the pool.

    The rows of a removed source are deleted from the assets partitioned by source. Other assets follow at the next run.

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
    """Return a string that changes whenever a source folder of the pool is added, changed or removed."""
    return "\n".join(f"{name} {stat_fingerprint(folder)}" for name, folder in pool.source_folders().items())


def state_file(lake: Lake) -> Path:
    """Return the file with the state of the sources at the last `infinity run`, for which the sensor starts no run."""
    return lake.catalog / "sources.state"


def _request_ingest(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    # Not sorted: a partition range is everything from its first key to its last, in the order that Dagster keeps.
    sources = list(instance.get_dynamic_partitions(SOURCES.name or ""))
    if not sources:
        return dg.SkipReason("There are no sources.")
    return dg.RunRequest(job_name=ingest_sources.name, tags=whole_range(sources))


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
    last_run.unlink(missing_ok=True)  # it is older than the state that this run ingests
    context.update_cursor(state)
    return _request_ingest(context.instance)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[ingest_sources],
    request_job=build_sets,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def build_after_ingest(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """Builds InfInstruct-F, InfInstruct-G and the release after every successful ingest."""
    shards = list(SHARDS.get_partition_keys())
    return dg.RunRequest(run_key=f"after-{context.dagster_run.run_id}", tags=whole_range(shards))


@dg.schedule(job=ingest_sources, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def daily(context: dg.ScheduleEvaluationContext, lake: LakeResource):
    """Ingests changed sources every day at 3:00, in case the sensor is off. The build follows the ingest."""
    register_sources(context.instance, lake.pool(), lake.open())
    return _request_ingest(context.instance)
