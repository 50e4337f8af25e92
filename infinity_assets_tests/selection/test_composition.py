import json
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.selection.composition import COMPOSED, accounts, compose
from infinity_assets.selection.domain_budget import scale_quotas
from infinity_assets.selection.selectors import SELECTORS
from infinity_assets.settings import Foundation
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.selectors.rows import LINES, WIDTH, frame

FEW = settings(max_examples=examples(60), deadline=None)
RECIPES = st.fixed_dictionaries(
    {domain: st.lists(st.sampled_from(sorted(SELECTORS)), min_size=1, max_size=3).map(tuple) for domain in DOMAINS}
)
NO_VECTOR = pl.lit(None, pl.Array(pl.Float16, WIDTH))
QUOTAS = st.dictionaries(st.sampled_from(DOMAINS), st.integers(0, 6))


@FEW
@given(
    lines=LINES, recipe=RECIPES, quotas=QUOTAS, share=st.sampled_from([0.0, 0.2, 1.0]), languages=st.sampled_from(["any", "as_pool"]),
    data=st.data(),
)  # fmt: skip
def test_a_composition_conserves_rows_and_keeps_quotas(
    lines: list, recipe: dict, quotas: dict, share: float, languages: Any, data: st.DataObject
) -> None:
    rows = frame(lines)
    settings_ = Foundation(recipe=recipe, seed_share=share, max_similarity=0.9, languages=languages)
    verdicts = compose(rows, quotas, settings_)
    assert compose(frame(data.draw(st.permutations(lines))), quotas, settings_).equals(verdicts)
    # Conservation: every row has one verdict and a reason.
    assert verdicts.schema == COMPOSED
    assert verdicts["row_id"].to_list() == sorted(rows["row_id"])
    assert verdicts["reason"].null_count() == 0
    taken = verdicts.filter("taken")
    for domain in DOMAINS:
        own = taken.filter(domain=domain).sort("place")
        assert own["place"].to_list() == list(range(own.height))
        assert own.height <= quotas.get(domain, 0)
        # Selectors run in the order of the recipe.
        order = [recipe[domain].index(name) for name in own["selector"]]
        assert languages == "as_pool" or order == sorted(order)
        # No selector could fill the rest of the quota.
        if own.height < quotas.get(domain, 0):
            left = verdicts.filter(~pl.col("taken"), domain=domain)
            over = left.filter(reason="over_quota")
            assert over.is_empty() or "seed_replay" in recipe[domain]
    assert (taken["selector"] == "seed_replay").sum() <= round(share * sum(quotas.values()))
    for domain, detail in verdicts.select("domain", "detail").iter_rows():
        assert json.loads(detail)["quota"] == quotas.get(domain, 0)
    # Diversity: no close pair in any domains; every near-duplicate names a taken row.
    known = taken.join(rows, on="row_id").drop_nulls("vector")
    vectors = known["vector"].to_numpy().astype(np.float64).reshape(-1, WIDTH)
    assert (np.triu(vectors @ vectors.T, 1) <= 0.9 + 1e-3).all()
    for (detail,) in verdicts.filter(reason="near_duplicate").select("detail").iter_rows():
        assert json.loads(detail)["duplicate_of"] in set(taken["row_id"])
        assert json.loads(detail)["similarity"] >= 0.9 - 1e-3


@FEW
@given(lines=LINES, quotas=QUOTAS)
def test_accounts_match_the_verdicts(lines: list, quotas: dict) -> None:
    rows = frame(lines)
    verdicts = compose(rows, quotas, Foundation())
    pool = {domain: rows.filter(domain=domain).height + 2 for domain in DOMAINS}
    table = accounts(verdicts, quotas, pool)
    for line in table.iter_rows(named=True):
        own = verdicts.filter(domain=line["domain"])
        assert line["rows"] == pool[line["domain"]]
        assert line["passed"] == own.height
        assert line["taken"] + line["shortfall"] == line["quota"] == quotas.get(line["domain"], 0)
        assert bool(line["because"]) == (line["shortfall"] > 0)
        assert line["near_duplicates"] == own.filter(reason="near_duplicate").height
    assert table["taken"].sum() == verdicts["taken"].sum()


