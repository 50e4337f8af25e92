import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.language import detect, differs


def detected(*texts: str | None) -> list[str]:
    return pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).select(detect(pl.col("text"))).to_series().to_list()


TABLE = [
    ("What is the capital of France?", "en"),
    ("Was ist die Hauptstadt von Frankreich und wie groß ist sie?", "de"),
    ("Quelle est la capitale de la France, et qui est le président?", "fr"),
    ("¿Cuál es la capital de Francia y qué idioma se habla por allí?", "es"),
    ("Qual è la capitale della Francia e come si arriva?", "it"),
    ("Qual é a capital da França e como você chega?", "pt"),
    ("Wat is het hoofdstad van Frankrijk en hoe kom ik er?", "nl"),
    ("Vad är huvudstaden och hur har den det på vintern?", "sv"),
    ("Apa yang kamu lakukan dengan buku ini?", "id"),
    ("Bu kitap çok güzel ve ben bir tane daha için", "tr"),
    ("Tôi là một người được sinh ra trong thành phố", "vi"),
    ("法国的首都是哪里？", "zh"),
    ("请用 Python 的 def 和 return 写一个函数", "zh"),
    ("フランスの首都はどこですか", "ja"),
    ("東京都渋谷区の人口", "ja"),
    ("프랑스의 수도는 어디입니까", "ko"),
    ("Какая столица у Франции?", "ru"),
    ("ما هي عاصمة فرنسا", "ar"),
    ("Translate the word 你好 into English, and explain how it is used in a letter to a friend", "en"),
    ("", "und"),
    ("12 + 30 = ?", "und"),
    ("xyzzy", "und"),
    (None, "und"),
]


@pytest.mark.parametrize(("text", "tag"), TABLE)
def test_languages(text: str | None, tag: str) -> None:
    assert detected(text) == [tag]


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.none() | st.text(max_size=20), max_size=5))
def test_every_text_has_a_tag_that_does_not_depend_on_its_company(texts: list) -> None:
    tags = detected(*texts)
    assert tags == [detected(text)[0] for text in texts]
    assert all(tags)


@pytest.mark.parametrize(
    ("one", "other", "different"), [("en", "zh", True), ("en", "en", False), ("und", "zh", False), ("zh", "und", False)]
)
def test_what_is_not_known_differs_from_nothing(one: str, other: str, different: bool) -> None:
    assert pl.select(differs(pl.lit(one), pl.lit(other))).item() is different
