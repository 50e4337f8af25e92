"""Planner of a run: it executes the functions of the assets on a sample of rows, in a temporary lake.

The planner takes these steps for every asset that would be materialized, in the order of the graph:

1. It executes the asset's function with stored responses alone. This builds the requests without a model call.
2. If responses are missing, it executes the function again, on a sample of the rows that lack one. The calls for these
   rows are made and stored, so the next run reuses them. `runs/projection.py` estimates the calls for the other rows.
3. It writes the rows to the temporary lake, where the next asset reads them. Assets that are up to date are linked.
   In a table of scores, a row without an answer gets the scores of the most similar sampled row, so that seeds and
   InfInstruct-F are selected from the whole pool.

The real lake is not changed.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from infinity_assets.runs import plan_sandbox
from infinity_assets.runs.estimate import Estimate, expand
from infinity_assets.runs.observed_calls import CALLS, NOT_ASKED, ObservedInference, StoredInference
from infinity_assets.runs.plan import AssetPlan, Plan, Stage
from infinity_assets.runs.projection import KnownCalls, project
from infinity_assets.scoring import sample
from infinity_assets.settings import Settings, path_of, settings_hash, settings_texts
from infinity_assets.training.proxy import CURVE

_VECTOR = 1600
"""Approximate bytes of a stored vector: 384 numbers of four bytes, and its key."""

_ROWS = {"row_id": pl.String, "kind": pl.String, "language": pl.String, "length": pl.Int64}
_WEIGHTS = {"row_id": pl.String, "weight": pl.Float64}

_Reasons = dict[str, dict[str, tuple[Reason, ...]]]


@dataclass(frozen=True)
class PlannedStep(Step):
    """A step whose model calls are recorded and can be limited to a sample of rows."""

    trains: bool = False
    observed: ObservedInference | None = None
    choose: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows

    def sampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that `choose` selects for model calls."""
        return self.choose(rows)

    def inference(self) -> ObservedInference:
        """Return the model client that records its calls."""
        assert self.observed
        return self.observed


@dataclass
class _Pass:
    """One execution of an asset's function on some of its partitions."""

    models: ObservedInference
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    """The rows that went to the asset's models, from `describe_rows`, by partition."""
    seconds: float = 0.0
    bytes: int = 0
    """Bytes by which the response store grew, without vectors."""

    @property
    def all_rows(self) -> pl.DataFrame:
        """The rows of all partitions."""
        return pl.concat([pl.DataFrame(schema=_ROWS), *self.rows.values()], how="diagonal")

    @property
    def paid(self) -> pl.DataFrame:
        """The calls without a stored response."""
        return self.models.calls.filter(~pl.col("cached"))


