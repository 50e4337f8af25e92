"""Speed and memory of the stages without a model: a whole process, from raw files to `decontaminated`.

    python -m infinity_assets_tests.benchmarks.ingest_and_curate SOURCES BENCHMARKS

Prints a line per asset (rows, seconds, rows/s) and the peak memory. Not a test: nothing is asserted on time.
"""

import tempfile
import time
from pathlib import Path

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.progress import LogReporter
from infinity_assets.reading.pool import Pool
from infinity_assets.runs.runner import run_graph
from infinity_assets_tests.benchmarks.measuring import parser, peak


def main() -> None:
    folders = {name: f"folder whose subfolders are the {name}" for name in ("sources", "benchmarks")}
    arguments = parser(__doc__, **folders).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        pool = Pool(sources=arguments.sources.absolute(), benchmarks=arguments.benchmarks.absolute())
        pool.save(data)
        began = time.monotonic()
        faults = run_graph(data, pool, LogReporter(), until="decontaminated")
        seconds = time.monotonic() - began
        for fault in faults:
            print(f"failed {fault.asset}: {fault.sentence}")
        with connect(data) as views:
            lines = views.sql(
                "select asset, sum(rows_out) as rows, sum(seconds) as seconds from materializations group by asset order by max(finished_at)"
            )
            for asset, rows, spent in lines.fetchall():
                print(f"{asset:<16} {rows:>10,.0f} rows {spent:>8.1f} s {rows / max(spent, 1e-3):>12,.0f} rows/s")
        manifests = [Lake(data).manifest("raw_pool", name) for name in pool.source_folders()]
        records = sum(manifest.rows_created or 0 for manifest in manifests if manifest)
        speed = f"{records / seconds:,.0f} records/s"
        print(f"{records:,} records in {seconds:.1f} s: {speed}, peak memory {peak():.2f} GiB")


if __name__ == "__main__":
    main()
