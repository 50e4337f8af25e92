"""What the next run would do and cost: the assets' own functions, run on a sample in a lake of their own.

For every asset that would be made again, in the order of the graph:

1. It is run with answers from the response store alone. That makes its requests and counts those that are stored, without a call.
2. If answers are missing, it is run on a sample of the rows that lack one, and their calls are really made and stored: the run that follows finds
   them. What the sample's rows came to stands for all (`runs/estimate.py`).
3. Its rows go to a temporary lake, where the next asset finds them beside the links to those that are up to date. In a table of scores, a row that
   was not asked about gets the line of the sampled row that is most like it, so that seeds and F are chosen from a whole pool and with their caps.

Nothing of the real lake is changed.
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
from infinity_assets.catalog.staleness import Reason, Wanted, why
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
from infinity_assets.runs.observed_calls import NOT_ASKED, LookingUp, Observed, TimedPool
from infinity_assets.runs.plan import AssetPlan, Plan, Stage
from infinity_assets.runs.plan_sandbox import (
    children,
    described,
    filled,
    forget,
    height,
    mirror_of,
    replace_rows,
    together,
    without,
)
from infinity_assets.runs.projection import Known, calls_of, project
from infinity_assets.scoring import sample
from infinity_assets.settings import Settings, path_of, settings_hash, settings_texts
from infinity_assets.training.proxy import CURVE

_VECTOR = 1600
"""Bytes of a stored vector, about: 384 numbers of four bytes, and its key."""


@dataclass(frozen=True)
class Watched(Step):
    """A step whose models are watched and which asks about some rows only."""

    trains: bool = False
    observed: Observed | None = None
    choose: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows

    def sampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Some of them."""
        return self.choose(rows)

    def inference(self) -> Observed:
        """The watched models."""
        assert self.observed
        return self.observed


@dataclass
class _Run:
    """One pass over the partitions of an asset."""

    models: Observed
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    """What the asset's models were asked about, by partition: row_id, kind, language, length, and what strata are made of."""
    seconds: float = 0.0

    @property
    def described(self) -> pl.DataFrame:
        """The rows of all partitions."""
        return pl.concat(self.rows.values(), how="diagonal") if self.rows else pl.DataFrame(schema=_ROWS)

    @property
    def calls(self) -> pl.DataFrame:
        """Its calls."""
        return calls_of(self.models.batches)


_ROWS = {"row_id": pl.String, "kind": pl.String, "language": pl.String, "length": pl.Int64}


