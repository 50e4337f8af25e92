"""Hypothesis strategies for small frames of rows, with many ties and nulls."""

import numpy as np
import polars as pl
from hypothesis import strategies as st

WIDTH = 3
SCHEMA = pl.Schema({
    "row_id": pl.String, "domain": pl.String, "language": pl.String, "answer_chars": pl.UInt32, "quality": pl.Float64,
    "complexity": pl.Float64, "ifd": pl.Float64, "ifd_perplexity": pl.Float64, "reward": pl.Float64,
    "log_weight": pl.Float64, "stratum": pl.Int64, "share": pl.Float64, "topic": pl.String, "topic_share": pl.Float64,
    "proximity": pl.Float64, "is_seed": pl.Boolean, "ability": pl.List(pl.String), "vector": pl.Array(pl.Float16, WIDTH),
})  # fmt: skip

_SCORE = st.none() | st.sampled_from([0.25, 0.5, 0.75, 0.9, 1.0, 1.5])
_VECTOR = st.none() | st.tuples(*[st.integers(-2, 2)] * WIDTH).filter(any).map(
    lambda p: [float(x) for x in np.array(p) / np.linalg.norm(p)]
)
_LINE = st.tuples(
    st.sampled_from(["math", "code", "knowledge", "chat"]),
    st.sampled_from(["en", "zh"]),
    st.none() | st.integers(1, 4),
    *[_SCORE] * 5,
    _SCORE.map(lambda x: None if x is None else 100 * (x - 1)),
    st.just(0),
    st.just(1.0),
    st.sampled_from(["t1", "t2"]),
    st.none() | st.sampled_from([0.25, 0.75]),
    st.none() | st.sampled_from([0.1, 0.5, 0.7]),
    st.booleans(),
    st.none() | st.lists(st.sampled_from("abcdef"), max_size=4),
    _VECTOR,
)

LINES = st.lists(_LINE, max_size=16).map(lambda lines: [(f"{n:032x}", *line) for n, line in enumerate(lines)])


def frame(lines: list) -> pl.DataFrame:
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")
