"""`preferences`: a pair for every row with a rejected answer that is in G or is the parent of a row of G."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infinity_assets.catalog.lake import Lake
from infinity_assets.defs.chat.preferences import PREFERENCES
from infinity_assets.defs.chat.rounds import ANSWERED
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.rows.frames import conform
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import Answering, Chat
from infinity_assets.settings.models import Models, RewardSpec
from infinity_assets_tests.defs.steps import commit, outcome_of, rows_of
from infinity_assets_tests.frames import conversations
from infinity_assets_tests.properties import examples

ROWS = st.lists(
    st.tuples(
        st.none() | st.tuples(st.floats(1, 3), st.sampled_from(["judge", "reward"])),
        st.sampled_from(["in g", "parent", "gone"]),
    ),
    min_size=1,
    max_size=8,
)
"""Rows of `answered`: score and scorer of the rejected answer, and whether the row is in G."""


def answered_rows(listed: list) -> pl.DataFrame:
    rows = add_row_ids(
        conversations(*([("user", f"Question {n}?"), ("assistant", "Best.")] for n in range(len(listed)))).to_frame()
    )
    worst = [None if low is None else {"answer": "Worst.", "score": low[0], "by": low[1]} for low, _ in listed]
    rows = rows.with_columns(
        pl.Series("rejected", worst, dtype=ANSWERED["rejected"]),
        answer_score=pl.lit(3.0),
        reward=pl.lit(4.0),
        source=pl.lit("synthetic:g"),
        licence=pl.lit("MIT"),
        domain=pl.lit("chat"),
        language=pl.lit("en"),
        round=pl.lit(1),
    )
    return conform(rows, ANSWERED, fill=True)


def pairs_of(folder: Path, listed: list, least: float = 0.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the pairs and the rows of `answered`."""
    lake, rows = Lake(folder), answered_rows(listed)
    for number in ROUNDS:
        commit(lake, in_round("answered", number), rows if number == 1 else rows.clear())
    fate = pl.Series([fate for _, fate in listed])
    longer = rows.filter(fate == "parent").with_columns(
        parents=pl.concat_list("row_id"), row_id=pl.format("long{}", "row_id")
    )
    commit(lake, "inf_instruct_g", pl.concat([rows.filter(fate == "in g"), longer]))
    now = Settings(models=Models(reward=RewardSpec(model="rewards")), chat=Chat(answering=Answering(min_margin=least)))
    return rows_of(outcome_of("preferences", lake, now)), rows


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listed=ROWS, least=st.sampled_from([0.0, 0.5, 1.0]))
def test_every_rejected_answer_of_g_with_a_margin_gives_a_pair(
    tmp_path_factory: pytest.TempPathFactory, listed: list, least: float
) -> None:
    pairs, rows = pairs_of(tmp_path_factory.mktemp("lake"), listed, least)
    assert pairs.schema == PREFERENCES
    best = {"judge": 3.0, "reward": 4.0}
    expected = {
        row_id: best[low[1]] - low[0]
        for row_id, (low, fate) in zip(rows["row_id"], listed, strict=True)
        if low and fate != "gone" and best[low[1]] - low[0] > least
    }
    assert dict(pairs.select("row_id", "margin").iter_rows()) == expected
    assert pairs["row_id"].is_sorted()
    assert pairs["row_id"].is_unique().all()
    for row in pairs.iter_rows(named=True):
        assert row["chosen"][:-1] == row["rejected"][:-1] == [{"role": "user", "content": row["prompt"]}]
        assert (row["chosen"][-1]["content"], row["rejected"][-1]["content"]) == ("Best.", "Worst.")
        assert row["chosen_score"] - row["rejected_score"] == row["margin"]
        assert row["scored_by"] == ("rewards@main" if row["chosen_score"] == 4.0 else Models().judge.weights_id)
