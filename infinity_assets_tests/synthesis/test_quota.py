"""A quota is reached with few candidates, and every candidate has a decision."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows import schema
from infinity_assets.rows.ids import shard_names
from infinity_assets.selection.rules import Rule
from infinity_assets.synthesis.lineage import settle
from infinity_assets.synthesis.quota import WAVE, shard_quota, try_until_accepted
from infinity_assets_tests.properties import examples

RULES = [Rule("bad", pl.col("text").str.starts_with("bad"), pl.col("text"))]


def candidates(texts: list[str]) -> pl.DataFrame:
    lines = [{"row_id": f"{number:032x}", "source": "s", "file": "f", "position": number, "licence": "MIT",
              "domain": "chat", "language": "en", "answer": text} for number, text in enumerate(texts)]  # fmt: skip
    return pl.DataFrame(lines, schema={**dict.fromkeys(("row_id", "source", "file"), pl.String), "position": pl.Int64,
                                       **dict.fromkeys(
                                           ("licence", "domain", "language", "answer"), pl.String)})  # fmt: skip


def run(texts: list[str], wanted: int | None):
    tried: list[str] = []

    def make(wave: pl.DataFrame) -> pl.DataFrame:
        tried.extend(wave["row_id"])
        turn = pl.struct(role=pl.lit("user"), content="answer")
        return wave.with_columns(
            text="answer",
            messages=pl.concat_list(turn),
            kind=pl.lit("instruction"),
            operation=pl.lit("op"),
            round=pl.lit(1),
        )

    def decide(made: pl.DataFrame, failed: pl.DataFrame):
        return settle(made, schema.SYNTHETIC_ROW, RULES, failed, by="model")

    generation, untried = try_until_accepted(candidates(texts), wanted, "stage", make, decide)
    return generation, untried, tried


texts = st.lists(
    st.sampled_from(["bad", "one", "two"]).flatmap(lambda s: st.integers(0, 60).map(lambda n: f"{s} {n}")), max_size=80
)


@settings(deadline=None, max_examples=examples(60))
@given(texts=texts, wanted=st.one_of(st.none(), st.integers(0, 60)))
def test_no_row_is_lost_and_no_more_than_wanted_are_kept(texts, wanted):
    generation, untried, tried = run(texts, wanted)
    everything, _, _ = run(texts, None)
    possible = everything.kept.height
    kept = generation.kept.height
    assert kept == (possible if wanted is None else min(wanted, possible))
    assert sorted([*tried, *untried["row_id"]]) == sorted(candidates(texts)["row_id"])
    dropped = generation.decisions.height + untried.height
    assert len(texts) + generation.created.height == kept + dropped
    assert set(untried["reason"]) <= {"not_needed"}


@settings(deadline=None, max_examples=examples(30))
@given(texts=texts, wanted=st.integers(1, 40), more=st.integers(0, 40))
def test_a_larger_quota_continues_where_a_smaller_one_ended(texts, wanted, more):
    few, _, tried = run(texts, wanted)
    many, _, tried_more = run(texts, wanted + more)
    assert set(tried) <= set(tried_more)
    assert run(texts, wanted)[0].kept.equals(few.kept)
    assert many.kept.height >= few.kept.height


def test_few_candidates_are_tried_if_all_are_accepted():
    _, untried, tried = run([f"one {number}" for number in range(1000)], 20)
    assert len(tried) <= 2 * WAVE
    assert untried.height == 1000 - len(tried)


@pytest.mark.parametrize(("wanted", "shards"), [(10, 4), (3, 4), (1, 7)])
def test_shards_share_the_total(wanted, shards):
    assert sum(shard_quota(wanted, shards, name) or 0 for name in shard_names(shards)) == wanted
    assert shard_quota(0, shards, "shard-00") is None