class Planner:
    """Makes a plan of a data folder.

    Args:
        data: The data folder.
        pool: The folders of the pool.
        settings: The settings in force.
        size: Rows of the sample, per asset.
        offline: Whether no call is made: only what the store holds is used.
        engines: The engines that answer; by default those of the models folder.
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
        self._lake, self._pool, self._settings, self._size, self._offline = Lake(data), pool, settings, size, offline
        self._responses = ResponseStore(data / "responses")
        self._models = Models(engines or EnginePool(models_dir()))
        self._engines = TimedPool(self._models.engines)
        self._weights = pl.DataFrame(schema={"row_id": pl.String, "weight": pl.Float64})
        # By asset: rows that it will have; whether these are not the rows of the run itself, whether nothing is known of them, and whether they
        # are there without what models would say of them.
        self._out: dict[str, Estimate] = {}
        self._guessed: set[str] = set()
        self._unknown: set[str] = set()
        self._hollow: set[str] = set()
        self._notes: list[str] = []
        self._measured: dict[str, list[tuple[float, float, float]]] = {}
        self._sampled = [0, 0, 0.0]

    def make(self, until: str | None = None) -> Plan:
        """Make it, of all assets or of those that `until` needs."""
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

    # --- what would be made again --------------------------------------------------------------------------------------------------------

    def _reasons(
        self, order: Sequence[Registered], mirror: Lake, folder: Path
    ) -> dict[str, dict[str, tuple[Reason, ...]]]:
        found: dict[str, dict[str, tuple[Reason, ...]]] = {}
        remade: set[tuple[str, str]] = set()
        wordings = (prompt for name in prompts.names() for prompt in prompts.wordings(name, self._settings.prompts_dir))
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
                    wanted = Wanted(
                        registered.asset, partition, registered.version, settings_texts(*parts), settings_hash(*parts), names, reads,
                        registered.files(step),
                    )  # fmt: skip
                    reasons = why(self._lake, wanted, remade)
                except InfinityError as error:
                    reasons = [Reason("source", str(error))]
                if reasons:
                    found.setdefault(registered.asset, {})[partition] = tuple(reasons)
                    remade.add((registered.asset, partition))
        return found

    def _partitions(self, asset: str) -> list[str]:
        return find(asset).partition_names(self._pool.source_folders())

    # --- what it would cost --------------------------------------------------------------------------------------------------------------

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
            if registered.trains and not mirror.partitions(asset):  # what reads it does without
                replace_rows(mirror, self._key(registered, ALL), Outcome(pl.DataFrame(schema=CURVE)))
            if registered.trains or not registered.planned:
                continue
            if self._unknown & set(registered.inputs) or not all(mirror.partitions(name) for name in registered.inputs):
                self._unknown.add(asset)
                plans.append(AssetPlan(asset, len(partitions), None, known=False))
                continue
            plans.append(self._plan(registered, partitions, mirror, folder))
        needed = {registered.asset for plan in plans for registered in needed_by(plan.asset)}
        first = [r.asset for r in stale if r.asset in needed and not r.planned]
        waits = [name for name in first if not self._lake.partitions(name)]
        if waits:
            self._notes.append(
                f"{', '.join(waits)} must be made first: `infinity run --until {waits[-1]}`; then plan again."
            )
        elif first:
            self._notes.append(f"{', '.join(first)} will be made again before: the plan is of the pool as it stands.")
        wanted = {"evolved": self._settings.chat.evolution.accept, "answered": self._settings.chat.answering.accept}
        if bound := [plan.asset for plan in plans if wanted.get(find(plan.asset).stem)]:
            self._notes.append(
                f"{', '.join(bound)}: stops when enough rows are accepted; the plan is of all candidates, the most that it can be."
            )
        if "tuned" in reasons and self._settings.chat.seeds.tuned.enabled:
            self._notes.append(
                "tuned is trained first: the calls of loss_after, one per row that has a loss, are not counted."
            )
        if guessed := [plan.asset for plan in plans if plan.asset in self._guessed and plan.calls and plan.calls.value]:
            self._notes.append(
                f"{', '.join(guessed)}: which rows they get depends on answers, so the sample's stand for them."
            )
        return plans

    def _plan(self, registered: Registered, partitions: list[str], mirror: Lake, folder: Path) -> AssetPlan:
        asset = registered.asset
        looked = self._pass(
            registered, partitions, mirror, folder, LookingUp(self._responses, self._settings.calls.retries)
        )
        calls = looked.calls
        lacking = calls.filter(pl.col("error") == NOT_ASKED).select(pl.col("row_id").unique())
        population = looked.described.join(self._weights, on="row_id", how="left", maintain_order="left")
        population = population.with_columns(pl.col("weight").fill_null(1.0))
        unanswered = population.join(lacking, on="row_id", how="semi", maintain_order="left")
        asked = None
        if self._hollow & set(registered.inputs) and not population.height:
            self._unknown.add(asset)
            return AssetPlan(asset, len(partitions), None, known=False)
        if unanswered.height and not self._offline:
            asked = self._ask(registered, looked, unanswered, mirror, folder)
        real, rows_from = self._source(registered)
        self._commit(registered, looked, asked, population, unanswered, mirror)
        known = not unanswered.height or asked is not None
        if unanswered.height or self._guessed & set(registered.inputs):
            self._guessed.add(asset)
        sampled = _expanded(asked, unanswered)
        known_of = Known(
            looked.models.batches, asked.models.batches if asked else [], population, unanswered, sampled, real, rows_from, self._measured,
            self._before(asset),
        )  # fmt: skip
        stages = project(known_of)
        embedded, embed_seconds = self._embedding(looked, asked, sampled)
        rows = (
            Estimate(float(population["weight"].sum())).among(rows_from) if population.height else self._out.get(asset)
        )
        made = tuple(asked.calls.filter(~pl.col("cached"))["key"]) if asked else ()
        return AssetPlan(
            asset, len(partitions), rows, tuple(stages), embedded, looked.seconds, embed_seconds,
            self._disk(registered, partitions, mirror, stages, asked, embedded), made, known or all(s.prompt_tokens is not None for s in stages),
        )  # fmt: skip

    def _before(self, asset: str) -> pl.DataFrame:
        """Calls of earlier runs."""
        books = list((self._lake.catalog / "generations" / asset).rglob("*.parquet"))
        columns = {"prompt": pl.String, "model": pl.String, "completion_tokens": pl.Int64}
        return (
            pl.scan_parquet(books, glob=False).select(list(columns)).collect()
            if books and self._offline
            else pl.DataFrame(schema=columns)
        )

    def _source(self, registered: Registered) -> tuple[bool, Estimate]:
        """Of the rows that an asset's models are asked about, which come from the first asset that it reads: whether they are those of the run, and
        their number, as far as it is an estimate.
        """
        source = next(iter(registered.inputs), "")
        return source not in self._guessed, self._out[source] if source in self._guessed else Estimate(1.0)

    def _step(self, registered: Registered, partition: str, mirror: Lake, folder: Path) -> Watched:
        return Watched(registered.asset, partition, self._settings, mirror, self._pool, self._models, folder, folder)

    def _pass(
        self,
        registered: Registered,
        partitions: Iterable[str],
        mirror: Lake,
        folder: Path,
        models: Observed,
        choose: Mapping[str, pl.DataFrame] | None = None,
    ) -> _Run:
        """Run the function on some partitions, on all rows or on those chosen."""
        run, began = _Run(models), time.monotonic()
        for partition in partitions:

            def chosen(rows: pl.DataFrame, partition: str = partition) -> pl.DataFrame:
                some = (
                    rows
                    if choose is None
                    else rows.join(choose[partition], on="row_id", how="semi", maintain_order="left")
                )
                run.rows[partition] = described(some)
                return some

            reporter().begin(f"plan {registered.asset}", partition)
            with mirror.scratch() as scratch, mirror.scratch() as shared:
                step = Watched(
                    registered.asset, partition, self._settings, mirror, self._pool, self._models, scratch, shared,
                    key=self._key(registered, partition), observed=models, choose=chosen,
                )  # fmt: skip
                outcome = registered.function(step)
                run.outcomes[partition] = replace(outcome, rows=outcome.rows.lazy().collect())
            reporter().end(height(outcome), reused=False)
        run.seconds = time.monotonic() - began
        return run

    def _key(self, registered: Registered, partition: str) -> StepKey:
        return StepKey(
            asset=registered.asset, partition=partition, code_version=registered.version, settings_hash="", inputs={}
        )

    def _ask(self, registered: Registered, looked: _Run, unanswered: pl.DataFrame, mirror: Lake, folder: Path) -> _Run:
        """Ask about a sample. A shard is itself a sample of the rows by their ids, so it comes from the first shards that hold enough, and as many
        requests as can be are in flight together; of sources, each has its share.
        """
        left, choose = self._size, {}
        by_source = registered.axis == "source"
        spread = sample.stratified(unanswered, left) if by_source else unanswered
        for partition, rows in looked.rows.items():
            lacking = rows.join(spread, on="row_id", how="semi", maintain_order="left")
            if left and lacking.height:
                choose[partition] = sample.stratified(lacking, left).select("row_id")
                left -= choose[partition].height
        models = Observed(self._responses, self._engines, self._settings.calls.retries, show_calls)
        asked = self._pass(registered, choose, mirror, folder, models, choose)
        made = asked.calls.filter(~pl.col("cached"))
        self._sampled[0] += made.height
        self._sampled[1] += int(made["prompt_tokens"].sum()) + int(made["completion_tokens"].sum())
        for batch in models.batches:
            new = batch.calls.filter(~pl.col("cached"))
            if new.height:
                tokens = float(new["prompt_tokens"].sum()), float(new["completion_tokens"].sum())
                self._measured.setdefault(batch.spec.identity, []).append((*tokens, batch.seconds))
                self._sampled[2] += batch.seconds
        return asked

    def _embedding(self, looked: _Run, asked: _Run | None, sampled: pl.DataFrame) -> tuple[int, float | None]:
        """Texts to embed, and the seconds it takes."""
        if looked.rows:  # what is embedded are answers
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
                models = Observed(self._responses, self._engines, self._settings.calls.retries)
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
        made = [manifest for partition in partitions if (manifest := mirror.manifest(asset, partition))]
        files = [mirror.rows_file(asset, made.partition) for made in made]
        files += [file for book in mirror.catalog.glob(f"*/{asset}") for file in book.rglob("*.parquet")]
        size, held = sum(file.stat().st_size for file in files), sum(m.rows_out for m in made)
        answers = 0.0
        if asked:
            asked_for = asked.calls.filter(~pl.col("cached")).height
            per_call = sum(batch.bytes for batch in asked.models.batches) / max(1, asked_for)
            answers = per_call * total(stage.to_make for stage in stages).value
        return size * (rows.value / held if held else 1.0) + answers + embedded * _VECTOR

    # --- the temporary lake --------------------------------------------------------------------------------------------------------------

    def _commit(
        self,
        registered: Registered,
        looked: _Run,
        asked: _Run | None,
        population: pl.DataFrame,
        unanswered: pl.DataFrame,
        mirror: Lake,
    ) -> None:
        """Put what the asset would make into the temporary lake, as far as it is known, and estimate how many rows it will have."""
        asset, outcomes = registered.asset, looked.outcomes
        scores = not next(iter(outcomes.values())).counted
        if unanswered.height and not asked:  # offline: what was made before has to do
            if scores:
                self._hollow.add(asset)
            elif mirror.partitions(asset):
                self._out[asset] = Estimate(float(mirror.scan(asset).select(pl.len()).collect().item()))
                return
            else:
                self._unknown.add(asset)
                return
        weights = population.join(unanswered, on="row_id", how="anti").select("row_id", "weight")
        sampled = _expanded(asked, unanswered)
        if asked and scores and "row_id" not in next(iter(asked.outcomes.values())).rows.lazy().collect_schema():
            outcomes = asked.outcomes  # a table of another grain, such as a score per benchmark, is that of the sample
        elif asked and scores:
            outcomes = filled(outcomes, asked.outcomes, asked.described, unanswered)
        elif asked:
            outcomes = {name: without(outcome, unanswered) for name, outcome in outcomes.items()}
            outcomes |= {name: together(outcomes[name], outcome) for name, outcome in asked.outcomes.items()}
        for partition, outcome in outcomes.items():
            replace_rows(mirror, self._key(registered, partition), outcome)
        others = mirror.scan(asset).select(pl.len()).collect().item() - sum(
            height(outcome) for outcome in outcomes.values()
        )
        if scores or not population.height:
            rows = pl.concat([outcome.rows.lazy().collect() for outcome in outcomes.values()])
            made = float(rows.height)
            if "row_id" in rows.columns and self._weights.height:
                made = rows.join(self._weights, on="row_id", how="left")["weight"].fill_null(1.0).sum()
            grown = Estimate(float(made))
        else:
            born = pl.concat([children(outcome) for outcome in outcomes.values()])
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


def _expanded(asked: _Run | None, unanswered: pl.DataFrame) -> pl.DataFrame:
    """The sampled rows, and how many rows each stands for: row_id, weight."""
    if not asked:
        return unanswered.select("row_id", "weight").head(0)
    sampled = asked.described.select("row_id").join(
        unanswered.select("row_id", "weight"), on="row_id", maintain_order="left"
    )
    return sampled.with_columns(pl.col("weight") * (unanswered.height / sampled.height))
