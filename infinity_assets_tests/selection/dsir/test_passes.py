"""Both passes over a pool equal the plain functions for any batches and threads."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.dsir import passes
from infinity_assets.selection.dsir.passes import IMPORTANCE, count_rows, weigh_rows
from infinity_assets.selection.dsir.weights import count, fit, weigh
from infinity_assets.settings.foundation import Dsir
from infinity_assets_tests.frames import pool
from infinity_assets_tests.properties import examples

DSIR = Dsir(targets={"math": ("sums",), "code": ()}, buckets=97)
QUESTIONS = st.sampled_from(["How many is 3 and 4?", "三加四是多少？", "print x", "?!", "Why, oh reason?"])
RECORDS = st.lists(
    st.tuples(st.sampled_from(["sums", "chats"]), st.sampled_from(["math", "code", "chat"]), QUESTIONS, st.booleans()),
    max_size=20,
)


def rows_of(records: list) -> pl.DataFrame:
    """Build rows with a system turn that makes each of them unique."""
    turns = [
        (("system", f"{n}."), ("user", question), *([("assistant", "Well.")] if answered else []))
        for n, (*_, question, answered) in enumerate(records)
    ]
    table = pool(*((record[0], "f", n, turn) for n, (record, turn) in enumerate(zip(records, turns, strict=True))))
    return table.with_columns(pl.Series("domain", [domain for _, domain, *_ in records], dtype=pl.String))


@settings(max_examples=examples(30), deadline=None)
@given(records=RECORDS, batch=st.integers(1, 7), workers=st.integers(1, 3))
def test_passes_equal_the_plain_functions(records: list, batch: int, workers: int) -> None:
    table = rows_of(records)
    prompted = table.with_columns(prompt=pl.Series([question for _, _, question, _ in records], dtype=pl.String))
    talks = prompted.filter(kind="conversation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "BATCH", batch)
        counts = count_rows(table.lazy(), DSIR, workers)
        sets = {("pool", name): talks.filter(domain=name) for name in ("math", "code")} | {
            ("target", "sums"): talks.filter(source="sums")
        }
        assert counts.keys() == {key for key, rows in sets.items() if rows.height}
        for key, part in counts.items():
            expected = count(sets[key]["prompt"], DSIR)
            assert part.ngrams.tolist() == expected.ngrams.tolist()
            assert part.lengths.tolist() == expected.lengths.tolist()
        target = count(pl.Series(["How many is 5?"]), DSIR)
        math = counts.get(("pool", "math"))
        fitted = {"math": fit(math, target, DSIR)} if math and math.ngrams.any() else {}
        weighed = weigh_rows(table.lazy(), fitted, DSIR, workers)
    assert weighed.schema == IMPORTANCE
    assert weighed["row_id"].to_list() == sorted(table["row_id"])
    kinds = dict(zip(prompted["row_id"], prompted.select("kind", "domain", "prompt").rows(), strict=True))
    for line in weighed.iter_rows(named=True):
        kind, domain, prompt = kinds[line["row_id"]]
        reason = "no_text" if prompt == "?!" else None
        if domain not in fitted:
            reason = "no_target"
        if kind != "conversation":
            reason = "no_answer"
        assert (line["importance_error"], line["domain"]) == (reason, domain)
        assert (line["log_weight"] is None) is (reason is not None)
        if reason is None:
            expected = weigh(pl.Series([prompt]), fitted[domain], DSIR).row(0, named=True)
            assert {name: line[name] for name in expected} == expected
