"""A data folder of its own with the `infinity` command on it, as the end-to-end tests use it."""

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
    """A data folder of its own, and the `infinity` command on it. Its models are all on one server."""

    folder: Path
    models: Path
    url: str
    """The address of the server."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Variables that differ from those below."""
    embedder: str = ""
    """The embedder, if it is not the default."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def lake(self) -> Lake:
        return Lake(self.data)

    def environment(self) -> dict[str, str]:
        """Return the variables for a process: a small part of the pool for the models, else much as in `make demo`."""
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
            "INFINITY_INGEST__WORKERS": "1",  # a process more would import everything again, and fork no less
            "INFINITY_SCORING__MAX_ROWS": "100",
            "INFINITY_CHAT__SEEDS__MAX_SEEDS": "32",
            "INFINITY_FROM_TEXT__MAX_TEXTS": "8",
            "INFINITY_CHAT__ANSWERING__SAMPLES": "2",
            "INFINITY_CHAT__CONVERSATIONS__SHARE": "0.5",  # of some twenty answers
            **{name: str(value) for name, value in self.settings.items()},
        }

    def start(self, *arguments: str, fatal: str = "") -> ForkServerProcess:
        """Start a command in a process of its own. `forks.start` tells what is fatal."""
        return forks.start(arguments, self.environment(), self._output, fatal)

    def infinity(self, *arguments: str) -> str:
        """Run the command and return what it prints. It must go well."""
        process = self.start(*arguments)
        process.join()
        output = self._output.read_text(encoding="utf-8")
        assert process.exitcode == 0, output
        return output

    def sql(self, query: str) -> pl.DataFrame:
        with connect(self.data) as views:
            return views.sql(query).pl()

    def rows(self) -> dict[str, bytes]:
        """The bytes of every file of rows, by its path in the lake."""
        return {
            str(file.relative_to(self.lake.rows)): file.read_bytes()
            for file in sorted(self.lake.rows.rglob("*.parquet"))
        }

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"


def sources_arguments() -> tuple[str, ...]:
    """The sample sources and benchmarks of the repository, for a data folder that has none."""
    return "--sources", str(PROJECT / "data" / "sources"), "--benchmarks", str(PROJECT / "data" / "benchmarks")
