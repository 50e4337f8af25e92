"""`seed_selected`, `tuned` and `loss_after` on a small lake, with a folder for weights and a scripted engine."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.registry import find
from infinity_assets.defs.score import tuned as __  # noqa: F401
from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import Response, ScoreRequest
from infinity_assets.invariants import conservation, unique
from infinity_assets.reading.pool import Pool
from infinity_assets.report.charts import LIMIT
from infinity_assets.rows import schema
from infinity_assets.rows.ids import shard_names, shard_of
from infinity_assets.runs import planner
from infinity_assets.selection.seeds.criteria import CRITERIA
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Seeds
from infinity_assets.settings.foundation import Proxy
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests.defs.steps import commit, outcome_of, rows_of, stand_in_for_training
from infinity_assets_tests.frames import pool
from infinity_assets_tests.inference.doubles import ScriptedEngine

ROWS, WIDTH = 60, 6
ON = Proxy(enabled=True, rows=10)


ENGINES: list[EnginePool] = []
"""The engines of the running test."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake where two of three rows have scores and labels, one of five no vector, and the last is an instruction."""
    made, rng = Lake(tmp_path), np.random.default_rng(0)
    turns = [[("user", f"Question {n}: how high?"), ("assistant", f"Some {n} metres.")] for n in range(ROWS - 1)]
    rows = pool(
        *((f"source {n % 2}", "a.json", n, turn) for n, turn in enumerate([*turns, [("user", "How deep is it?")]]))
    )
    number = rows["position"].to_numpy()
    labelled = (number % 3 > 0) & (number < ROWS - 1)
    losses = pl.Series(np.where(labelled, 1 + number % 7, np.nan), nan_to_null=True)
    labels = [
        [f"label {n % 9}", "common", "third"][: 1 + n % 3] if known else None
        for n, known in zip(number, labelled, strict=True)
    ]
    vectors = [None if n % 5 == 0 else v.tolist() for n, v in zip(number, rng.normal(size=(ROWS, WIDTH)), strict=True)]
    tables = {
        "decontaminated": rows,
        "measured": rows.select("row_id", prompt_chars=pl.lit(20), marked_wrong=pl.lit(False)),
        "scored": rows.select("row_id", loss=losses, ifd=losses / 10, depth=losses * 2),
        "labelled": rows.select(
            "row_id", cate_ability=pl.lit(["other"]), ability=pl.Series(labels, dtype=pl.List(pl.String)),
            label_source=pl.Series(["model" if known else None for known in labelled]),
        ),
        "vectors": rows.select("row_id", vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, WIDTH))),
        "tag_vocabulary": pl.DataFrame(
            {"label": [*(f"label {n}" for n in range(9)), "common"], "rows": [*range(1, 10), 30]}
        ),
    }  # fmt: skip
    for asset, table in tables.items():
        commit(made, asset, table)
    return made


def settings_with(**changed: object) -> Settings:
    now = Settings()
    chat = now.chat.model_copy(update={"seeds": Seeds(**changed)})  # type: ignore[arg-type]
    return now.model_copy(update={"chat": chat})


def made(lake: Lake, asset: str, settings: Settings) -> Outcome:
    """Make an asset and commit the outcome."""
    outcome = outcome_of(asset, lake, settings, engines=ENGINES[-1] if ENGINES else None)
    commit(lake, asset, outcome)
    return outcome


def picked(lake: Lake, settings: Settings) -> Outcome:
    """Make `tuned`, `loss_after` and the seeds."""
    for asset in ("tuned", "loss_after"):
        made(lake, asset, settings)
    return made(lake, "seed_selected", settings)


