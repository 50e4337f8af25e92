"""The lake on disk: rows, manifests and ledger tables of every asset and partition.

    lake/<asset>/<partition>.parquet                 the rows
    catalog/manifests/<asset>/<partition>.json       the latest materialization
    catalog/history/<asset>/<partition>/<run>.json   earlier materializations
    catalog/<table>/<asset>/<partition>.parquet      the ledger tables of the latest materialization
    catalog/generations/<asset>/<partition>/<run>.parquet   model calls of every materialization

An asset without partitions has one partition, `all`. Processes do not keep files open, so several may read and write
at once.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from infinity_assets.atomic import write_parquet, write_text
from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import RETRIABLE
from infinity_assets.rows import schema

ALL = "all"
"""The partition of an asset without partitions."""

_TABLES = {
    "decisions": schema.DECISIONS,
    "edges": schema.EDGES,
    "origins": schema.ORIGINS,
    "annotations": schema.ANNOTATIONS,
    "quarantine": schema.QUARANTINE,
    "files": schema.FILES,
    "keys": schema.KEYS,
}
"""Columns of the ledger tables that hold only the latest materialization, by table."""

LEDGER = {table: pl.Schema({**columns, **schema.texts("asset", "partition")}) for table, columns in _TABLES.items()}
LEDGER["generations"] = pl.Schema({**schema.GENERATIONS, **schema.texts("asset", "partition", "run_id")})
"""Schema of each ledger table, by name."""

_RESULTS = ("release", "inf_instruct_f", "inf_instruct_g")


@dataclass(frozen=True)
class Outcome:
    """The result of a step: rows and ledger tables. Lazy frames are streamed to disk."""

    rows: pl.DataFrame | pl.LazyFrame
    rows_in: int | None = None
    """Number of rows of the inputs. It and `rows_created` are `None` if the grain of the asset is not the row."""
    rows_created: int | None = None
    """Number of rows that were read from files or synthesized."""
    decisions: pl.DataFrame | pl.LazyFrame = field(default_factory=schema.DECISIONS.to_frame)
    edges: pl.DataFrame = field(default_factory=schema.EDGES.to_frame)
    origins: pl.DataFrame | pl.LazyFrame = field(default_factory=schema.ORIGINS.to_frame)
    annotations: pl.DataFrame | pl.LazyFrame = field(default_factory=schema.ANNOTATIONS.to_frame)
    quarantine: pl.DataFrame | pl.LazyFrame = field(default_factory=schema.QUARANTINE.to_frame)
    files: pl.DataFrame | pl.LazyFrame = field(default_factory=schema.FILES.to_frame)
    keys: pl.DataFrame | pl.LazyFrame = field(default_factory=schema.KEYS.to_frame)
    generations: pl.DataFrame = field(default_factory=schema.GENERATIONS.to_frame)
    artefacts: Sequence[Path] = ()
    """Files that the step wrote into the data folder outside the lake, such as those of a release."""
    measures: Mapping[str, int | float | str | None] = field(default_factory=dict)
    """Numbers for the asset's page."""
    charts: Mapping[str, str] = field(default_factory=dict)
    """Markdown for the asset's page."""

    @property
    def counted(self) -> bool:
        """True if the grain of the asset is the row, so that the numbers of rows must add up."""
        return self.rows_in is not None or self.rows_created is not None


class StepKey(BaseModel):
    """Everything that the result of a materialization depends on: equal keys give equal results."""

    model_config = ConfigDict(frozen=True)

    asset: str
    partition: str
    code_version: str
    settings_hash: str
    inputs: dict[str, str]
    """Data version of each input by `asset/partition`, and fingerprints of other files by name."""


class Manifest(StepKey):
    """The record of one materialization of one partition."""

    run_id: str
    finished_at: datetime
    seconds: float
    rows_in: int | None
    rows_created: int | None
    rows_out: int
    rows_dropped: int | None
    bytes: int
    unanswered: int = 0
    """Number of model calls with a retriable error (the server was down). The next run materializes the partition again
    and makes only these calls."""
    data_version: str
    """Hash of the Parquet file of the rows. Downstream assets are materialized again only if it changes."""
    files: dict[str, int] = Field(default_factory=dict)
    """Size in bytes of each file of `Outcome.artefacts`, by its path in the data folder."""
    made_with: list[str] = Field(default_factory=list)
    """The settings behind `settings_hash`, one text per section: `infinity plan` names the ones that changed."""
    measures: dict[str, int | float | str | None]
    charts: dict[str, str]


