"""Planner of a run: executes the assets' own functions on a sample, in a temporary lake.

For every asset that would be materialized, in the order of the graph:

1. Its function runs with answers from the response store alone. This builds the requests and counts the stored ones,
   without a call.
2. If answers are missing, its function runs on a sample of the rows that lack one. These calls are made and stored, so
   that the run that follows finds them. All other rows are estimated from the sample (`runs/estimate.py`).
3. Its rows go to the temporary lake, beside links to the assets that are up to date, where the next asset reads them.
   In a table of scores, a row without an answer gets the line of the most similar sampled row, so that seeds and F are
   selected from a whole pool and with their caps.

The real lake is not changed.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import ALL, Lake, Outcome, StepKey
from infinity_assets.catalog.staleness import Dependencies, Reason, stale_reasons
from infinity_assets.defs.registry import Registered, find, needed_by
from infinity_assets.defs.step import Step, show_calls
from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.models import Models
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.locations import models_dir
from infinity_assets.progress import reporter
from infinity_assets.reading.pool import Pool
from infinity_assets.runs.estimate import Estimate, expand, total
from infinity_assets.runs.observed_calls import NOT_ASKED, ObservedInference, StoredInference, TimedPool
from infinity_assets.runs.plan import AssetPlan, Plan, Stage
from infinity_assets.runs.plan_sandbox import (
    count_rows,
    describe_rows,
    fill_from_sample,
    forget,
    merge_outcomes,
    mirror_of,
    pair_with_parents,
    remove_rows,
    replace_rows,
)
from infinity_assets.runs.projection import KnownCalls, calls_of, project
from infinity_assets.scoring import sample
from infinity_assets.settings import Settings, path_of, settings_hash, settings_texts
from infinity_assets.training.proxy import CURVE

_VECTOR = 1600
"""Approximate bytes of a stored vector: 384 numbers of four bytes, and its key."""


@dataclass(frozen=True)
class PlannedStep(Step):
    """A step that records its model calls and sends only some rows to models."""

    trains: bool = False
    observed: ObservedInference | None = None
    choose: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows

    def sampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that `choose` selects."""
        return self.choose(rows)

    def inference(self) -> ObservedInference:
        """Return the model client that records its calls."""
        assert self.observed
        return self.observed


@dataclass
class _Run:
    """One pass over the partitions of an asset."""

    models: ObservedInference
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    """The rows that went to the asset's models, by partition, in the form of `describe_rows`."""
    seconds: float = 0.0

    @property
    def all_rows(self) -> pl.DataFrame:
        """The rows of all partitions."""
        return pl.concat(self.rows.values(), how="diagonal") if self.rows else pl.DataFrame(schema=_ROWS)

    @property
    def calls(self) -> pl.DataFrame:
        """The model calls of all partitions."""
        return calls_of(self.models.batches)


_ROWS = {"row_id": pl.String, "kind": pl.String, "language": pl.String, "length": pl.Int64}


