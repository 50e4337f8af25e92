import polars as pl
import pytest

from infinity_assets.rows.schema import DOMAINS
from infinity_assets.scoring.domain import classify

TABLE = [
    ("Write a Python script that renames files.", None, "code"),
    ("How do I do this?", "```js\nx()\n```", "code"),
    ("请帮我写一段代码", None, "code"),
    ("Solve 3x + 5 = 20 for x.", "x = 5", "math"),
    ("Show that $x^2 = 4$ has two solutions.", None, "math"),
    ("小明有3个苹果，又买了5个，一共多少个？", None, "math"),
    ("Calculate my chances.", None, "chat"),  # no number: a manner of speaking
    ("What is the capital of France?", "Paris", "knowledge"),
    ("光合作用是什么？", None, "knowledge"),
    ("Tell me a bedtime story.", "Once upon a time", "chat"),
    ("", None, "chat"),
]


@pytest.mark.parametrize(("prompt", "answer", "domain"), TABLE)
def test_domains(prompt: str, answer: str | None, domain: str) -> None:
    frame = pl.DataFrame({"prompt": [prompt], "answer": pl.Series([answer], dtype=pl.String)})
    assert frame.select(classify(pl.col("prompt"), pl.col("answer"))).item() == domain
    assert domain in DOMAINS
