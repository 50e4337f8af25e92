"""A lake of a few hundred small rows with all inputs of `inf_instruct_f`, written by hand in place of models."""

from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.defs.foundation import candidates, inf_instruct_f, topics
from infinity_assets.rows import schema
from infinity_assets.selection.rules import measures
from infinity_assets.selection.topics import label_items
from infinity_assets.settings import Settings
from infinity_assets_tests.defs.steps import commit, outcome_of
from infinity_assets_tests.frames import pool

ROWS, WIDTH = 240, 8
DOMAINS = ("math", "code", "knowledge", "chat")
REFUSAL = "I'm sorry, but I cannot help with that."

__all__ = ["candidates", "inf_instruct_f"]


def make(data: Path) -> Lake:
    """Make the lake.

    Of every three rows, one has labels and scores and one a reward. Every fifth row has no vector, every tenth declines
    to answer, and the last has no answer.
    """
    lake, rng = Lake(data), np.random.default_rng(0)
    turns = [
        [
            ("user", f"Question {n}: which tree grows tallest?"),
            (
                "assistant",
                REFUSAL
                if n % 10 == 9
                else f"Of these it is tree {n}:\n\n```python\ndef grow(tree):\n    return tree + {n}\n```",
            ),
        ]
        for n in range(ROWS - 1)
    ]
    rows = pool(
        *(("alpha", "a.json", n, turn) for n, turn in enumerate([*turns, [("user", "Question without an answer?")]]))
    )
    rows = rows.with_columns(domain=pl.Series([DOMAINS[n % 4] for n in range(ROWS)])).sort("row_id")
    number = rows["position"].to_numpy()
    third = number % 3

    def drawn(low: float, high: float, of: int) -> pl.Series:
        return pl.Series(np.where(third == of, rng.uniform(low, high, ROWS), np.nan), nan_to_null=True)

    scores = {
        "quality": (2, 5, 0),
        "complexity": (1, 5, 0),
        "depth": (0, 5, 0),
        "ifd": (0.2, 0.99, 0),
        "reward": (-9, 9, 1),
    }
    scored = rows.select("row_id", **{name: drawn(*bounds) for name, bounds in scores.items()}).with_columns(
        ifd_perplexity=pl.col("ifd") / 2
    )
    labels = [["trees", f"label {n % 7}"] if n % 3 == 0 else None for n in number]
    vectors = [None if n % 5 == 0 else v.tolist() for n, v in zip(number, rng.normal(size=(ROWS, WIDTH)), strict=True)]
    items = pl.DataFrame(
        {
            "item_id": [f"bench#{n}" for n in range(40)],
            "benchmark": ["bench"] * 40,
            "domain": [DOMAINS[n % 4] for n in range(40)],
            "prompt": [f"How tall is oak {n}?" for n in range(40)],
            "vector": pl.Series(rng.normal(size=(40, WIDTH)).tolist(), dtype=pl.Array(pl.Float16, WIDTH)),
        }
    )
    tables = {
        "decontaminated": rows,
        "measured": measures.measure(rows),
        "scored": scored,
        "labelled": rows.select(
            "row_id", cate_ability=pl.lit(["other"]), ability=pl.Series(labels, dtype=pl.List(pl.String))
        ),
        "importance": rows.select(
            "row_id", log_weight=pl.Series(rng.normal(size=ROWS)), stratum=pl.lit(0, pl.Int64), share=pl.lit(1.0)
        ),
        "vectors": rows.select("row_id", vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, WIDTH))),
        "benchmarks": items.drop("vector"),
        "benchmark_vectors": label_items(items, 5).select("item_id", "benchmark", "domain", "topic", "vector"),
        "seed_selected": rows.filter(pl.col("domain") == "chat", pl.col("position") % 3 == 0),
        "domain_budget": pl.DataFrame({"domain": DOMAINS, "quota": [30, 30, 45, 1000], "eased": ["{}"] * 4}),
    }
    for asset, table in tables.items():
        commit(lake, asset, Outcome(table))
    for asset in ("proximity", "topics"):
        commit(lake, asset, made(lake, asset, Settings()))
    return lake


def made(lake: Lake, asset: str, settings: Settings) -> Outcome:
    """Return the outcome of an asset's function on the lake."""
    assert topics
    return outcome_of(asset, lake, settings)


def f_of(lake: Lake, settings: Settings) -> Outcome:
    """Make InfInstruct-F and commit it."""
    outcome = made(lake, "inf_instruct_f", settings)
    commit(lake, "inf_instruct_f", outcome)
    assert outcome.rows.lazy().collect_schema().names()[: len(schema.ROW)] == list(schema.ROW)
    return outcome
