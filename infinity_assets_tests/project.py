"""A project for the end-to-end tests: a data folder and the `infinity` command."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets_tests import forks

PROJECT = Path(__file__).parents[1]
ROLES = ("generator", "tagger", "judge", "scorer")


@dataclass(frozen=True)
class Project:
    """A data folder and the `infinity` command, with all models on one server."""

    folder: Path
    models: Path
    url: str
    """Address of the server."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Environment variables that override those in `environment`."""
    embedder: str = ""
    """The embedder, if it is not the default."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def lake(self) -> Lake:
        return Lake(self.data)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process: as in `make demo`, but with few rows for the models."""
        spec = {"backend": "openai", "model": "oracle", "base_url": self.url, "concurrency": 8}
        students = [
            {"name": name, "model": spec, "sampling": {"temperature": 0.5 * place}}
            for place, name in enumerate(("calm", "bold"))
        ]
        embedder = {"embedder": {"model": self.embedder}} if self.embedder else {}
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "settings.yaml"
        file.write_text(yaml.safe_dump({"models": {**dict.fromkeys(ROLES, spec), "students": students, **embedder}}))
        return {
            **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
            "INFINITY_DATA": str(self.data),
            "INFINITY_MODELS": str(self.models),
            "INFINITY_SETTINGS": str(file),
            "INFINITY_SHARDS": forks.SHARDS,
            "INFINITY_INGEST__WORKERS": "1",  # another process would import everything again
            "INFINITY_SCORING__MAX_ROWS": "100",
            "INFINITY_CHAT__SEEDS__MAX_SEEDS": "32",
            "INFINITY_FROM_TEXT__MAX_TEXTS": "8",
            "INFINITY_CHAT__ANSWERING__SAMPLES": "2",
            "INFINITY_CHAT__CONVERSATIONS__SHARE": "0.5",  # about twenty answers
            **{name: str(value) for name, value in self.settings.items()},
        }

    def start(self, *arguments: str, fatal: str = "") -> ForkServerProcess:
        """Start a command in a new process. `forks.start` documents `fatal`."""
        return forks.start(arguments, self.environment(), self._output, fatal)

    def infinity(self, *arguments: str) -> str:
        """Run a command, which must succeed, and return its output."""
        process = self.start(*arguments)
        process.join()
        output = self._output.read_text(encoding="utf-8")
        assert process.exitcode == 0, output
        return output

    def sql(self, query: str) -> pl.DataFrame:
        with connect(self.data) as views:
            return views.sql(query).pl()

    def rows(self) -> dict[str, bytes]:
        """Return the bytes of every file of rows, by its path in the lake."""
        return {
            str(file.relative_to(self.lake.rows)): file.read_bytes()
            for file in sorted(self.lake.rows.rglob("*.parquet"))
        }

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"


def sources_arguments() -> tuple[str, ...]:
    """Return the options that select the sample sources and benchmarks of the repository."""
    return "--sources", str(PROJECT / "data" / "sources"), "--benchmarks", str(PROJECT / "data" / "benchmarks")
