from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.scoring.domain import BUCKETS, classify, features
from infinity_assets_tests.benchmarks.language_and_domain import HELD_OUT, hand_labels, labelled_rows
from infinity_assets_tests.properties import examples

SOURCES = Path(__file__).parents[3] / "shared/data/sources"
LARGE = (
    "smile_zh_multiturn", "sgd_train", "t0_train_50k", "alpaca_en_head", "carbonz0_alpaca_zh", "gpteacher",
    "natural_instructions_v1",
)  # fmt: skip
"""Sources that take longer to read than all others; the benchmark `language_and_domain` covers them."""


def classified(*rows: tuple[str | None, str | None]) -> list[str]:
    frame = pl.DataFrame(rows, schema={"prompt": pl.String, "answer": pl.String}, orient="row")
    return frame.select(classify(pl.col("prompt"), pl.col("answer"))).to_series().to_list()


TABLE = [
    ("Write a Python script that renames files.", None, "code"),
    ("How do I do this in JavaScript?", "```js\nx()\n```", "code"),
    ("请帮我写一段Python代码", None, "code"),
    ("Solve 3x + 5 = 20 for x.", "x = 5", "math"),
    ("A farmer has 12 cows and buys 7 more. How many cows does he have now?", None, "math"),
    ("小明有3个苹果，又买了5个，一共多少个？", None, "math"),
    ("What is the capital of France?", "Paris", "knowledge"),
    ("Explain how a steam engine works.", None, "knowledge"),
    ("光合作用是什么？", None, "knowledge"),
    ("解释牛顿第二定律", None, "knowledge"),
    ("¿Cuál es la capital de Perú y cuántos habitantes tiene la ciudad?", None, "knowledge"),
    ("Tell me a joke about penguins.", "Why did the penguin", "chat"),
    ("写一首关于冬天的诗", None, "chat"),
    ("我最近总是和室友吵架，心情很差，怎么办？", "听起来你很难过", "chat"),
    ("Hi, how are you?", "I am fine", "chat"),
    ("", None, "chat"),
    (None, None, "chat"),
]


@pytest.mark.parametrize(("prompt", "answer", "domain"), TABLE)
def test_a_row_is_assigned_its_domain(prompt: str | None, answer: str | None, domain: str) -> None:
    assert classified((prompt, answer)) == [domain]


SAMPLES = st.sampled_from([prompt or "" for prompt, _, _ in TABLE])
TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | SAMPLES


@settings(max_examples=examples(200), deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_a_domain_does_not_depend_on_the_other_rows(rows: list) -> None:
    domains = classified(*rows)
    assert domains == [classified(row)[0] for row in rows]
    assert domains[::-1] == classified(*rows[::-1])
    assert set(domains) <= set(DOMAINS)


def test_a_request_at_the_end_of_a_long_prompt_is_read() -> None:
    text = "The quiet river runs past the old town. " * 200
    prompts = [text, text + "Solve 3x + 5 = 20 for x.", text + "Solve it." + text]
    frame = pl.DataFrame({"prompt": prompts, "answer": [None] * 3})
    buckets = [set(features(frame[at])[0].tolist()) for at in range(3)]
    solve = set(features(pl.DataFrame({"prompt": ["solve"], "answer": [None]}))[0][:1].tolist())
    assert [solve <= row for row in buckets] == [False, True, False]


def test_feature_hashes_are_stable() -> None:
    buckets, owner = features(pl.DataFrame({"prompt": ["Sum 12 and 7", "你好"], "answer": ["19", None]}))
    assert owner.tolist().count(1) == 2 + 1 + 2  # two characters, the pair, and both as prompt beginnings
    assert ((buckets >= 0) & (buckets < BUCKETS)).all()
    assert np.bincount(owner, buckets).astype(int).tolist() == [487590, 263553]


def test_all_numbers_hash_alike() -> None:
    frames = (pl.DataFrame({"prompt": [f"add {a} and {b}"], "answer": [""]}) for a, b in ((1, 2), (345, 67)))
    one, other = (features(frame)[0].tolist() for frame in frames)
    assert one == other


def test_hand_labels_contain_hashes_instead_of_text() -> None:
    labels = hand_labels()
    assert set(labels["label"]) == set(DOMAINS)
    assert labels["text"].str.contains(r"^[0-9a-f]{16}$").all()
    assert labels["source"].n_unique() == 25


@pytest.mark.skipif(not SOURCES.is_dir(), reason="the shared data is not beside this clone")
def test_accuracy_on_hand_labelled_rows() -> None:
    rows = labelled_rows(SOURCES, without=LARGE)
    rows = rows.with_columns(right=classify(pl.col("prompt"), pl.col("answer")) == pl.col("label"))
    unseen = rows.filter(pl.col("source").is_in(list(HELD_OUT)))
    assert rows.height > 400
    assert rows["right"].sum() > 0.78 * rows.height
    assert unseen["right"].sum() > 0.78 * unseen.height