class Lake:
    """The rows, manifests and ledger tables of one data folder."""

    def __init__(self, data: Path):
        self.data = data
        self.rows = data / "lake"
        self.catalog = data / "catalog"

    def rows_file(self, asset: str, partition: str = ALL) -> Path:
        """Return the path of the rows of a partition."""
        return self.rows / asset / f"{partition}.parquet"

    def manifest_file(self, asset: str, partition: str = ALL) -> Path:
        """Return the path of the latest manifest of a partition."""
        return self.catalog / "manifests" / asset / f"{partition}.json"

    def ledger_file(self, table: str, asset: str, partition: str = ALL) -> Path:
        """Return the path of a ledger table of a partition. An empty table has no file."""
        return self.catalog / table / asset / f"{partition}.parquet"

    def ledger_table(self, table: str, asset: str, partition: str = ALL) -> pl.LazyFrame:
        """Return a ledger table of the latest materialization of a partition."""
        file = self.ledger_file(table, asset, partition)
        return pl.scan_parquet(file, glob=False) if file.exists() else pl.LazyFrame(schema=LEDGER[table])

    def request_keys(self, latest: bool) -> pl.Series:
        """Return the distinct request keys of the model calls of all materializations, or only of the `latest` of each
        partition.
        """
        root = self.catalog / "generations"
        files = sorted(root.glob("*/*/*.parquet"))
        if latest:
            manifests = {file.parent: self.manifest(*file.parent.relative_to(root).parts) for file in files}
            files = [file for file in files if (manifest := manifests[file.parent]) and manifest.run_id == file.stem]
        calls = pl.scan_parquet(files, glob=False) if files else pl.LazyFrame(schema=LEDGER["generations"])
        return calls.select(pl.col("request_key").unique()).collect(engine="streaming").to_series()

    def spent(self, run_id: str) -> tuple[int, float]:
        """Return the tokens (prompt and completion) and the cost of the model calls that a run has made."""
        files = sorted((self.catalog / "generations").glob(f"*/*/{run_id}.parquet"))
        if not files:
            return 0, 0.0
        paid = pl.scan_parquet(files, glob=False).filter(~pl.col("cached"))
        tokens = pl.col("prompt_tokens").sum() + pl.col("completion_tokens").sum()
        return paid.select(tokens, pl.col("cost").sum()).collect().row(0)

    def assets(self) -> set[str]:
        """Return the names of the assets with a file of rows."""
        return {folder.name for folder in self.rows.glob("*") if any(folder.glob("*.parquet"))}

    def order(self) -> list[str]:
        """Return the names of the materialized assets, each after its inputs."""
        materialized = {asset: self.partitions(asset) for asset in sorted(self.assets())}
        inputs: dict[str, dict[str, None]] = {}
        for asset, partitions in materialized.items():
            manifests = [manifest for partition in partitions if (manifest := self.manifest(asset, partition))]
            inputs[asset] = {name.rpartition("/")[0]: None for manifest in manifests for name in manifest.inputs}
        order: dict[str, None] = {}

        def visit(asset: str) -> None:
            for upstream in inputs.pop(asset, ()):  # removed at the first visit, so that a cycle ends
                visit(upstream)
            if asset in materialized:
                order.setdefault(asset)

        # Visits begin at the final sets, because most assets are upstream of them.
        for asset in (*_RESULTS, *sorted(materialized)):
            visit(asset)
        return list(order)

    def partitions(self, asset: str) -> list[str]:
        """Return the names of the materialized partitions of an asset, sorted."""
        return sorted(file.stem for file in self.manifest_file(asset).parent.glob("*.json"))

    def manifest(self, asset: str, partition: str = ALL) -> Manifest | None:
        """Return the latest manifest of a partition; `None` if it is not materialized."""
        try:
            return Manifest.model_validate_json(self.manifest_file(asset, partition).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def scan(self, asset: str, partition: str | None = None) -> pl.LazyFrame:
        """Return the rows of one partition, or of all partitions sorted by name.

        Raises:
            InfinityError: The asset or the partition is not materialized.
        """
        partitions = self.partitions(asset) if partition is None else [partition]
        files = [self.rows_file(asset, p) for p in partitions]
        missing = [file for file in files if not file.exists()]
        if missing or not files:
            raise InfinityError(
                f"`{asset}` has not been materialized{f' for {partition}' if partition else ''}: materialize it first."
            )
        return pl.scan_parquet(files, glob=False)  # the name of a source may contain brackets: `alpaca[en]`

    def reusable(self, key: StepKey) -> Manifest | None:
        """Return the latest manifest of a partition if it can be reused.

        It can be reused if its key equals `key`, all its model calls were answered, and its files are intact.
        """
        manifest = self.manifest(key.asset, key.partition)
        if manifest is None or manifest.unanswered or not self.intact(manifest):
            return None
        return manifest if manifest.model_dump(include=set(StepKey.model_fields)) == key.model_dump() else None

    def intact(self, manifest: Manifest) -> bool:
        """Return whether the file of rows and the other files of a materialization still exist with unchanged sizes."""
        sizes = {
            self.rows_file(manifest.asset, manifest.partition): manifest.bytes,
            **{self.data / name: size for name, size in manifest.files.items()},
        }
        return all(file.exists() and file.stat().st_size == size for file, size in sizes.items())

    def commit(
        self, key: StepKey, outcome: Outcome, run_id: str, started: float, made_with: Sequence[str] = ()
    ) -> Manifest:
        """Write the rows, the ledger tables and then the manifest of a partition.

        The old manifest is moved to the history first. If the process is killed, the partition therefore has no
        manifest and is materialized again: no manifest ever describes other rows than those on disk.

        Args:
            started: Time at which the work began, from `time.time()`.
            made_with: The settings behind `key.settings_hash`, from `settings_texts`.
        """
        self._archive(key.asset, key.partition)
        file = self.rows_file(key.asset, key.partition)
        write_parquet(outcome.rows, file)
        stamp = {"asset": pl.lit(key.asset), "partition": pl.lit(key.partition)}
        for table in _TABLES:
            frame = getattr(outcome, table).with_columns(**stamp).select(list(LEDGER[table]))
            # Lazy frames are not sorted, because sorting would load them into memory.
            ordered = frame.sort(pl.all(), maintain_order=True) if isinstance(frame, pl.DataFrame) else frame
            self._write_ledger_table(ordered, self.ledger_file(table, key.asset, key.partition))
        self.write_calls(key, outcome.generations, run_id)
        dropped = outcome.decisions.lazy().filter(pl.col("verdict") == "dropped")
        manifest = Manifest(
            **key.model_dump(),
            run_id=run_id,
            finished_at=datetime.now(UTC),
            seconds=round(time.time() - started, 3),
            rows_in=outcome.rows_in if not outcome.counted else outcome.rows_in or 0,
            rows_created=outcome.rows_created if not outcome.counted else outcome.rows_created or 0,
            rows_out=_height(pl.scan_parquet(file, glob=False)),
            rows_dropped=_height(dropped) if outcome.counted else None,
            bytes=file.stat().st_size,
            unanswered=outcome.generations.filter(pl.col("error").is_in(RETRIABLE)).height,
            data_version=file_hash(file),
            files={file.relative_to(self.data).as_posix(): file.stat().st_size for file in outcome.artefacts},
            made_with=list(made_with),
            measures=dict(outcome.measures),
            charts=dict(outcome.charts),
        )
        write_text(manifest.model_dump_json(indent=1), self.manifest_file(key.asset, key.partition))
        return manifest

    def write_calls(self, key: StepKey, generations: pl.DataFrame, run_id: str) -> None:
        """Write the model calls (`schema.GENERATIONS`) of a materialization, even if it failed, after those of its
        earlier attempts.
        """
        stamp = {"asset": pl.lit(key.asset), "partition": pl.lit(key.partition), "run_id": pl.lit(run_id)}
        calls = generations.with_columns(**stamp).select(list(LEDGER["generations"]))
        file = self.catalog / "generations" / key.asset / key.partition / f"{run_id}.parquet"
        if file.exists():  # an earlier attempt of the same run
            calls = pl.concat([pl.read_parquet(file), calls])
        self._write_ledger_table(calls, file)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Create an empty folder in the data folder, and delete it at the end of the `with` block.

        Folders that killed processes left behind are deleted, too.
        """
        root = self.data / ".scratch"
        for left in root.glob("*-*"):
            if not Path(f"/proc/{left.name.partition('-')[0]}").exists() and Path("/proc").exists():
                shutil.rmtree(left, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self, asset: str, partition: str) -> None:
        """Delete the rows and ledger tables of a partition, but keep its manifests (in the history) and model calls."""
        self._archive(asset, partition)
        self.rows_file(asset, partition).unlink(missing_ok=True)
        for table in _TABLES:
            self.ledger_file(table, asset, partition).unlink(missing_ok=True)

    def prune(self, asset: str, keep: Iterable[str]) -> list[str]:
        """Remove all partitions of an asset but those to `keep`, and return their names, sorted.

        They belong to removed sources or to an earlier number of shards.
        """
        # A process that was killed while it wrote may have left rows and ledger tables without a manifest.
        tables = (self.catalog / table / asset for table in _TABLES)
        files = (file for folder in (self.rows / asset, *tables) for file in folder.glob("*.parquet"))
        gone = sorted({*self.partitions(asset), *(file.stem for file in files)} - set(keep))
        for partition in gone:
            self.remove(asset, partition)
        return gone

    def _archive(self, asset: str, partition: str) -> None:
        manifest = self.manifest(asset, partition)
        if manifest:
            past = self.catalog / "history" / asset / partition / f"{manifest.run_id}.json"
            past.parent.mkdir(parents=True, exist_ok=True)
            self.manifest_file(asset, partition).replace(past)

    @staticmethod
    def _write_ledger_table(frame: pl.DataFrame | pl.LazyFrame, file: Path) -> None:
        if _height(frame.lazy()):
            write_parquet(frame, file)
        else:
            file.unlink(missing_ok=True)


def _height(frame: pl.LazyFrame) -> int:
    return frame.select(pl.len()).collect(engine="streaming").item()


def file_hash(file: Path) -> str:
    """Return a hash of the bytes of a file, of 16 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
