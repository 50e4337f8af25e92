"""The order of the selectors that sort, against Python's sort."""

from collections import Counter

import numpy as np
import polars as pl
from hypothesis import given, settings

from infinity_assets.selection.selectors import select
from infinity_assets.settings.foundation import Foundation, Selectors
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.selectors.rows import LINES, frame

FEW = settings(max_examples=examples(60), deadline=None)


def order(name: str, rows: pl.DataFrame, recipe: Foundation | None = None) -> list[str]:
    verdicts = select(name, rows, rows.height, recipe or Foundation())
    return verdicts.filter("taken").sort("place")["row_id"].to_list()


@FEW
@given(lines=LINES)
def test_selectors_sort_by_their_keys(lines: list) -> None:
    rows = frame(lines)
    dicts = rows.to_dicts()
    by = {
        "longest": lambda r: (-r["answer_chars"], r["row_id"]),
        "ifd": lambda r: (-r["ifd"], r["row_id"]),
        "quality": lambda r: (-r["quality"], r["ifd"] is None, -(r["ifd"] or 0), r["row_id"]),
    }
    for name, key in by.items():
        able = set(order(name, rows))
        assert order(name, rows) == [r["row_id"] for r in sorted((r for r in dicts if r["row_id"] in able), key=key)]


@FEW
@given(lines=LINES)
def test_ifd_scale_selects_the_column(lines: list) -> None:
    rows = frame(lines)
    other = order("ifd", rows, Foundation(selectors=Selectors(ifd_scale="perplexity")))
    assert other == order("ifd", rows.with_columns(ifd="ifd_perplexity"))


@FEW
@given(lines=LINES)
def test_rewards_compete_within_their_domain_and_language(lines: list) -> None:
    """Shifting all rewards of a group does not change the order."""
    rows = frame(lines)
    english_math = (pl.col("domain") == "math") & (pl.col("language") == "en")
    shifted = rows.with_columns(reward=pl.col("reward") + 50 * english_math.cast(pl.Int64))
    assert order("reward", rows) == order("reward", shifted)
    best = set(order("reward", rows)[:1])
    for row in rows.filter(pl.col("row_id").is_in(list(best))).iter_rows(named=True):
        group = rows.filter(pl.col("domain") == row["domain"], pl.col("language") == row["language"])
        assert row["reward"] == group["reward"].max()


def test_topics_get_their_shares_at_every_size() -> None:
    share = {"t1": 0.6, "t2": 0.3, "t3": 0.1}
    lines = [
        (f"{n:04}", topic, share[topic], 0.4 + n % 50 / 100)
        for n, topic in enumerate(topic for topic in share for _ in range(300))
    ]
    rows = pl.DataFrame(lines, schema=["row_id", "topic", "topic_share", "proximity"], orient="row")
    topic = dict(rows.select("row_id", "topic").iter_rows())
    for size in (10, 57, 300):
        taken = order("retrieval", rows)[:size]
        counted = Counter(topic[row] for row in taken)
        assert all(abs(counted[name] - size * share[name]) <= 1 for name in share)
    # An exhausted topic leaves its seats to the others.
    few = rows.filter((pl.col("topic") != "t1") | pl.int_range(pl.len()).over("topic").lt(5))
    assert select("retrieval", few, 500, Foundation())["taken"].sum() == 500


def test_retrieval_takes_the_nearest_rows_of_a_topic() -> None:
    placed = [("a", "t", 0.5), ("b", "t", 0.9), ("c", "t", 0.7), ("d", "t", 0.2), ("e", "u", 0.9)]
    lines = [(row, topic, 1.0 if topic == "t" else None, near) for row, topic, near in placed]
    rows = pl.DataFrame(lines, schema=["row_id", "topic", "topic_share", "proximity"], orient="row")
    assert order("retrieval", rows) == ["b", "c", "a"]
    reasons = dict(select("retrieval", rows, 5, Foundation()).select("row_id", "reason").iter_rows())
    assert (reasons["d"], reasons["e"]) == ("far_from_benchmarks", "no_topic")


def test_dsir_draws_by_weight_within_strata_of_length() -> None:
    rng = np.random.default_rng(0)
    share = np.array([0.5, 0.3, 0.2])
    stratum = np.arange(6000) % 3
    rows = pl.DataFrame(
        {
            "row_id": [f"{i:032x}" for i in range(6000)],
            "domain": np.where(np.arange(6000) < 3000, "math", "code"),
            "stratum": stratum,
            "share": share[stratum],
            "log_weight": rng.normal(0, 1, 6000),
        }
    )
    taken = rows.join(select("dsir", rows, 600, Foundation()).filter("taken"), on="row_id")
    counted = Counter(taken.select("domain", "stratum").iter_rows())
    assert all(abs(counted[domain, n] - 300 * share[n]) <= 2 for domain in ("math", "code") for n in range(3))
    # For a small share, a draw in proportion to exp(w) of normal w has mean weight 1, and it does not take all of the
    # heaviest rows.
    assert 0.6 < taken["log_weight"].mean() < 1.1  # type: ignore[operator]
    assert taken["log_weight"].min() < rows["log_weight"].quantile(0.5)  # type: ignore[operator]
