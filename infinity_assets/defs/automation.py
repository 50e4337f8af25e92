"""What runs without a click: a sensor that sees new, changed and removed folders, its follow-up, and a daily schedule as the fallback.

New folder -> `ingest_sources` over all sources (unchanged ones cost a stat) -> `build_sets` over all shards (what the new rows do not touch
is reused). Two runs per change, whatever the size of the graph: with one automation condition per asset every wave would be a run of its own
that loads the models again.
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
    """The run tags that select all partitions at once."""
    return {_START: keys[0], _END: keys[-1]}


def register_sources(instance: dg.DagsterInstance, pool: Pool, lake: Lake) -> tuple[list[str], list[str]]:
    """Make the `source` partitions equal to the folders of the pool.

    A source that is gone loses its partition and its rows; what is downstream of it follows at the next run.

    Returns:
        The names added and the names removed.
    """
    assert SOURCES.name
    have, want = set(instance.get_dynamic_partitions(SOURCES.name)), set(pool.source_folders())
    added, removed = sorted(want - have), sorted(have - want)
    instance.add_dynamic_partitions(SOURCES.name, added)
    for name in removed:
        instance.delete_dynamic_partition(SOURCES.name, name)
    for registered in needed_by(None):
        if registered.axis == "source":
            lake.prune(registered.asset, want)
    return added, removed


def sources_state(pool: Pool) -> str:
    """Return a text that differs when a folder of the pool has come, changed or gone."""
    return "\n".join(f"{name} {stat_fingerprint(folder)}" for name, folder in pool.source_folders().items())


def state_file(lake: Lake) -> Path:
    """Return the file that holds the state of the sources of which `infinity run` made the graph last."""
    return lake.catalog / "sources.state"


def remember_state(lake: Lake, state: str) -> None:
    """Note that the graph was made of sources in this state, so that the sensor starts no run for them."""
    write_text(state, state_file(lake))


def _ingest_everything(instance: dg.DagsterInstance, run_key: str | None = None) -> dg.RunRequest | dg.SkipReason:
    sources = sorted(instance.get_dynamic_partitions(SOURCES.name or ""))
    if not sources:
        return dg.SkipReason("There are no sources.")
    return dg.RunRequest(run_key=run_key, job_name=ingest_sources.name, tags=whole_range(sources))


@dg.sensor(job=ingest_sources, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def watch_sources(context: dg.SensorEvaluationContext, lake: LakeResource):
    """Sees a new, changed or removed folder of the pool, registers the partitions, and reads the sources."""
    pool, opened = lake.pool(), lake.open()
    state, made = sources_state(pool), state_file(opened)
    if state == (context.cursor or "") or (made.exists() and made.read_text(encoding="utf-8") == state):
        return dg.SkipReason(f"No change in {len(pool.source_folders())} sources.")
    register_sources(context.instance, pool, opened)
    made.unlink(missing_ok=True)  # the run that follows is of another state
    context.update_cursor(state)
    return _ingest_everything(context.instance)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[ingest_sources],
    request_job=build_sets,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def build_after_ingest(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """Carries what was read to F, G and the release."""
    return dg.RunRequest(
        run_key=f"after-{context.dagster_run.run_id}", tags=whole_range(list(SHARDS.get_partition_keys()))
    )


@dg.schedule(job=ingest_sources, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def daily(context: dg.ScheduleEvaluationContext, lake: LakeResource):
    """Once a day, in case that the sensor was off: reads what changed, and the build follows."""
    register_sources(context.instance, lake.pool(), lake.open())
    return _ingest_everything(context.instance)
