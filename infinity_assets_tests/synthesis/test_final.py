"""The final filter keeps or drops every row once, for the first rule that it fails, in any order of the rows."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.dedup.fingerprints import fingerprint
from infinity_assets.rows import schema
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings import Near
from infinity_assets.settings.chat import Final
from infinity_assets.synthesis import final
from infinity_assets_tests.frames import Turns, conversations
from infinity_assets_tests.properties import examples

COLUMNS = pl.Schema({**schema.SYNTHETIC_ROW, "answer_score": pl.Float64, "reward": pl.Float64})
HITS = pl.DataFrame(
    schema={"row_id": pl.String, "item_id": pl.String, "rule": pl.String, "share": pl.Float64, "span": pl.String}
)
STRICT = Final(drop_quantile=0.0, min_answer_score=2.0)


def prose(number: int, words: int = 60, changed: int = 0) -> str:
    """Return a distinct text. Its first `changed` words are replaced."""
    drawn = random.Random(number)
    words_drawn = [f"w{drawn.randrange(5000)}" for _ in range(words)]
    return " ".join(["other"] * changed + words_drawn[changed:])


def row(number: int, changed: int = 0, **values: object) -> dict:
    turns: Turns = [("user", f"Tell me about subject {number}, please."), ("assistant", prose(number, changed=changed))]
    return {"turns": turns, **values}


def rows_of_g(*lines: dict) -> pl.DataFrame:
    """Return rows of G with ids."""
    usual = {"licence": "MIT", "domain": "chat", "language": "en", "round": 1, "answer_score": 4.0, "reward": None}
    rows = [{**usual, "parents": ["p"], **{k: v for k, v in line.items() if k != "turns"}} for line in lines]
    frame = pl.DataFrame(rows, schema_overrides={"reward": pl.Float64, "answer_score": pl.Float64})
    frame = frame.with_columns(
        messages=conversations(*(line["turns"] for line in lines)), source=pl.lit("synthetic:m"), file=pl.lit(None,
        pl.String),
        position=pl.lit(None, pl.Int64), kind=pl.lit("conversation"), operation=pl.lit("answer"),
    )  # fmt: skip
    return add_row_ids(frame).select(COLUMNS.names()).cast(COLUMNS)


def filter_arrived(
    arrived: pl.DataFrame,
    recipe: Final = STRICT,
    hits: pl.DataFrame = HITS,
    seeds: Sequence = (),
    foundation: Sequence = (),
) -> final.FilterResult:
    return final.filter_rows(arrived, "Apache-2.0", hits, seeds, foundation, recipe, Near())


def reasons(result: final.FilterResult) -> dict[str, str]:
    return dict(result.decisions.select("row_id", "reason").iter_rows())


def test_each_rule_drops_its_row_with_evidence() -> None:
    faults: list[dict[str, Any]] = [
        {"item_id": "gsm#1"}, {"unsafe": True}, {"licence": "CC-BY-NC-4.0"}, {"answer_score": None},
        {"answer_score": 1.0}, {"f": 0}, {"seed": 4}, {"f": 4}, {},
    ]  # fmt: skip
    names = [
        "contaminated", "unsafe", "licence_denied", "not_scored", "low_answer_score", "in_foundation",
        "near_duplicate_of_seed", "near_duplicate_of_foundation", "passed_final_filter",
    ]  # fmt: skip
    lines, seeds, f = [], [], []
    for number, fault in enumerate(faults):
        line = row(number, **{k: v for k, v in fault.items() if k in ("licence", "answer_score")})
        if "unsafe" in fault or "item_id" in fault:
            line["turns"] = [("user", f"{number}: how do I build a bomb?"), line["turns"][1]]
        lines.append(line)
        seeds += [row(number, changed=int(fault["seed"]))] if "seed" in fault else []
        f += [row(number, changed=int(fault["f"]))] if "f" in fault else []
        if "f" in fault and fault["f"] == 0:
            seeds.append(row(number, changed=3))
    arrived = rows_of_g(*lines)
    first = arrived["row_id"][0]
    hits = pl.DataFrame([{"row_id": first, "item_id": "gsm#1", "rule": "ngram", "share": 0.7, "span": "half as many"}])
    recipe = STRICT.model_copy(update={"denied_licences": ("CC-BY-NC-4.0",)})
    result = filter_arrived(arrived, recipe, hits, [rows_of_g(*seeds)], [rows_of_g(*f)])
    by_row = reasons(result)
    assert [by_row[one] for one in arrived["row_id"]] == names
    details = [json.loads(detail) for detail in result.decisions.sort("row_id")["detail"]]
    assert all(details)
    similar = {line["reason"]: json.loads(line["detail"]) for line in result.decisions.iter_rows(named=True)}
    assert float(similar["near_duplicate_of_seed"]["measure"]) >= 0.7
    assert similar["near_duplicate_of_seed"]["threshold"] == "0.7"
    assert similar["near_duplicate_of_seed"]["evidence"] in set(rows_of_g(*seeds)["row_id"])
    denied = recipe.model_copy(update={"denied_terms": ("Apache-2.0",)})
    reasons_then = set(filter_arrived(arrived, denied).decisions["reason"])
    assert reasons_then == {"unsafe", "licence_denied", "terms_denied"}
    assert set(names) - {"passed_final_filter"} <= set(final.REASONS)


def test_the_best_of_near_duplicates_is_kept() -> None:
    measures: dict[str, dict[str, Any]] = {"answer_score": {}, "reward": {"answer_score": 3.0}}
    for name, other in measures.items():
        values = [{**other, name: 2.5}, {**other, name: 4.5}, {**other, name: 3.5}]
        arrived = rows_of_g(
            *(row(1, place, **value) for place, value in enumerate(values)), row(2, 0, **{**other, name: 2.1})
        )
        result = filter_arrived(arrived)
        assert set(result.kept["row_id"]) == {arrived["row_id"][1], arrived["row_id"][3]}, name
        lost = result.decisions.filter(reason="near_duplicate")
        assert {json.loads(detail)["duplicate_of"] for detail in lost["detail"]} == {arrived["row_id"][1]}
        assert result.pairs.filter("dropped").height == 2


def test_short_texts_that_differ_in_case_are_near_duplicates() -> None:
    arrived = rows_of_g(
        {"turns": [("user", "Hi"), ("assistant", "Hello")]}, {"turns": [("user", "HI"), ("assistant", "hello")]}
    )
    assert Counter(filter_arrived(arrived).decisions["reason"]) == {"near_duplicate": 1, "passed_final_filter": 1}


def test_near_duplicate_seeds_do_not_eliminate_each_other() -> None:
    """The second seed is similar to the first seed and to the row, but these two are not similar."""
    arrived = rows_of_g(row(1, changed=0))
    seeds = rows_of_g(row(1, changed=16), row(1, changed=8))
    assert reasons(filter_arrived(arrived, seeds=[seeds]))[arrived["row_id"].item()] == "near_duplicate_of_seed"
    assert reasons(filter_arrived(arrived, seeds=[seeds[:1]]))[arrived["row_id"].item()] == "passed_final_filter"


def test_a_row_of_two_rounds_has_the_parents_and_the_stricter_licence_of_both() -> None:
    later = row(1, licence="CC-BY-NC-4.0", parents=["q"], round=2)
    arrived = rows_of_g(row(2), later, row(1, parents=["p"]))
    result = filter_arrived(arrived)
    found = result.kept.filter(row_id=arrived["row_id"][1])
    assert found.select("round", "licence", "parents").rows() == [(1, "CC-BY-NC-4.0", ["p", "q"])]
    assert Counter(result.decisions["reason"]) == {"passed_final_filter": 2, "repeats_another": 1}


@pytest.mark.parametrize("pairs", [3, 1 << 22])
def test_the_nearest_row_is_found_across_batches(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final, "_PAIRS", pairs)
    mine = rows_of_g(*(row(n % 5, changed=n // 5) for n in range(20)))
    others = rows_of_g(*(row(n % 6, changed=3 + n // 6) for n in range(24)))
    rule = final.whole_conversation_rule(Near(), STRICT)
    prints = final.Prints(mine, rule)
    found = prints.find_nearest([others[start : start + 7] for start in range(0, 24, 7)])
    assert found.equals(prints.find_nearest([others.sample(24, shuffle=True, seed=3)]))

    def shingles(frame: pl.DataFrame) -> dict[str, set[int]]:
        listed = fingerprint(frame, rule).select("row_id", "shingles").iter_rows()
        return {one: {shingle >> 1 for shingle in own} for one, own in listed}

    theirs = shingles(others)
    nearest = {line[0]: line[1:] for line in found.iter_rows()}
    for one, own in shingles(mine).items():
        best = min(theirs, key=lambda other: (-round(len(own & theirs[other]) / len(own | theirs[other]), 6), other))
        similarity = len(own & theirs[best]) / len(own | theirs[best])
        if similarity >= 0.7:
            assert nearest[one] == (best, pytest.approx(similarity, abs=1e-6), similarity == 1.0 and one == best)


GROUP = (st.sampled_from(["chat", "math"]), st.sampled_from(["en", "zh"]))
REWARD = st.sampled_from([None, -2.0, 0.5, 9.0, float("nan")])
SCORES = st.lists(st.tuples(*GROUP, st.integers(1, 4), REWARD), min_size=1, max_size=40)


@settings(max_examples=examples(25), deadline=None)
@given(lines=SCORES, share=st.sampled_from([0.0, 0.05, 0.25, 0.5]), least=st.integers(1, 8), data=st.data())
def test_the_lowest_of_each_group_are_dropped_and_every_row_is_decided(
    lines: list, share: float, least: int, data: st.DataObject
) -> None:
    recipe = Final(drop_quantile=share, min_group=least, min_answer_score=0.0)
    names = ("domain", "language", "answer_score", "reward")
    arrived = rows_of_g(*(row(n, **dict(zip(names, line, strict=True))) for n, line in enumerate(lines)))
    result = filter_arrived(arrived, recipe)
    assert result.decisions.height == arrived.height
    assert sorted(result.decisions.filter(verdict="chosen")["row_id"]) == result.kept["row_id"].to_list()
    again = filter_arrived(arrived[data.draw(st.permutations(range(arrived.height)))], recipe)
    assert again.kept.equals(result.kept)
    assert again.decisions.sort("row_id").equals(result.decisions.sort("row_id"))
    for _, group in arrived.group_by("domain", "language"):
        rewards = group["reward"].to_list()
        by = "reward" if all(reward is not None and np.isfinite(reward) for reward in rewards) else "answer_score"
        order = group.sort(by, "row_id")["row_id"].to_list()
        cut = int(share * len(order) + 1e-9) if len(order) >= least else 0
        left = result.kept.filter(pl.col("row_id").is_in(order))
        assert set(left["row_id"]) == set(order[cut:])
        assert left["quantile"].is_between(0, 1).all()
        assert left.sort("quantile", by)[by].is_sorted()


def test_no_rows_give_an_empty_result() -> None:
    result = filter_arrived(rows_of_g(row(1)).clear())
    assert (result.kept.height, result.decisions.height, result.pairs.height) == (0, 0, 0)
