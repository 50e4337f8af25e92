"""Speed, cores and memory of the way from sources to `raw_pool`: a whole process, from `infinity run` to its exit.

    python -m infinity_assets_tests.benchmarks.ingest pool SOURCES        every source of a folder
    python -m infinity_assets_tests.benchmarks.ingest large SOURCES 10    one JSONL file of 10 GB from rows of the pool
    python -m infinity_assets_tests.benchmarks.ingest files SOURCES       20,000 files of one row, and one file of them

For comparison, a plain reader parses the same records with Python's `json` in one process, keeps nothing, makes no ids,
detects no language and writes no files. `memory` is the peak of the summed proportional set sizes (PSS) of all
processes. Not a test: nothing is asserted on time.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import orjson

from infinity_assets.catalog.lake import Lake
from infinity_assets.reading.layouts import Parsed, parse
from infinity_assets.reading.reader import records_of
from infinity_assets.reading.sources import find_sources, load_source
from infinity_assets.reading.streams import open_files
from infinity_assets_tests.benchmarks.measuring import measured, parser

FILES = 20_000


def ingest(sources: Path) -> None:
    """Ingest all sources of a folder into a new data folder, and print the measurements."""
    stored = sum(os.stat(file.path).st_size for folder in find_sources(sources) for file in load_source(folder).files())
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "infinity_assets", "run", "--sources", str(sources), "--until", "raw_pool"]
        took = measured(command, {"INFINITY_DATA": data})
        lake = Lake(Path(data))
        manifests = [manifest for name in lake.partitions("raw_pool") if (manifest := lake.manifest("raw_pool", name))]
        records, rows = sum(m.rows_created or 0 for m in manifests), sum(m.rows_out for m in manifests)
        asset = sum(m.seconds for m in manifests)
        print(
            f"infinity      {took.seconds:7.1f} s  {records:>10,} records, {rows:,} rows  {records / took.seconds:>9,.0f} records/s  "
            f"{stored / 1e6 / took.seconds:6.0f} MB/s stored  {took.cpu / took.seconds:.2f} cores  memory {took.memory:.2f} GiB  "
            f"(raw_pool alone {asset:.1f} s)",
            flush=True,
        )


def plain(sources: Path) -> None:
    """Measure the plain reader."""
    began, records = time.monotonic(), 0
    for folder in find_sources(sources):
        source = load_source(folder)
        for file in source.files():
            with open(file.path, "rb") as stream:
                for opened in open_files(stream, file.name, partial(source.wants, "archive")):
                    for text in opened.stream if opened.suffix == ".jsonl" else [opened.stream.read()]:
                        try:
                            value = json.loads(text)
                        except ValueError:  # damaged, or no JSON
                            continue
                        records += len(value) if isinstance(value, list) else 1
    print(f"plain reader  {time.monotonic() - began:7.1f} s  (parses {records:,} values, one core, keeps nothing)")


def lines_of(sources: Path) -> Iterator[bytes]:
    """Yield endless, distinct conversations of the pool as JSON Lines of `messages`."""
    number = 0
    while True:
        for folder in find_sources(sources):
            for _, record in records_of(load_source(folder)):
                for row in parse(record.value):
                    if isinstance(row, Parsed):
                        number += 1
                        first, *others = row.messages
                        numbered = {**first, "content": f"{number}. {first['content']}"}
                        yield orjson.dumps({"messages": [numbered, *others]}, option=orjson.OPT_APPEND_NEWLINE)
        if not number:
            raise SystemExit(f"{sources} holds no rows to repeat.")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("what", choices=("pool", "large", "files"))
    options.add_argument("sources", type=Path, help="folder whose subfolders are the sources")
    options.add_argument("gigabytes", type=float, nargs="?", default=10.0, help="size of the large file")
    arguments = options.parse_args()
    if arguments.what == "pool":
        ingest(arguments.sources.absolute())
        plain(arguments.sources)
        return
    rows = lines_of(arguments.sources)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "large":
            file, size = Path(folder, "one", "large", "rows.jsonl"), 0
            file.parent.mkdir(parents=True)
            with file.open("wb") as stream:
                while size < arguments.gigabytes * 1e9:
                    size += stream.write(next(rows))
            ingest(Path(folder, "one"))
            plain(Path(folder, "one"))
            return
        many, one = Path(folder, "many", "rows"), Path(folder, "one", "rows")
        many.mkdir(parents=True)
        one.mkdir(parents=True)
        lines = [next(rows) for _ in range(FILES)]
        for number, line in enumerate(lines):
            (many / f"{number:05}.jsonl").write_bytes(line)
        (one / "rows.jsonl").write_bytes(b"".join(lines))
        for root in (one.parent, many.parent):
            print(f"{sum(1 for _ in root.rglob('*.jsonl')):,} files")
            ingest(root)


if __name__ == "__main__":
    main()