Trained = list[tuple[pl.DataFrame, Path]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The rows and the folder of each training."""
    calls: Trained = []

    stand_in_for_training(monkeypatch, lambda rows, folder: calls.append((rows, folder)))
    return calls


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ModelSpec, ScriptedEngine]]:
    """The opened engines. After training, the loss is 0.5 for even numbers of metres, 3 for odd ones; 7 metres fail."""
    opened: list[tuple[ModelSpec, ScriptedEngine]] = []

    def answer(request: object) -> Response:
        assert isinstance(request, ScoreRequest)
        metres = int(request.answer.split()[1])
        if metres == 7:
            return Response(error="prompt_too_long")
        return Response(sum_logprob=-2.0 * (0.5 if metres % 2 == 0 else 3), answer_tokens=2, prompt_tokens=3)

    def open_engine(spec: ModelSpec, models: Path) -> ScriptedEngine:
        opened.append((spec, ScriptedEngine(answer)))
        return opened[-1][1]

    monkeypatch.setattr(f"{__name__}.ENGINES", [EnginePool(Path("nowhere"), engine=open_engine)])
    return opened


def test_every_row_is_a_seed_or_has_a_reason(lake: Lake, asked: list) -> None:
    outcome = picked(lake, settings_with(max_seeds=12, grid=4))
    assert conservation(lake, "seed_selected").is_empty()
    assert unique(lake, "seed_selected").is_empty()
    rows = lake.scan("seed_selected").collect()
    assert rows.columns == [*schema.ROW, *CRITERIA, "vetoed", "cate_ability", "ability"]
    assert (rows.height, rows["messages"].null_count()) == (12, 0)
    decided = lake.ledger_table("decisions", "seed_selected").collect()
    assert sorted(decided["row_id"]) == sorted(lake.scan("decontaminated").collect()["row_id"])
    chosen = decided.filter(verdict="chosen")
    assert sorted(chosen["row_id"]) == rows["row_id"].to_list()
    assert set(decided.filter(verdict="dropped")["reason"]) <= {"not_scored", "no_criterion", "over_budget"}
    held = {line["row_id"]: "+".join(name for name in CRITERIA if line[name]) for line in rows.iter_rows(named=True)}
    assert dict(chosen.select("row_id", "reason").iter_rows()) == held
    assert set(json.loads(decided["detail"][0])) >= {"loss", "loss_after", "depth", "ability"}
    assert outcome.measures["small_loss_drop and veto"] == "off: chat.seeds.tuned.enabled is false"
    assert not rows["small_loss_drop"].any()
    assert asked == [], "nothing is asked of a model"
    assert {"criteria", "rows that two criteria share", "sources", "abilities", "coverage"} <= set(outcome.charts)
    for name in ("candidates on the grid", "seeds on the grid"):
        assert "image/png" in outcome.charts[name]
        assert len(outcome.charts[name]) < LIMIT


def test_the_same_rows_in_another_order_give_the_same_seeds(lake: Lake, asked: list) -> None:
    before = rows_of(picked(lake, settings_with(max_seeds=12, grid=4)))
    for asset in ("decontaminated", "scored", "labelled", "tag_vocabulary"):
        commit(lake, asset, lake.scan(asset).collect().reverse())
    assert rows_of(picked(lake, settings_with(max_seeds=12, grid=4))).equals(before)


def test_nothing_is_trained_if_training_is_off(lake: Lake, trained: Trained, asked: list) -> None:
    settings = settings_with()
    assert made(lake, "tuned", settings).measures == {"training": "off: chat.seeds.tuned.enabled is false"}
    assert rows_of(made(lake, "loss_after", settings)).is_empty()
    assert (trained, asked) == ([], [])


def test_the_fall_of_the_loss_selects_and_vetoes_seeds(lake: Lake, trained: Trained, asked: list) -> None:
    settings = settings_with(tuned=ON, small_drop_share=0.2, veto_sigma=0.5, max_seeds=ROWS)
    outcome = picked(lake, settings)
    [(sample, folder)] = trained
    conversations = lake.scan("decontaminated").filter(pl.col("kind") == "conversation").collect()
    assert sample.height == 10
    assert set(sample["row_id"]) < set(conversations["row_id"])
    assert sample["messages"].null_count() == 0
    assert folder.parent == lake.data / "tuned"
    [(spec, engine)] = asked
    assert (spec.model, spec.revision) == (str(folder.resolve()), folder.name)
    before = lake.scan("scored").drop_nulls("loss").collect()
    assert {request.row_id for request in engine.asked} == set(before["row_id"])
    after = lake.scan("loss_after").collect()
    assert sorted(after["row_id"]) == sorted(before["row_id"])
    assert after.filter(pl.col("loss_after").is_null())["loss_after_error"].to_list() == ["prompt_too_long"]
    both = before.join(after, on="row_id").drop_nulls("loss_after")
    fell = both.with_columns(fell=pl.col("loss") - pl.col("loss_after"))
    least = fell.sort("fell", "row_id").head(int(fell.height * 0.2))["row_id"]
    decided = lake.ledger_table("decisions", "seed_selected").collect()
    for reason in decided.filter(pl.col("row_id").is_in(least.implode()))["reason"]:
        assert "small_loss_drop" in reason
    limit = fell["fell"].mean() + 0.5 * fell["fell"].std()  # type: ignore[operator]
    vetoed = set(fell.filter(pl.col("fell") > limit)["row_id"])
    assert vetoed & set(rows_of(outcome)["row_id"]) == set()
    assert set(decided.filter(reason="vetoed")["row_id"]) <= vetoed
    assert decided.filter(reason="vetoed").height > 0
    assert conservation(lake, "seed_selected").is_empty()


def test_new_weights_replace_the_old_ones(lake: Lake, trained: Trained, asked: list) -> None:
    made(lake, "tuned", settings_with(tuned=ON))
    made(lake, "tuned", settings_with(tuned=ON.model_copy(update={"seed": 1})))
    assert [entry.name for entry in (lake.data / "tuned").iterdir()] == [trained[1][1].name]
    assert trained[0][1].name != trained[1][1].name


def test_a_scorer_on_a_server_cannot_be_trained(lake: Lake, trained: Trained, asked: list) -> None:
    settings = settings_with(tuned=ON)
    away = settings.models.model_copy(update={"scorer": ModelSpec(backend="openai")})
    with pytest.raises(InfinityError, match="on a server"):
        made(lake, "tuned", settings.model_copy(update={"models": away}))


def test_a_plan_trains_nothing_and_works_without_weights(
    lake: Lake, trained: Trained, asked: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(tuned=ON, max_seeds=12)
    for asset in ("decontaminated", "scored", "labelled", "vectors"):
        table = lake.scan(asset).collect()
        lake.prune(asset, keep=())
        for shard in shard_names(settings.shards):
            commit(lake, asset, table.filter(shard_of(settings.shards) == shard), shard)
    wanted = ("tuned", "loss_after", "seed_selected")
    monkeypatch.setattr(planner, "needed_by", lambda until: [find(asset) for asset in wanted])
    plan = planner.Planner(lake.data, Pool.load(lake.data), settings, 6, engines=ENGINES[-1]).make()
    assert set(plan.reasons) == set(wanted)
    seeds = {asset.asset: asset for asset in plan.assets}["seed_selected"]
    assert seeds.rows is not None
    assert (seeds.rows.value, seeds.known) == (12, True)
    assert any(note.startswith("tuned is trained first") for note in plan.notes)
    assert (trained, asked) == ([], [])
    assert not lake.partitions("tuned")