class Planner:
    """Planner of the next run of a data folder.

    Args:
        size: Number of sampled rows per asset.
        offline: True: make no model calls and use stored responses only.
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
        self._lake = self._mirror = Lake(data)
        self._pool = pool
        self._settings = settings
        self._size = size
        self._offline = offline
        self._responses = ResponseStore(data / "responses")
        self._models = Models(engines or EnginePool(models_dir()))
        self._weights = pl.DataFrame(schema=_WEIGHTS)
        self._rows: dict[str, Estimate] = {}  # estimated number of rows, by asset
        self._guessed: set[str] = set()  # assets whose rows here are not exactly those that a run would make
        self._unknown: set[str] = set()  # assets whose number of rows cannot be estimated
        self._hollow: set[str] = set()  # assets whose rows lack model answers
        self._paid = pl.DataFrame(schema=CALLS)

    def make(self, until: str | None = None) -> Plan:
        """Make the plan of all assets, or of the asset `until` and those upstream of it."""
        made_at = datetime.now(UTC)
        order = needed_by(until)
        with self._lake.scratch() as folder:
            self._mirror = plan_sandbox.mirror_of(self._lake, folder, (each.asset for each in order if each.trains))
            for each in order:
                plan_sandbox.forget(
                    self._mirror, each.asset, set(self._mirror.partitions(each.asset)) - set(self._partitions(each))
                )
            reasons = self._reasons(order)
            plans = [
                plan
                for each in order
                if each.asset in reasons and (plan := self._plan(each, list(reasons[each.asset])))
            ]
        used = int(self._paid["prompt_tokens"].sum()) + int(self._paid["completion_tokens"].sum())
        return Plan(
            made_at, self._size, self._offline, reasons, tuple(plans), tuple(self._notes(reasons, plans)),
            self._models.engines.opening_seconds, self._paid.height, used, float(self._paid["took"].sum()),
        )  # fmt: skip

    def _partitions(self, registered: Registered) -> list[str]:
        return registered.partition_names(self._pool.source_folders())

    # --- reasons to materialize ---------------------------------------------------------------------------------------

    def _reasons(self, order: Sequence[Registered]) -> _Reasons:
        by_asset: _Reasons = {}
        remade: set[tuple[str, str]] = set()
        wordings = (prompt for name in prompts.names() for prompt in prompts.load_all(name, self._settings.prompts_dir))
        prompt_of = {prompt.hash: f"prompt {prompt.label}" for prompt in wordings}
        for registered in order:
            parts = registered.settings(self._settings)
            names = [path_of(part, self._settings) or prompt_of.get(str(part), "") for part in parts]
            for partition in self._partitions(registered):
                reads = []
                for upstream in registered.inputs:
                    same = registered.reads_same_partition(upstream)
                    reads += [(upstream, name) for name in ([partition] if same else self._partitions(find(upstream)))]
                folder = self._mirror.data
                try:
                    wanted = Dependencies(
                        registered.asset, partition, registered.version, settings_texts(*parts), settings_hash(*parts),
                        names, reads, registered.files(self._step(registered, partition, folder, folder)),
                    )  # fmt: skip
                    reasons = stale_reasons(self._lake, wanted, remade)
                except InfinityError as error:
                    reasons = [Reason("source", str(error))]
                if reasons:
                    by_asset.setdefault(registered.asset, {})[partition] = tuple(reasons)
                    remade.add((registered.asset, partition))
        return by_asset

    def _notes(self, reasons: _Reasons, plans: Sequence[AssetPlan]) -> Iterable[str]:
        needed = {registered.asset for plan in plans for registered in needed_by(plan.asset)}
        first = [name for name in reasons if name in needed and not find(name).is_planned]
        waits = [name for name in first if not self._lake.partitions(name)]
        if waits:
            yield f"{', '.join(waits)} must be made first: `infinity run --until {waits[-1]}`; then plan again."
        elif first:
            yield f"{', '.join(first)} will be made again first: the plan uses the present pool."
        wanted = {"evolved": self._settings.chat.evolution.accept, "answered": self._settings.chat.answering.accept}
        if bound := [plan.asset for plan in plans if wanted.get(find(plan.asset).stem)]:
            yield (
                f"{', '.join(bound)}: stops when enough rows are accepted; the plan counts all candidates, the maximum."
            )
        if "tuned" in reasons and self._settings.chat.seeds.tuned.enabled:
            yield "tuned is trained first: the calls of loss_after, one per row with a loss, are not counted."
        if guessed := [plan.asset for plan in plans if plan.asset in self._guessed and plan.calls and plan.calls.value]:
            yield f"{', '.join(guessed)}: their rows depend on answers and are estimated from the sample."

    # --- cost ---------------------------------------------------------------------------------------------------------

    def _plan(self, registered: Registered, partitions: list[str]) -> AssetPlan | None:
        """Plan an asset and put its rows into the temporary lake. Return `None` if the asset is not executed."""
        asset = registered.asset
        if registered.trains and not self._mirror.partitions(asset):  # downstream assets need its rows
            plan_sandbox.replace_rows(self._mirror, _key(registered, ALL), Outcome(pl.DataFrame(schema=CURVE)))
        if registered.trains or not registered.is_planned:
            return None
        unknown = AssetPlan(asset, len(partitions), None, known=False)
        inputs = registered.inputs
        if self._unknown & set(inputs) or not all(self._mirror.partitions(name) for name in inputs):
            self._unknown.add(asset)
            return unknown
        same = [name for name in inputs if registered.reads_same_partition(name)]
        # The partition of a source that has not been read has no rows to plan with.
        partitions = [part for part in partitions if all(self._mirror.manifest(name, part) for name in same)]
        if not partitions:
            return None
        looked = self._run(registered, partitions, StoredInference)
        calls = looked.models.calls
        population = looked.all_rows.join(self._weights, on="row_id", how="left", maintain_order="left")
        population = population.with_columns(pl.col("weight").fill_null(1.0))
        lacking = calls.filter(pl.col("error") == NOT_ASKED)
        unanswered = population.join(lacking, on="row_id", how="semi", maintain_order="left")
        if self._hollow & set(inputs) and not population.height:
            self._unknown.add(asset)
            return unknown
        asked = self._ask(registered, looked, unanswered) if unanswered.height and not self._offline else None
        sampled = unanswered.select(list(_WEIGHTS)).clear()
        if asked:
            sampled = asked.all_rows.select("row_id").join(unanswered, on="row_id", maintain_order="left")
            sampled = sampled.select("row_id", weight=pl.col("weight") * (unanswered.height / sampled.height))
        # The rows that go to the models are those of the first input.
        real = not inputs or inputs[0] not in self._guessed
        source_rows = Estimate(1.0) if real else self._rows[inputs[0]]
        self._commit(registered, looked, asked, population, unanswered, sampled, source_rows)
        if unanswered.height or self._guessed & set(inputs):
            self._guessed.add(asset)
        stages = project(
            KnownCalls(
                calls, asked.models.calls if asked else calls.clear(), self._paid,
                {**looked.models.specs, **(asked.models.specs if asked else {})},
                population.select(list(_WEIGHTS)), unanswered, sampled, real, source_rows, self._earlier_calls(asset),
            )
        )  # fmt: skip
        embedded, embed_seconds = self._embedding(looked, asked, sampled)
        rows = self._rows.get(asset)
        if population.height:
            rows = Estimate(float(population["weight"].sum())).among(source_rows)
        known = not unanswered.height or asked is not None or all(stage.prompt_tokens is not None for stage in stages)
        return AssetPlan(
            asset, len(partitions), rows, tuple(stages), embedded, looked.seconds, embed_seconds,
            self._disk(asset, partitions, stages, asked, embedded), tuple(asked.paid["key"]) if asked else (), known,
        )  # fmt: skip

    def _earlier_calls(self, asset: str) -> pl.DataFrame:
        """Return prompt, model and completion_tokens of calls of earlier runs; no lines unless the plan is offline."""
        files = list((self._lake.catalog / "generations" / asset).rglob("*.parquet")) if self._offline else []
        columns = {"prompt": pl.String, "model": pl.String, "completion_tokens": pl.Int64}
        empty = pl.LazyFrame(schema=columns)
        return pl.concat([empty, *(pl.scan_parquet(file).select(list(columns)) for file in files)]).collect()

    def _step(self, registered: Registered, partition: str, scratch: Path, shared: Path, **fields: Any) -> Step:
        return PlannedStep(
            registered.asset, partition, self._settings, self._mirror, self._pool, self._models, scratch, shared,
            key=_key(registered, partition), **fields,
        )  # fmt: skip

    def _run(
        self,
        registered: Registered,
        partitions: Iterable[str],
        client: type[ObservedInference],
        choose: Mapping[str, pl.DataFrame] | None = None,
    ) -> _Pass:
        """Execute the asset's function on partitions, with model calls for all rows or for those in `choose`."""
        models = client(self._responses, self._models.engines, show_calls, retries=self._settings.calls.retries)
        run = _Pass(models)
        began = time.monotonic()
        size = self._stored_bytes()
        for partition in partitions:

            def choose_rows(rows: pl.DataFrame, partition: str = partition) -> pl.DataFrame:
                if choose is not None:
                    rows = rows.join(choose[partition], on="row_id", how="semi", maintain_order="left")
                run.rows[partition] = plan_sandbox.describe_rows(rows)
                return rows

            reporter().begin(f"plan {registered.asset}", partition)
            with self._mirror.scratch() as scratch, self._mirror.scratch() as shared:
                step = self._step(registered, partition, scratch, shared, observed=models, choose=choose_rows)
                outcome = registered.function(step)
                run.outcomes[partition] = replace(outcome, rows=outcome.rows.lazy().collect())
            reporter().end(plan_sandbox.rows_of([run.outcomes[partition]]).height, reused=False)
        run.seconds = time.monotonic() - began
        run.bytes = max(0, self._stored_bytes() - size)
        return run

    def _stored_bytes(self) -> int:
        return int(self._responses.sizes().filter(pl.col("kind") != "embed")["bytes"].sum())

    def _ask(self, registered: Registered, looked: _Pass, unanswered: pl.DataFrame) -> _Pass:
        """Execute the asset's function on a sample of the unanswered rows.

        Each shard is a random part of the rows, so the sample is taken from the first shards: few shards make large
        batches of requests. If the partitions of the asset are sources, every source is sampled in proportion.
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
        asked = self._run(registered, choose, ObservedInference, choose)
        self._paid = pl.concat([self._paid, asked.paid])
        return asked

    def _embedding(self, looked: _Pass, asked: _Pass | None, sampled: pl.DataFrame) -> tuple[int, float | None]:
        """Return the number of texts to embed, and the seconds that this takes (`None` if offline)."""
        if looked.rows:  # the texts to embed are answers of models, so their number is estimated from the sample
            if not asked:
                return 0, 0.0
            factor = float(sampled["weight"].sum()) / sampled.height
            missing = sum(len(batch.missing) for batch in asked.models.embedded)
            return round(missing * factor), sum(batch.seconds for batch in asked.models.embedded) * factor
        batches = [batch for batch in looked.models.embedded if batch.missing]
        count, took = sum(len(batch.missing) for batch in batches), 0.0
        if batches and self._offline:
            return count, None
        models = ObservedInference(self._responses, self._models.engines)
        for batch in batches:
            places = np.linspace(0, len(batch.missing) - 1, min(len(batch.missing), self._size)).astype(int)
            models.embed(batch.spec, [batch.missing[place] for place in places], batch.stage)
            took += models.embedded[-1].seconds * len(batch.missing) / len(places)
        return count, took

    def _disk(
        self, asset: str, partitions: Iterable[str], stages: Sequence[Stage], asked: _Pass | None, embedded: int
    ) -> float | None:
        if asset not in self._rows:
            return None
        manifests = [found for partition in partitions if (found := self._mirror.manifest(asset, partition))]
        files = [self._mirror.rows_file(asset, manifest.partition) for manifest in manifests]
        files += [file for folder in self._mirror.catalog.glob(f"*/{asset}") for file in folder.rglob("*.parquet")]
        size = sum(file.stat().st_size for file in files)
        held = sum(manifest.rows_out for manifest in manifests)
        to_make = sum(stage.to_make.value for stage in stages)
        answers = asked.bytes * to_make / max(1, asked.paid.height) if asked else 0.0
        return size * (self._rows[asset].value / held if held else 1.0) + answers + embedded * _VECTOR

    # --- temporary lake -----------------------------------------------------------------------------------------------

    def _commit(
        self,
        registered: Registered,
        looked: _Pass,
        asked: _Pass | None,
        population: pl.DataFrame,
        unanswered: pl.DataFrame,
        sampled: pl.DataFrame,
        source_rows: Estimate,
    ) -> None:
        """Write the known rows of an asset to the temporary lake, and estimate the number of all its rows."""
        asset, outcomes = registered.asset, looked.outcomes
        scores = not next(iter(outcomes.values())).counted
        if unanswered.height and not asked:  # offline: use the rows of the last materialization
            if scores:
                self._hollow.add(asset)
            elif self._mirror.partitions(asset):
                self._rows[asset] = Estimate(float(self._count(asset)))
                return
            else:
                self._unknown.add(asset)
                return
        if asked and not scores:
            outcomes = {
                name: plan_sandbox.replace_unanswered(outcome, unanswered, asked.outcomes.get(name))
                for name, outcome in outcomes.items()
            }
        elif asked and "row_id" in plan_sandbox.rows_of(asked.outcomes.values()).columns:
            outcomes = plan_sandbox.fill_from_sample(outcomes, asked.outcomes.values(), asked.all_rows, unanswered)
        elif asked:
            outcomes = asked.outcomes  # a table whose grain is not the row, such as one score per benchmark
        for partition, outcome in outcomes.items():
            plan_sandbox.replace_rows(self._mirror, _key(registered, partition), outcome)
        rows = plan_sandbox.rows_of(outcomes.values())
        others = self._count(asset) - rows.height
        if scores or not population.height:
            weight = float(rows.height)
            if "row_id" in rows.columns:
                weight = float(rows.join(self._weights, on="row_id", how="left")["weight"].fill_null(1.0).sum())
            grown = Estimate(weight)
        else:
            settled = population.join(unanswered, on="row_id", how="anti").select(list(_WEIGHTS))
            born = pl.concat([plan_sandbox.pair_with_parents(outcome) for outcome in outcomes.values()])
            parents = pl.concat([settled, sampled]).rename({"row_id": "parent"})
            stand_for = born.join(parents, on="parent").select(list(_WEIGHTS))
            self._weights = pl.concat([self._weights, stand_for]).unique("row_id", keep="last")
            counts = born.group_by(row_id="parent").agg(children=pl.len().cast(pl.Float64))
            kept, drawn = (
                part.join(counts, on="row_id", how="left").with_columns(pl.col("children").fill_null(0.0))
                for part in (settled, sampled)
            )
            whole = sampled.height == unanswered.height and source_rows == Estimate(1.0)
            grown = expand(drawn["children"].to_numpy(), drawn["weight"].to_numpy(), float(whole))
            grown += Estimate(float((kept["children"] * kept["weight"]).sum()))
        self._rows[asset] = (grown + Estimate(float(others))).among(source_rows)

    def _count(self, asset: str) -> int:
        return self._mirror.scan(asset).select(pl.len()).collect().item()


def _key(registered: Registered, partition: str) -> StepKey:
    return StepKey(
        asset=registered.asset, partition=partition, code_version=registered.version, settings_hash="", inputs={}
    )
