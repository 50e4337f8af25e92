"""Speed and memory of the stages without a model: a whole process, from raw files to `decontaminated`.

    python -m infinity_assets_tests.benchmarks.ingest_and_curate SOURCES BENCHMARKS

Prints a line per asset (rows, seconds, rows/s) and the peak memory. Not a test: nothing is asserted on time.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.progress import LogReporter
from infinity_assets.reading.pool import Pool
from infinity_assets.runs.runner import Runner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder whose subfolders are the sources")
    parser.add_argument("benchmarks", type=Path, help="folder whose subfolders are the benchmarks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        pool = Pool(sources=arguments.sources.absolute(), benchmarks=arguments.benchmarks.absolute())
        pool.save(data)
        began = time.monotonic()
        faults = Runner(data, pool, LogReporter()).run(until="decontaminated")
        seconds = time.monotonic() - began
        for fault in faults:
            print(f"failed {fault.asset}: {fault.sentence}")
        with connect(data) as views:
            lines = views.sql(
                "select asset, sum(rows_out) as rows, sum(seconds) as seconds from materializations group by asset order by max(finished_at)"
            )
            for asset, rows, spent in lines.fetchall():
                print(f"{asset:<16} {rows:>10,.0f} rows {spent:>8.1f} s {rows / max(spent, 1e-3):>12,.0f} rows/s")
        records = sum(
            manifest.rows_created or 0
            for name in pool.source_folders()
            if (manifest := Lake(data).manifest("raw_pool", name))
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{records:,} records in {seconds:.1f} s: {records / seconds:,.0f} records/s, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
