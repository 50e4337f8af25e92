"""A data folder of its own with the `infinity` command on it, as the end-to-end tests use it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Project:
    """A data folder of its own, and the `infinity` command on it."""

    data: Path
    models: Path

    @property
    def lake(self) -> Lake:
        return Lake(self.data)

    def environment(self) -> dict[str, str]:
        # A small part of the pool for the models keeps the test short; everything else is as in `make demo`.
        return {
            **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
            "INFINITY_DATA": str(self.data),
            "INFINITY_MODELS": str(self.models),
            "INFINITY_SCORING__MAX_ROWS": "100",
            "INFINITY_CHAT__SEEDS__MAX_SEEDS": "32",
            "INFINITY_FROM_TEXT__MAX_TEXTS": "8",
            "INFINITY_CHAT__CONVERSATIONS__SHARE": "0.5",  # of some ten answers
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "infinity_assets", *arguments]
        return subprocess.Popen(command, cwd=PROJECT, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def infinity(self, *arguments: str) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def sql(self, query: str) -> pl.DataFrame:
        with connect(self.data) as views:
            return views.sql(query).pl()

    def rows(self) -> dict[str, bytes]:
        """The bytes of every file of rows, by its path in the lake."""
        return {str(file.relative_to(self.lake.rows)): file.read_bytes() for file in sorted(self.lake.rows.rglob("*.parquet"))}


def sources_arguments() -> tuple[str, ...]:
    """The sample sources and benchmarks of the repository, for a data folder that has none."""
    return "--sources", str(PROJECT / "data" / "sources"), "--benchmarks", str(PROJECT / "data" / "benchmarks")
