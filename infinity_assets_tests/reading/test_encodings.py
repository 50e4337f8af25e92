"""Tests that text that is not UTF-8 is decoded only if one encoding fits."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading.encodings import decode, decode_lines
from infinity_assets_tests.reading.in_memory import read_records

CASES = [
    ("plain", b"plain", "plain", None),
    ("with a mark", b"\xef\xbb\xbfhello", "hello", None),
    ("chinese", "你好，世界".encode("gb18030"), "你好，世界", "decoded_gb18030"),
    ("western", "café à la crème".encode("cp1252"), "café à la crème", "decoded_windows_1252"),
    ("UTF-8 with a bad byte", "你好世界你好".encode() + b"\xff", "你好世界你好\ufffd", "invalid_utf8"),
    ("neither", b"a\x81\x20b", "a\ufffd b", "invalid_utf8"),
]

TEXTS = {
    "gb18030": [
        "今天天气怎么样？我想去公园散步。", "为金鸡和红鸡的画展写一篇策展文章。", "你好，世界", "请把下面的句子翻译成英文：春天来了。",
        "苹果", "北京烤鸭",
    ],
    "euc_kr": [
        "오늘 날씨가 어떻습니까? 저는 공원에 가고 싶습니다.", "안녕하세요", "다음 문장을 영어로 번역하세요.",
        '{"instruction": "대한민국의 수도는 어디입니까?", "output": "서울입니다."}', "사과",
    ],
    "shift_jis": [
        "今日の天気はどうですか？公園に行きたいです。", "こんにちは", '{"instruction": "日本の首都はどこですか。", "output": "東京です"}',
    ],
    "big5": [
        "今天天氣怎麼樣？我想去公園散步。", "請把下面的句子翻譯成英文。", '{"instruction": "台灣的首都在哪裡？", "output": "台北"}',
    ],
    "cp1251": [
        "Какая сегодня погода? Я хочу пойти в парк.", "привет",
        '{"instruction": "Назови столицу России.", "output": "Москва"}', "ПРИВЕТ ВСЕМ", "Да",
    ],
    "koi8_r": [
        "Какая сегодня погода? Я хочу пойти в парк.", "привет",
        '{"instruction": "Назови столицу России.", "output": "Москва"}', "Нет",
    ],
    "cp1252": [
        "café à la crème", "“it’s”", "été", "Größe — über die Straße", "¿Dónde está el baño?", "Ça va très bien, créée",
        "It costs 5 € or £4 – fine", "L’été dernier « à »", "naïve",
    ],
}  # fmt: skip
"""Texts by Python's name of the encoding."""

NAMES = {"cp1252": "windows_1252"}


@pytest.mark.parametrize(
    ("encoding", "text"), [(encoding, text) for encoding, texts in TEXTS.items() for text in texts]
)
def test_each_encoding_is_recognized(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == (text, f"decoded_{NAMES.get(encoding, encoding)}")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Polska leży w środkowej Europie, między Bałtykiem a Karpatami"),
        ("cp1253", "Το νερό είναι"),
        ("cp1255", '{"question": "מה זה סכר?", "answer": "קיר נגד מים"}'),
    ],
)
def test_text_of_another_encoding_is_not_read_as_the_nearest_one(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding))[1] == "unknown_encoding"


@pytest.mark.parametrize("text", ["Größe 5µm, 20 m² im Süden", "¿Cómo está el niño? ¡Bien!"])
def test_signs_between_words_are_western(text: str) -> None:
    assert decode(text.encode("cp1252")) == (text, "decoded_windows_1252")


def test_bytes_that_are_hardly_text_have_no_encoding() -> None:
    assert decode(b"\x81\xff\xfe\x81 \xff a")[1] == "unknown_encoding"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt", "a.yaml"])
def test_a_record_of_unknown_encoding_keeps_its_bytes(tmp_path: Path, name: str) -> None:
    bad = b"\x81\xff\xfe\x81\x81\xff\x81\xff\xfe\x81\x81\xff"
    content = {
        "a.jsonl": b'{"q": "hi"}\n{"q": "' + bad + b'"}\n{"q": "yes"}\n',
        "a.json": b'[{"q": "hi"}, {"q": "' + bad + b'"}, {"q": "yes"}]',
        "a.csv": b"q\nhi\n" + bad + b"\nyes\n",
        "a.txt": b"hi\n\n" + bad + b"\n\nyes\n",
        "a.yaml": b"- hi\n- " + bad + b"\n- yes\n",
    }[name]
    (tmp_path / name).write_bytes(content)
    records = read_records(tmp_path / name)
    assert [record.error for record in records] == [None, "unknown_encoding", None]
    assert records[1].raw


@pytest.mark.parametrize(("data", "text", "repair"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_decode_returns_text_and_repair(data: bytes, text: str, repair: str | None) -> None:
    assert decode(data) == (text, repair)


@given(st.text())
def test_utf8_is_never_repaired(text: str) -> None:
    assert decode(b"\xef\xbb\xbf" + text.encode()) == (text, None)


@given(st.binary(max_size=60))
def test_any_bytes_become_text_with_a_repair_unless_they_are_utf8(data: bytes) -> None:
    text, repair = decode(data)
    assert "\ufffd" not in text or repair or b"\xef\xbf\xbd" in data
    assert (repair is None) == (text.encode() == data.removeprefix(b"\xef\xbb\xbf"))


@given(st.lists(st.sampled_from([case[1] for case in CASES]) | st.binary(max_size=20), min_size=1))
def test_each_line_is_decoded_by_itself(lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    text, repairs = decode_lines(b"\n".join(lines))
    if repairs:
        assert text.split("\n") == [decode(line)[0] for line in lines]
        assert repairs == {number: decode(line)[1] for number, line in enumerate(lines) if decode(line)[1]}
    else:
        assert text.encode() == b"\n".join(lines).removeprefix(b"\xef\xbb\xbf")
