"""Material of a seed that its rewrite has to contain."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.synthesis.elimination.material import extract_prose, find_lost
from infinity_assets_tests.properties import examples

PIECES = (
    "```python\nx = f(3)\n```", "| a | b |\n|---|---|\n| 1 | 2 |", "n,m,o\n1,2,3", "- oak\n- fig", "\"to be or not\"", "“千里之行”", "1234567",
    "    return x", "SELECT a FROM t;", "Sort these words: oak, fig, elm", "Translate the sentence: The dog sleeps.",
)  # fmt: skip


def first_lost(seed: str, text: str | None) -> str | None:
    return pl.select(find_lost(pl.lit(seed), pl.lit(text, pl.String))).item()


@pytest.mark.parametrize("piece", PIECES)
def test_a_missing_piece_is_found(piece: str) -> None:
    seed = f"Look at this.\n\n{piece}"
    assert first_lost(seed, "Look at something else.")
    assert first_lost(seed, f"Look at this, twice.\n\n{piece}\n\nThen stop.") is None
    assert first_lost(seed, " ".join(seed.split())) is None


@settings(deadline=None, max_examples=examples(50))
@given(
    st.lists(st.sampled_from([*PIECES, "Why is it so?", "", "Write a poem.\nThen rest."]), max_size=4).map("\n\n".join),
    st.text(max_size=40),
)
def test_a_rewrite_that_holds_its_seed_has_lost_nothing(seed: str, more: str) -> None:
    assert first_lost(seed, f"{seed}\n{more}") is None
    assert (first_lost(seed, None) or "") in seed


def test_prose_is_a_text_without_code_and_tables() -> None:
    texts = ["Fix it.\n```\na = 1\n```\nNow.", "| a | b |\n| 1 | 2 |\nWhich?", "- oak\n- fig", "", None]
    found = (
        pl.DataFrame({"text": texts}, schema={"text": pl.String})
        .select(extract_prose(pl.col("text")))
        .to_series()
        .to_list()
    )
    assert found == ["Fix it.\nNow.", "Which?", "- oak\n- fig", "", ""]
