import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.text import normalize_text, strip_quotes, tokens, word_count

TOKENS = [
    ("Don't panic, 42!", ["don", "t", "panic", "42"]),
    ("snake_case a-b", ["snake", "case", "a", "b"]),
    ("你好, world世界", ["你", "好", "world", "世", "界"]),
    ("カタカナ ひら", ["カ", "タ", "カ", "ナ", "ひ", "ら"]),
    ("Ｆｕｌｌ ①", ["full", "1"]),
    ("Grüße Ärger", ["grüße", "ärger"]),
    ("Привет мир", ["привет", "мир"]),
    ("!? …", []),
]


@pytest.mark.parametrize(("text", "expected"), TOKENS)
def test_a_text_is_split_into_tokens(text: str, expected: list[str]) -> None:
    assert pl.select(tokens(pl.lit(text))).item().to_list() == expected


@given(text=st.text("aB1_-' 你好\nß"))
def test_the_word_count_is_the_number_of_tokens(text: str) -> None:
    listed, counted = pl.select(tokens(pl.lit(text)).list.len(), word_count(pl.lit(text)).alias("n")).row(0)
    assert listed == counted


@given(
    parts=st.lists(st.sampled_from(["A", "ｂ", "é", "e\u0301", "你"])),
    spaces=st.lists(st.sampled_from([" ", "\n\t", "\u3000"]), min_size=6),
)
def test_case_width_composition_and_spacing_are_normalized(parts: list[str], spaces: list[str]) -> None:
    plain = {"A": "a", "ｂ": "b", "e\u0301": "é"}
    spaced = spaces[-1] + "".join(part + spaces[n % len(spaces)] for n, part in enumerate(parts))
    assert pl.select(normalize_text(pl.lit(spaced))).item() == " ".join(plain.get(part, part) for part in parts)


@pytest.mark.parametrize(("opening", "closing"), ['""', "“”", "「」", "『』"])
@settings(deadline=None)
@given(text=st.text("ab \n你。'"))
def test_quotes_around_the_whole_text_are_stripped(opening: str, closing: str, text: str) -> None:
    assert pl.select(strip_quotes(pl.lit(f" {opening}{text}{closing}\n"))).item() == text.strip()


@pytest.mark.parametrize(
    "text", ['"A" or "B"?', "“甲”和“乙”", "「甲」是「乙」", "He said “no”", 'say "a" twice', "plain"]
)
def test_quotes_inside_a_text_are_kept(text: str) -> None:
    assert pl.select(strip_quotes(pl.lit(text))).item() == text


def test_a_quote_without_a_partner_is_stripped() -> None:
    texts = pl.Series("t", ['"cut off', 'end"', None, ""])
    assert texts.to_frame().select(strip_quotes(pl.col("t")))["t"].to_list() == ["cut off", "end", None, ""]
