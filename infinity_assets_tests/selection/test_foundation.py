import math

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.schema import DOMAINS
from infinity_assets.selection.foundation import budget, rank
from infinity_assets.settings import Foundation

FEW = settings(max_examples=40, deadline=None)

SCORES = st.none() | st.floats(1, 5)
CANDIDATES = st.lists(st.tuples(st.sampled_from(DOMAINS), st.none() | st.floats(-20, 20), SCORES, SCORES, st.booleans()), max_size=14)
SCHEMA = {
    "row_id": pl.String, "domain": pl.String, "log_weight": pl.Float64, "quality": pl.Float64, "ifd": pl.Float64, "is_seed": pl.Boolean,
}  # fmt: skip


def weighed(lines: list) -> pl.DataFrame:
    """Knowledge has no target; without a weight there is no stratum."""
    has_target, has_weight = pl.col("domain") != "knowledge", pl.col("log_weight").is_not_null()
    frame = pl.DataFrame(lines, schema=SCHEMA, orient="row").with_columns(pl.when(has_target).then("log_weight").alias("log_weight"))
    return frame.with_columns(stratum=pl.when(has_weight).then(pl.lit(3)), share=pl.when(has_weight).then(pl.lit(1.0)))


@FEW
@given(candidates=CANDIDATES, data=st.data())
def test_the_ranking(candidates: list, data: st.DataObject) -> None:
    """Places count from 0 in every domain, follow the domain's criterion, put replayed seeds first, and depend on no order."""
    lines = [(f"{n:032x}", *candidate) for n, candidate in enumerate(candidates)]
    ranked, again = (rank(weighed(part), Foundation()) for part in (lines, data.draw(st.permutations(lines))))
    assert again.select(sorted(again.columns)).equals(ranked.select(sorted(ranked.columns)))
    assert sorted(ranked["row_id"]) == [line[0] for line in lines]
    for (domain,), rows in ranked.group_by("domain"):
        assert sorted(rows["place"]) == list(range(rows.height))
        replayed, by_weight = rows["is_seed"] & (domain == "chat"), rows["dsir_log_weight"].count() > 0
        assert rows["selector"].to_list() == ["seed_replay" if seed else "dsir" if by_weight else "quality" for seed in replayed]
        known = rows.filter(~replayed)["dsir_log_weight"].is_not_null().to_list()
        assert known == sorted(known, reverse=True), "in DSIR's domains a row without a weight comes last"
        assert rows.filter(replayed)["place"].to_list() == list(range(replayed.sum()))
        if not by_weight:
            for part in (rows.filter(replayed), rows.filter(~replayed)):
                keys = [
                    (-(-math.inf if q is None else q), -(-math.inf if i is None else i), row)
                    for q, i, row in part.sort("place").select("quality", "ifd", "row_id").iter_rows()
                ]
                assert keys == sorted(keys)


@FEW
@given(
    rows=st.dictionaries(st.sampled_from(DOMAINS), st.integers(0, 10_000)),
    shares=st.fixed_dictionaries({domain: st.floats(0, 1) for domain in DOMAINS}),
    max_rows=st.integers(1, 20_000),
)
def test_the_budget(rows: dict, shares: dict, max_rows: int) -> None:
    available = pl.DataFrame(list(rows.items()), schema={"domain": pl.String, "rows": pl.UInt32}, orient="row")
    lines = budget(available, Foundation(keep_share=shares, max_rows=max_rows))
    assert lines["domain"].to_list() == sorted(rows)
    assert lines["quota"].sum() <= max_rows
    wanted = {domain: math.ceil(count * shares.get(domain, 0.0)) for domain, count in rows.items()}
    for line in lines.iter_rows(named=True):
        assert line["available"] == rows[line["domain"]]
        assert 0 <= line["quota"] <= wanted[line["domain"]] <= line["available"]
        if sum(wanted.values()) <= max_rows:
            assert line["quota"] == wanted[line["domain"]]
        else:
            assert abs(line["quota"] - wanted[line["domain"]] * max_rows / sum(wanted.values())) <= 1
            assert str(max_rows) in line["reason"]
