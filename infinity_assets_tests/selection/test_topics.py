import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection import topics
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(50), deadline=None)
POINTS = st.lists(st.none() | st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=1, max_size=20)
DTYPE = pl.Array(pl.Float16, 3)


def items(points: list, domain: str = "math") -> pl.DataFrame:
    listed = [None if p is None else [float(x) for x in p] for p in points]
    ids = [f"i{n:02}" for n in range(len(points))]
    return pl.DataFrame({"item_id": ids, "domain": [domain] * len(points), "vector": pl.Series(listed, dtype=DTYPE)})


@FEW
@given(points=POINTS, per_topic=st.integers(1, 6), data=st.data())
def test_every_item_with_a_vector_gets_a_topic(points: list, per_topic: int, data: st.DataObject) -> None:
    """Topics are few, numbered by descending size, and independent of the order of items."""
    frame = items(points)
    labelled = topics.label_items(frame, per_topic)
    assert labelled["item_id"].to_list() == frame["item_id"].to_list()
    assert (labelled["topic"].is_null() == frame["vector"].is_null()).all()
    known = frame["vector"].count()
    sizes = labelled.drop_nulls("topic").group_by("topic").len().sort("topic")["len"].to_list()
    assert len(sizes) <= -(-known // per_topic)
    assert sizes == sorted(sizes, reverse=True)
    shuffled = topics.label_items(frame[data.draw(st.permutations(range(len(points))))], per_topic)
    assert shuffled.equals(labelled)


def test_clustering_separates_distinct_groups() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(4, dtype=np.float32)[np.arange(400) % 4]
    assigned = topics.cluster_items(
        pl.Series([f"{n:03}" for n in range(400)]), centres + rng.normal(0, 0.05, centres.shape), 12
    )
    for cluster in set(assigned.tolist()):
        assert len(set((np.arange(400) % 4)[assigned == cluster].tolist())) == 1


@FEW
@given(rows=POINTS, math=POINTS, code=POINTS)
def test_nearest_items_are_in_the_rows_domain(rows: list, math: list, code: list) -> None:
    of_code = items(code, "code").with_columns(item_id="c" + pl.col("item_id"))
    labelled = topics.label_items(pl.concat([items(math), of_code]), 3)
    domains = ["math", "code", "chat"]
    own_domains = pl.Series([domains[n % 3] for n in range(len(rows))])
    queries = items(rows).with_columns(domain=own_domains).rename({"item_id": "row_id"})
    result = topics.nearest_items(queries, labelled, 1000)
    assert result.schema == topics.PROXIMITY
    assert result["row_id"].to_list() == queries["row_id"].to_list()
    known = labelled.drop_nulls("vector")
    unit = {
        item: (domain, np.array(v, float) / np.linalg.norm(v))
        for item, domain, v in known.select("item_id", "domain", "vector").iter_rows()
    }
    topic = dict(known.select("item_id", "topic").iter_rows())
    for (_, item, name, cosine), point, domain in zip(result.iter_rows(), rows, queries["domain"], strict=True):
        own = [v for item_domain, v in unit.values() if item_domain == domain]
        if point is None or not own:
            assert (item, name, cosine) == (None, None, None)
            continue
        best = max(float(np.dot(v, point) / np.linalg.norm(point)) for v in own)
        assert cosine == pytest.approx(best, abs=1e-3)
        assert unit[item][0] == domain
        assert float(unit[item][1] @ np.array(point)) / np.linalg.norm(point) == pytest.approx(best, abs=1e-3)
        assert name == topic[item]


def test_the_graph_index_finds_nearly_all_nearest_items() -> None:
    rng = np.random.default_rng(0)
    targets, queries = (
        pl.Series(rng.normal(size=(n, 16)).astype(np.float16), dtype=pl.Array(pl.Float16, 16)) for n in (2000, 300)
    )
    frame = pl.DataFrame({"item_id": [f"i{n}" for n in range(2000)], "domain": "math", "topic": "t", "vector": targets})
    rows = pl.DataFrame({"row_id": [f"r{n}" for n in range(300)], "domain": "math", "vector": queries})
    exact, graph = (topics.nearest_items(rows, frame, bound) for bound in (5000, 10))
    assert (exact["item_id"] == graph["item_id"]).mean() > 0.95  # type: ignore[operator]
    same = exact.filter(exact["item_id"] == graph["item_id"]).join(graph, on="row_id")
    assert (same["proximity"] - same["proximity_right"]).abs().max() < 1e-4  # type: ignore[operator]


def test_a_topic_is_described_by_its_words_and_benchmarks() -> None:
    frame = pl.DataFrame(
        [
            ("a", "gsm", "math", "How many apples are left in the basket?", "math 000"),
            ("b", "gsm", "math", "How many apples does Tom buy?", "math 000"),
            ("c", "competition", "math", "Find the area of the triangle.", "math 001"),
            ("d", "gsm", "math", "?", None),
        ],
        schema=["item_id", "benchmark", "domain", "prompt", "topic"],
        orient="row",
    )
    near = pl.DataFrame({"topic": ["math 000"], "rows": [7], "near": [4]})
    described = topics.describe(frame, near)
    assert described.select("topic", "items", "rows", "near").rows() == [("math 000", 2, 7, 4), ("math 001", 1, 0, 0)]
    assert described["share"].to_list() == pytest.approx([2 / 3, 1 / 3])
    assert "apples" in described["words"][0]
    assert "triangle" in described["words"][1]
    assert described["benchmarks"][0].to_list() == [{"benchmark": "gsm", "items": 2}]