class Planner:
    """Planner of the next run of a data folder.

    Args:
        data: The data folder.
        pool: The folders of the pool.
        settings: The settings in force.
        size: Rows of the sample, per asset.
        offline: Whether to make no call and use stored responses only.
        engines: The engines; by default those of the models folder.
    """

    def __init__(
        self,
        data: Path,
        pool: Pool,
        settings: Settings,
        size: int,
        offline: bool = False,
        engines: EnginePool | None = None,
    ):
        self._lake = Lake(data)
        self._pool = pool
        self._settings = settings
        self._size = size
        self._offline = offline
        self._responses = ResponseStore(data / "responses")
        self._models = Models(engines or EnginePool(models_dir()))
        self._engines = TimedPool(self._models.engines)
        self._weights = pl.DataFrame(schema={"row_id": pl.String, "weight": pl.Float64})
        self._out: dict[str, Estimate] = {}  # estimated rows, by asset
        self._guessed: set[str] = set()  # assets whose rows are not the rows of the run itself
        self._unknown: set[str] = set()  # assets whose rows cannot be estimated
        self._hollow: set[str] = set()  # assets whose rows lack the answers of models
        self._notes: list[str] = []
        self._measured: dict[str, list[tuple[float, float, float]]] = {}
        self._sampled = [0, 0, 0.0]

    def make(self, until: str | None = None) -> Plan:
        """Make the plan of all assets, or of those that `until` needs."""
        made_at = datetime.now(UTC)
        order = needed_by(until)
        with self._lake.scratch() as folder:
            mirror = mirror_of(self._lake, folder, (registered.asset for registered in order if registered.trains))
            for registered in order:
                forget(
                    mirror,
                    registered.asset,
                    set(mirror.partitions(registered.asset)) - set(self._partitions(registered.asset)),
                )
            reasons = self._reasons(order, mirror, folder)
            plans = self._plans([r for r in order if r.asset in reasons], reasons, mirror, folder) if reasons else []
        return Plan(
            made_at, self._size, self._offline, reasons, tuple(plans), tuple(self._notes), self._engines.opening,
            int(self._sampled[0]), int(self._sampled[1]), self._sampled[2],
        )  # fmt: skip

    # --- reasons to materialize ---------------------------------------------------------------------------------------

    def _reasons(
        self, order: Sequence[Registered], mirror: Lake, folder: Path
    ) -> dict[str, dict[str, tuple[Reason, ...]]]:
        by_asset: dict[str, dict[str, tuple[Reason, ...]]] = {}
        remade: set[tuple[str, str]] = set()
        wordings = (prompt for name in prompts.names() for prompt in prompts.load_all(name, self._settings.prompts_dir))
        prompt_of = {prompt.hash: f"prompt {prompt.label}" for prompt in wordings}
        for registered in order:
            parts = registered.settings(self._settings)
            names = [path_of(part, self._settings) or prompt_of.get(str(part), "") for part in parts]
            for partition in self._partitions(registered.asset):
                reads = [
                    (upstream, name)
                    for upstream in registered.inputs
                    for name in (
                        [partition] if registered.reads_same_partition(upstream) else self._partitions(upstream)
                    )
                ]
                step = self._step(registered, partition, mirror, folder)
                try:
                    wanted = Dependencies(
                        registered.asset, partition, registered.version, settings_texts(*parts), settings_hash(*parts),
                        names, reads, registered.files(step),
                    )  # fmt: skip
                    reasons = stale_reasons(self._lake, wanted, remade)
                except InfinityError as error:
                    reasons = [Reason("source", str(error))]
                if reasons:
                    by_asset.setdefault(registered.asset, {})[partition] = tuple(reasons)
                    remade.add((registered.asset, partition))
        return by_asset

    def _partitions(self, asset: str) -> list[str]:
        return find(asset).partition_names(self._pool.source_folders())

    # --- cost ---------------------------------------------------------------------------------------------------------

    def _plans(
        self,
        stale: Sequence[Registered],
        reasons: Mapping[str, Mapping[str, tuple[Reason, ...]]],
        mirror: Lake,
        folder: Path,
    ) -> list[AssetPlan]:
        plans = []
        for registered in stale:
            asset, partitions = registered.asset, list(reasons[registered.asset])
            if registered.trains and not mirror.partitions(asset):  # downstream assets work without trained weights
                replace_rows(mirror, self._key(registered, ALL), Outcome(pl.DataFrame(schema=CURVE)))
            if registered.trains or not registered.is_planned:
                continue
            if self._unknown & set(registered.inputs) or not all(mirror.partitions(name) for name in registered.inputs):
                self._unknown.add(asset)
                plans.append(AssetPlan(asset, len(partitions), None, known=False))
                continue
            plans.append(self._plan(registered, partitions, mirror, folder))
        needed = {registered.asset for plan in plans for registered in needed_by(plan.asset)}
        first = [r.asset for r in stale if r.asset in needed and not r.is_planned]
        waits = [name for name in first if not self._lake.partitions(name)]
        if waits:
            self._notes.append(
                f"{', '.join(waits)} must be made first: `infinity run --until {waits[-1]}`; then plan again."
            )
        elif first:
            self._notes.append(f"{', '.join(first)} will be made again first: the plan uses the present pool.")
        wanted = {"evolved": self._settings.chat.evolution.accept, "answered": self._settings.chat.answering.accept}
        if bound := [plan.asset for plan in plans if wanted.get(find(plan.asset).stem)]:
            self._notes.append(
                f"{', '.join(bound)}: stops when enough rows are accepted; the plan counts all candidates, the maximum."
            )
        if "tuned" in reasons and self._settings.chat.seeds.tuned.enabled:
            self._notes.append(
                "tuned is trained first: the calls of loss_after, one per row with a loss, are not counted."
            )
        if guessed := [plan.asset for plan in plans if plan.asset in self._guessed and plan.calls and plan.calls.value]:
            self._notes.append(f"{', '.join(guessed)}: their rows depend on answers and are estimated from the sample.")
        return plans

    def _plan(self, registered: Registered, partitions: list[str], mirror: Lake, folder: Path) -> AssetPlan:
        asset = registered.asset
        looked = self._pass(
            registered,
            partitions,
            mirror,
            folder,
            StoredInference(self._responses, self._settings.calls.retries, self._models.engines.folder),
        )
        calls = looked.calls
        lacking = calls.filter(pl.col("error") == NOT_ASKED).select(pl.col("row_id").unique())
        population = looked.all_rows.join(self._weights, on="row_id", how="left", maintain_order="left")
        population = population.with_columns(pl.col("weight").fill_null(1.0))
        unanswered = population.join(lacking, on="row_id", how="semi", maintain_order="left")
        asked = None
        if self._hollow & set(registered.inputs) and not population.height:
            self._unknown.add(asset)
            return AssetPlan(asset, len(partitions), None, known=False)
        if unanswered.height and not self._offline:
            asked = self._ask(registered, looked, unanswered, mirror, folder)
        real, source_rows = self._source(registered)
        self._commit(registered, looked, asked, population, unanswered, mirror)
        known = not unanswered.height or asked is not None
        if unanswered.height or self._guessed & set(registered.inputs):
            self._guessed.add(asset)
        sampled = _with_weights(asked, unanswered)
        known_calls = KnownCalls(
            looked.models.batches, asked.models.batches if asked else [], population, unanswered, sampled, real,
            source_rows, self._measured, self._before(asset),
        )  # fmt: skip
        stages = project(known_calls)
        embedded, embed_seconds = self._embedding(looked, asked, sampled)
        rows = (
            Estimate(float(population["weight"].sum())).among(source_rows)
            if population.height
            else self._out.get(asset)
        )
        keys = tuple(asked.calls.filter(~pl.col("cached"))["key"]) if asked else ()
        disk = self._disk(registered, partitions, mirror, stages, asked, embedded)
        known = known or all(stage.prompt_tokens is not None for stage in stages)
        return AssetPlan(
            asset, len(partitions), rows, tuple(stages), embedded, looked.seconds, embed_seconds, disk, keys, known
        )

    def _before(self, asset: str) -> pl.DataFrame:
        """Return the calls of earlier runs, which only an offline plan needs: prompt, model, completion_tokens."""
        files = list((self._lake.catalog / "generations" / asset).rglob("*.parquet"))
        columns = {"prompt": pl.String, "model": pl.String, "completion_tokens": pl.Int64}
        return (
            pl.scan_parquet(files, glob=False).select(list(columns)).collect()
            if files and self._offline
            else pl.DataFrame(schema=columns)
        )

    def _source(self, registered: Registered) -> tuple[bool, Estimate]:
        """Return what is known of the rows that go to an asset's models; they come from the first asset that it reads.

        Returns:
            Whether they are the rows of the run itself, and their estimated number (1 if it is known exactly).
        """
        source = next(iter(registered.inputs), "")
        return source not in self._guessed, self._out[source] if source in self._guessed else Estimate(1.0)

    def _step(self, registered: Registered, partition: str, mirror: Lake, folder: Path) -> PlannedStep:
        return PlannedStep(
            registered.asset, partition, self._settings, mirror, self._pool, self._models, folder, folder
        )

    def _pass(
        self,
        registered: Registered,
        partitions: Iterable[str],
        mirror: Lake,
        folder: Path,
        models: ObservedInference,
        choose: Mapping[str, pl.DataFrame] | None = None,
    ) -> _Run:
        """Run the asset's function on partitions, with all rows or with the rows in `choose`."""
        run, began = _Run(models), time.monotonic()
        for partition in partitions:

            def choose_rows(rows: pl.DataFrame, partition: str = partition) -> pl.DataFrame:
                if choose is not None:
                    rows = rows.join(choose[partition], on="row_id", how="semi", maintain_order="left")
                run.rows[partition] = describe_rows(rows)
                return rows

            reporter().begin(f"plan {registered.asset}", partition)
            with mirror.scratch() as scratch, mirror.scratch() as shared:
                step = PlannedStep(
                    registered.asset, partition, self._settings, mirror, self._pool, self._models, scratch, shared,
                    key=self._key(registered, partition), observed=models, choose=choose_rows,
                )  # fmt: skip
                outcome = registered.function(step)
                run.outcomes[partition] = replace(outcome, rows=outcome.rows.lazy().collect())
            reporter().end(count_rows(outcome), reused=False)
        run.seconds = time.monotonic() - began
        return run

    def _key(self, registered: Registered, partition: str) -> StepKey:
        return StepKey(
            asset=registered.asset, partition=partition, code_version=registered.version, settings_hash="", inputs={}
        )

    def _ask(self, registered: Registered, looked: _Run, unanswered: pl.DataFrame, mirror: Lake, folder: Path) -> _Run:
        """Run the asset's function on a sample of the unanswered rows.

        A shard is a sample by row id, so the sample is taken from the first shards that hold enough rows: then as many
        requests as possible are in flight together. Of an asset by source, every source gets its share.
        """
        choose: dict[str, pl.DataFrame] = {}
        left = self._size
        by_source = registered.partitions == "source"
        spread = sample.take_stratified(unanswered, left) if by_source else unanswered
        for partition, rows in looked.rows.items():
            lacking = rows.join(spread, on="row_id", how="semi", maintain_order="left")
            if left and lacking.height:
                choose[partition] = sample.take_stratified(lacking, left).select("row_id")
                left -= choose[partition].height
        models = ObservedInference(self._responses, self._engines, self._settings.calls.retries, show_calls)
        asked = self._pass(registered, choose, mirror, folder, models, choose)
        paid = asked.calls.filter(~pl.col("cached"))
        self._sampled[0] += paid.height
        self._sampled[1] += int(paid["prompt_tokens"].sum()) + int(paid["completion_tokens"].sum())
        for batch in models.batches:
            new = batch.calls.filter(~pl.col("cached"))
            if new.height:
                tokens = float(new["prompt_tokens"].sum()), float(new["completion_tokens"].sum())
                self._measured.setdefault(batch.spec.weights_id, []).append((*tokens, batch.seconds))
                self._sampled[2] += batch.seconds
        return asked

    def _embedding(self, looked: _Run, asked: _Run | None, sampled: pl.DataFrame) -> tuple[int, float | None]:
        """Return the number of texts to embed, and the seconds that this takes."""
        if looked.rows:  # the embedded texts are answers
            if not asked:
                return 0, 0.0
            factor = float(sampled["weight"].sum()) / sampled.height
            missing = sum(len(batch.missing) for batch in asked.models.embedded)
            return round(missing * factor), sum(batch.seconds for batch in asked.models.embedded) * factor
        count, took = 0, 0.0
        for batch in looked.models.embedded:
            count += len(batch.missing)
            if batch.missing and self._offline:
                return count, None
            if batch.missing:
                places = np.linspace(0, len(batch.missing) - 1, min(len(batch.missing), self._size)).astype(int)
                models = ObservedInference(self._responses, self._engines, self._settings.calls.retries)
                models.embed(batch.spec, [batch.missing[place] for place in places], batch.stage)
                took += models.embedded[0].seconds * len(batch.missing) / len(places)
        return count, took

    def _disk(
        self,
        registered: Registered,
        partitions: Iterable[str],
        mirror: Lake,
        stages: Sequence[Stage],
        asked: _Run | None,
        embedded: int,
    ) -> float | None:
        asset = registered.asset
        rows = self._out.get(asset)
        if rows is None:
            return None
        manifests = [manifest for partition in partitions if (manifest := mirror.manifest(asset, partition))]
        files = [mirror.rows_file(asset, manifest.partition) for manifest in manifests]
        files += [file for folder in mirror.catalog.glob(f"*/{asset}") for file in folder.rglob("*.parquet")]
        size = sum(file.stat().st_size for file in files)
        held = sum(manifest.rows_out for manifest in manifests)
        answers = 0.0
        if asked:
            asked_for = asked.calls.filter(~pl.col("cached")).height
            per_call = sum(batch.bytes for batch in asked.models.batches) / max(1, asked_for)
            answers = per_call * total(stage.to_make for stage in stages).value
        return size * (rows.value / held if held else 1.0) + answers + embedded * _VECTOR

    # --- temporary lake -----------------------------------------------------------------------------------------------

    def _commit(
        self,
        registered: Registered,
        looked: _Run,
        asked: _Run | None,
        population: pl.DataFrame,
        unanswered: pl.DataFrame,
        mirror: Lake,
    ) -> None:
        """Put the asset's rows into the temporary lake, as far as they are known, and estimate their number."""
        asset, outcomes = registered.asset, looked.outcomes
        scores = not next(iter(outcomes.values())).counted
        if unanswered.height and not asked:  # offline: use the last materialization
            if scores:
                self._hollow.add(asset)
            elif mirror.partitions(asset):
                self._out[asset] = Estimate(float(mirror.scan(asset).select(pl.len()).collect().item()))
                return
            else:
                self._unknown.add(asset)
                return
        weights = population.join(unanswered, on="row_id", how="anti").select("row_id", "weight")
        sampled = _with_weights(asked, unanswered)
        if asked and scores and "row_id" not in next(iter(asked.outcomes.values())).rows.lazy().collect_schema():
            outcomes = asked.outcomes  # a table of another grain, such as a score per benchmark
        elif asked and scores:
            outcomes = fill_from_sample(outcomes, asked.outcomes, asked.all_rows, unanswered)
        elif asked:
            outcomes = {name: remove_rows(outcome, unanswered) for name, outcome in outcomes.items()}
            outcomes |= {name: merge_outcomes(outcomes[name], outcome) for name, outcome in asked.outcomes.items()}
        for partition, outcome in outcomes.items():
            replace_rows(mirror, self._key(registered, partition), outcome)
        others = mirror.scan(asset).select(pl.len()).collect().item() - sum(
            count_rows(outcome) for outcome in outcomes.values()
        )
        if scores or not population.height:
            rows = pl.concat([outcome.rows.lazy().collect() for outcome in outcomes.values()])
            weight = float(rows.height)
            if "row_id" in rows.columns and self._weights.height:
                weight = rows.join(self._weights, on="row_id", how="left")["weight"].fill_null(1.0).sum()
            grown = Estimate(float(weight))
        else:
            born = pl.concat([pair_with_parents(outcome) for outcome in outcomes.values()])
            stand_for = born.join(pl.concat([weights, sampled]), left_on="parent", right_on="row_id").select(
                "row_id", "weight"
            )
            self._weights = pl.concat([self._weights, stand_for]).unique("row_id", keep="last")
            per_row = born.group_by("parent").len("children")
            settled, drawn = (
                rows.join(per_row, left_on="row_id", right_on="parent", how="left").select(
                    "weight", pl.col("children").fill_null(0).cast(pl.Float64)
                )
                for rows in (weights, sampled)
            )
            whole = sampled.height == unanswered.height and self._source(registered)[0]
            grown = expand(drawn["children"].to_numpy(), drawn["weight"].to_numpy(), float(whole))
            grown += Estimate(float((settled["children"] * settled["weight"]).sum()))
        self._out[asset] = (grown + Estimate(float(others))).among(self._source(registered)[1])


def _with_weights(asked: _Run | None, unanswered: pl.DataFrame) -> pl.DataFrame:
    """Return the sampled rows and the number of unanswered rows that each stands for: row_id, weight."""
    if not asked:
        return unanswered.select("row_id", "weight").head(0)
    sampled = asked.all_rows.select("row_id").join(
        unanswered.select("row_id", "weight"), on="row_id", maintain_order="left"
    )
    return sampled.with_columns(pl.col("weight") * (unanswered.height / sampled.height))