def test_seeds_come_first_and_vectors_are_fetched() -> None:
    lines = [("a", False, 5.0), ("b", True, 1.0), ("c", True, None), ("d", False, 4.0)]
    rows = pl.DataFrame(lines, ["row_id", "is_seed", "quality"], orient="row")
    rows = rows.with_columns(domain=pl.lit("chat"), language=pl.lit("en"), ifd=pl.lit(None, pl.Float64))
    vector = pl.Series([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=pl.Array(pl.Float16, 2))
    vectors = pl.DataFrame({"row_id": ["a", "b", "d"], "vector": vector})
    recipe = Foundation(recipe=dict.fromkeys(DOMAINS, ("seed_replay", "quality")), seed_share=0.7)  # type: ignore[arg-type]

    def fetch(ids: pl.Series) -> pl.DataFrame:
        return vectors.filter(pl.col("row_id").is_in(ids.implode()))

    verdicts = compose(rows, {"chat": 3}, recipe, fetch)
    results = {row["row_id"]: (row["reason"], row["place"]) for row in verdicts.iter_rows(named=True)}
    assert {results["b"][0], results["c"][0]} == {"seed_replay"}
    assert results["a"] == ("quality", 2)
    assert results["d"][0] == "over_quota"
    more = compose(rows, {"chat": 4}, recipe, fetch)
    assert more.filter(row_id="d")["reason"].item() == "near_duplicate"


@FEW
@given(quotas=QUOTAS, available=st.dictionaries(st.sampled_from(DOMAINS), st.integers(0, 9)), size=st.integers(0, 30))
def test_scaled_quotas_add_up_within_the_available_rows(quotas: dict, available: dict, size: int) -> None:
    result = scale_quotas(quotas, available, size)
    assert all(0 <= count <= available.get(domain, 0) for domain, count in result.items())
    assert sum(result.values()) == min(size, sum(available.get(domain, 0) for domain in quotas if quotas[domain]))


@FEW
@given(chinese=st.integers(0, 30), english=st.integers(0, 30), quota=st.integers(0, 70), lacking=st.integers(0, 30))
def test_a_language_gets_its_share_and_leaves_unfilled_places_to_the_other(
    chinese: int, english: int, quota: int, lacking: int
) -> None:
    """Rows without a weight, which no selector of this recipe can take, leave their places to the other language."""
    total = chinese + english
    lines = [
        (f"{n:03d}", "zh" if n < chinese else "en", None if n >= total - lacking else 1.0 * n) for n in range(total)
    ]
    rows = pl.DataFrame(lines, {"row_id": pl.String, "language": pl.String, "log_weight": pl.Float64}, orient="row")
    rows = rows.with_columns(domain=pl.lit("math"), stratum=pl.lit(0), share=pl.lit(1.0), vector=NO_VECTOR)
    taken = compose(rows, {"math": quota}, Foundation()).filter("taken").join(rows, on="row_id")
    can = rows.drop_nulls("log_weight")
    assert taken.height == min(quota, can.height)
    able = {language: can.filter(language=language).height for language in ("zh", "en")}
    if total and taken.height == quota:
        fair = {language: quota * rows.filter(language=language).height / total for language in able}
        if all(able[language] >= fair[language] + 1 for language in able):
            for language in able:
                assert abs(taken.filter(language=language).height - fair[language]) <= 1


def test_a_row_that_a_later_selector_could_rank_is_over_quota() -> None:
    rows = pl.DataFrame({"row_id": ["a", "b", "c"], "topic": ["t", "t", None], "proximity": [0.9, 0.8, None]})
    topic_share = pl.when(pl.col("topic") == "t").then(1.0)
    rows = rows.with_columns(
        domain=pl.lit("knowledge"), language=pl.lit("en"), topic_share=topic_share, vector=NO_VECTOR
    )
    reasons = {}
    for names in (("retrieval",), ("retrieval", "random")):
        recipe = Foundation.model_validate({"recipe": {**Foundation().recipe, "knowledge": names}})
        reasons[names] = dict(compose(rows, {"knowledge": 1}, recipe).select("row_id", "reason").iter_rows())
    assert reasons["retrieval",] == {"a": "retrieval", "b": "over_quota", "c": "no_topic"}
    assert reasons["retrieval", "random"] == {"a": "retrieval", "b": "over_quota", "c": "over_quota"}
