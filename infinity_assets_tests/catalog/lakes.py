"""A small handmade lake, in which everything that ledger tables record happens once.

raw_pool        four records of source `alpha`, two of them equal (licences differ by row)
deduped         three rows
decontaminated  two rows: `clips` contained a benchmark item
seed_selected   both rows; F keeps `tea`
evolved         `bakery` became `bakery2`; the rewrites of `tea` were rejected
inf_instruct_f  `tea`
inf_instruct_g  `bakery3`, the answered `bakery2`
"""

import json
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.decontamination.allowed import ALLOWED
from infinity_assets.defs.registry import REGISTERED, find, load
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform, decide
from infinity_assets.rows.ids import add_row_ids
from infinity_assets_tests.frames import Turns, conversations, pool

load()

BAKERY: Turns = [("user", "Suggest a name for a bakery."), ("assistant", "Bread and Butter")]
TEA: Turns = [("user", "How is tea made?"), ("assistant", "With leaves and hot water.")]
ITEM = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
CLIPS: Turns = [("user", f"Solve: {ITEM}"), ("assistant", "72")]
BAKERY2: Turns = [("user", "Suggest a name for a bakery without wheat.")]
BAKERY3: Turns = [*BAKERY2, ("assistant", "No Grain, No Pain")]


def row_id(turns: Turns) -> str:
    return add_row_ids(conversations(turns).to_frame())["row_id"].item()


def key(asset: str, partition: str = "all", **changed: object) -> StepKey:
    inputs = {f"{upstream}/all": "1" for upstream in find(asset).inputs} if asset in REGISTERED else {}
    return StepKey(asset=asset, partition=partition, code_version="1", settings_hash="s", inputs=inputs).model_copy(
        update=changed
    )


def decided(rows: pl.DataFrame, verdict: str, reason: str, **detail: object) -> pl.DataFrame:
    return decide(rows, verdict, reason, pl.lit(json.dumps(detail)))


def child(turns: Turns, parent: Turns, operation: str) -> pl.DataFrame:
    row = pool(("synthetic:model", "", 0, turns), licence="CC-BY-SA-4.0").drop("file", "position")
    made = row.with_columns(parents=pl.lit([row_id(parent)]), operation=pl.lit(operation), round=1)
    return conform(made, schema.SYNTHETIC_ROW, fill=True)


def edge(turns: Turns, parent: Turns, operation: str) -> pl.DataFrame:
    return pl.DataFrame([(row_id(turns), row_id(parent), operation)], schema=schema.EDGES, orient="row")


def call(turns: Turns, prompt: str) -> pl.DataFrame:
    line = ("key" * 10, row_id(turns), "generate", "model@main", prompt, 20, 9, 0.5, False, None, None, 0, 0.0)
    return pl.DataFrame([line], schema=schema.GENERATIONS, orient="row")


def make(data: Path) -> Lake:
    """Return the lake, written to a data folder."""
    lake = Lake(data)

    def commit(asset: str, outcome: Outcome) -> None:
        lake.commit(key(asset), outcome, "run-1", 0.0)

    licences = {row_id(BAKERY): "CC-BY-SA-4.0"}
    raw = pool(
        ("alpha", "a.json", 0, BAKERY),
        ("alpha", "a.json", 1, TEA),
        ("alpha", "a.json", 2, CLIPS),
        ("alpha", "b.json", 0, TEA),
    )
    raw = raw.with_columns(licence=pl.col("row_id").replace_strict(licences, default="MIT"))
    bakery, tea, clips, again = (raw[n] for n in range(4))
    broken = pl.DataFrame(
        [(None, "alpha", "c.json", 0, "dropped", "malformed_json", "{}")], schema=schema.DECISIONS, orient="row"
    )
    counts = [("alpha", "a.json", 3, 3, 0, 0), ("alpha", "b.json", 1, 1, 0, 0), ("alpha", "c.json", 1, 0, 0, 1)]
    commit(
        "raw_pool",
        Outcome(
            raw,
            rows_created=5,
            decisions=broken,
            origins=raw.select(list(schema.ORIGINS)),
            quarantine=pl.DataFrame([("alpha", "c.json", 0, b"{oops")], schema=schema.QUARANTINE, orient="row"),
            files=pl.DataFrame(counts, schema=schema.FILES, orient="row"),
        ),
    )
    lost = decided(again, "dropped", "exact_duplicate", duplicate_of=row_id(TEA))
    commit("deduped", Outcome(pl.concat([bakery, tea, clips]).sort("row_id"), rows_in=4, decisions=lost))
    items = {"item_id": ["gsm#0"], "benchmark": ["gsm"], "prompt": [ITEM], "domain": ["math"]}
    commit("benchmarks", Outcome(pl.DataFrame(items)))
    commit("allowed", Outcome(pl.DataFrame(schema=ALLOWED)))
    held = decided(clips, "dropped", "contaminated_ngram", item_id="gsm#0")
    clean = pl.concat([bakery, tea]).sort("row_id")
    commit("decontaminated", Outcome(clean, rows_in=3, decisions=held))
    commit("scored", Outcome(clean.select("row_id", quality=pl.lit(3.0))))
    commit("seed_selected", Outcome(clean, rows_in=2, decisions=decided(clean, "chosen", "many_labels")))
    chosen, left_out = decided(tea, "chosen", "quality", place=0), decided(bakery, "dropped", "over_quota", quota=1)
    commit("inf_instruct_f", Outcome(tea, rows_in=2, decisions=pl.concat([chosen, left_out])))
    replaced = decided(bakery, "dropped", "superseded", child=row_id(BAKERY2))
    ended = pl.concat([replaced, decided(tea, "dropped", "returned_to_pool", why="no_text")])
    rewritten, answered = child(BAKERY2, BAKERY, "evolve_constraints"), child(BAKERY3, BAKERY2, "answer")
    commit(
        "evolved",
        Outcome(
            rewritten, rows_in=2, rows_created=1, decisions=ended, edges=edge(BAKERY2, BAKERY, "evolve_constraints"),
            generations=call(BAKERY, "evolve_constraints"),
        ),
    )  # fmt: skip
    ended = decided(rewritten, "dropped", "superseded", child=row_id(BAKERY3))
    commit(
        "answered",
        Outcome(
            answered, rows_in=1, rows_created=1, decisions=ended, edges=edge(BAKERY3, BAKERY2, "answer"),
            generations=call(BAKERY2, "answer"),
        ),
    )  # fmt: skip
    commit("inf_instruct_g", Outcome(answered, rows_in=1, decisions=decided(answered, "chosen", "passed_final_filter")))
    return lake
