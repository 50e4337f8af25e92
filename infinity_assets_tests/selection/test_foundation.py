import math

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.schema import DOMAINS
from infinity_assets.selection.foundation import budget
from infinity_assets.settings import Foundation

FEW = settings(max_examples=40, deadline=None)


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
