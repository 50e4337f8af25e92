"""Every rule on labelled passing and failing texts. The texts are ours, modeled on rows of the sample sources."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.rules import first_failure, measures, rulebook
from infinity_assets.settings.foundation import Rules
from infinity_assets_tests.frames import pool
from infinity_assets_tests.properties import examples

NO_SCORES = pl.DataFrame(schema={"row_id": pl.String, "ifd": pl.Float64, "quality": pl.Float64})


def failures(
    *turns: str, domain: str = "chat", source: str = "s", file: str = "f", rules: Rules | None = None
) -> list[str]:
    """Return the names of all rules that a conversation fails."""
    rules = rules or Rules()
    named = [("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(turns)]
    row = pool((source, file, 0, named)).with_columns(domain=pl.lit(domain))
    facts = rulebook.facts(row, measures.measure(row), NO_SCORES, rules)
    return [bound.name for bound in rulebook.BOUNDS if facts.select(bound.rule(rules).fails.fill_null(False)).item()]


LONG = (
    "The market opens at eight, and the bakers are there before it. Their ovens were lit at three in the morning, when the rest of the town slept. "
    "By noon the stalls are empty, the square is swept, and only the smell of yeast is left between the old houses. "
)

CHAT = [
    # answer to "Tell me about it.", rules that it fails
    ("It is Paris.", []),
    ("42", []),
    ("4", ["answer_too_short"]),
    ("!?", ["answer_without_words"]),
    ("x " * 11_000, ["answer_too_long", "repeated_runs"]),
    # template debris
    ("Hi <|im_end|> there", ["template_debris"]),
    ("Hi\n### Response: Hi", ["template_debris"]),
    ("It rains.\n14. Instruction: Name a river.\n14. Output: The Rhine.", ["template_debris"]),
    ("<noinput>", ["template_debris"]),
    ("User: What is rain?\nAssistant: Water that falls.", ["template_debris"]),
    ("Dear user: the assistant is out.", []),
    ("1. Input: what you type. 2. Output: what you see.", []),
    ("## Answer\nRain is water.", []),
    # calculator and tools
    ("He has 6*7=<<6*7=42>>42 apples.", ["calculator_marks"]),
    ("He has 42 apples.\n#### 42", ["calculator_marks"]),
    ("#### Summary of the year 2024", []),
    ("In C++ `cout << a << b == c >> d` is hard to read.", []),
    ('<tool_call>\n{"name": "add"}\n</tool_call>', ["tool_marks"]),
    ("The sum is [Calculator(6*7) -> 42] apples.", ["tool_marks"]),
    ("The page says: request('https://example.com')", ["tool_marks"]),
    ("Please send your request to the office (room 4).", []),
    # placeholders
    ("Dear [insert name], welcome.", ["placeholder"]),
    ("您好，[请填写姓名]，欢迎。", ["placeholder", "wrong_language"]),
    ("Dear Sir,\nI am writing to you about the flat.\nYours, [Your Name]", []),
    # endings
    (LONG + "They sell bread, rolls and", ["unfinished"]),
    (LONG + "They sell bread, rolls,", ["unfinished"]),
    (LONG + "\n\nSincerely,", []),
    (LONG + "Bread and rolls", []),
    (LONG + "\n```\n1 | 2\n3 | 4", ["unfinished"]),
    # identity
    ("I am ChatGPT, at your service.", ["identity_leak"]),
    ("As an AI language model I have no name.", ["identity_leak"]),
    ("I was made by OpenAI.", ["identity_leak"]),
    ("GPT-3 is a language model that was published by OpenAI.", []),
    ("Many people earn money as a virtual assistant.", []),
    ("My friend Ernie has moss in his garden, and Claude likes it.", []),
    # refusals
    ("I'm sorry, but I cannot help with that.", ["refusal"]),
    ("I cannot assist you with this request.", ["refusal"]),
    ("No output required", ["refusal"]),
    ("Sorry, the task asks for a picture. We cannot complete it.", ["refusal"]),
    (
        "I cannot help with the flight itself. "
        + "But the trains go every hour, and the bus takes you there, too. " * 10,
        ["repeated_runs"],
    ),
    ("Sorry that you waited! Here is your refund.", []),
    ("He turns: I cannot help you, and left.", []),
    # language
    ("法国的首都是巴黎。", ["wrong_language"]),
    # loops
    ("I am happy to be here. " * 40, ["repeated_runs"]),
    ("Row, row, row your boat,\nGently down the stream.\nMerrily, merrily,\nLife is but a dream.", []),
]


@pytest.mark.parametrize(("answer", "rules"), CHAT)
def test_answers_to_an_english_prompt_fail_the_expected_rules(answer: str, rules: list[str]) -> None:
    assert failures("Tell me about it.", answer) == rules


CHINESE = [
    ("作为一个人工智能助手，我没有情感。", ["identity_leak"]),
    ("我是由OpenAI训练的语言模型。", ["identity_leak"]),
    ("我叫小白，是由某公司开发的人工智能助手。", ["identity_leak"]),
    ("人工智能是计算机科学的一个分支。", []),
    ("抱歉，我无法回答。", ["refusal"]),
    ("很抱歉，您没有提供这段文字。", ["refusal"]),
    ("我不能忍受这样的天气，所以搬到了南方。", []),
    ("对不起是一句道歉的话。", []),
    ("As far as I know, the capital of this country is an old city by the sea.", ["wrong_language"]),
    ("Photoshop、QuickBooks。", []),
    ("x + y = 5", []),
]


@pytest.mark.parametrize(("answer", "rules"), CHINESE)
def test_answers_to_a_chinese_prompt_fail_the_expected_rules(answer: str, rules: list[str]) -> None:
    assert failures("请你说一说这件事情。", answer) == rules


PROMPTS = [
    # prompt, answer, domain, rules that it fails: faults elsewhere that pass with this prompt
    ("Translate the word paper into Chinese.", "这个词是纸。", "chat", []),
    ("What does 你好 mean?", "你好是一句问候的话。", "chat", []),
    ("把名词改成复数：table, book", "tables, books", "chat", []),
    ("把这句话译成英语：今天下雨。", "It is raining today, so we will stay at home.", "chat", []),
    ("Who is the man?", "Der Mann ist nicht der, den sie und ich sind.", "chat", []),  # both Latin
    ("What is the capital of France?", "法国的首都是巴黎。", "code", ["no_code"]),
    (
        "When is a tuple better than a list in Python?",
        "When its length is fixed and each place has a meaning.",
        "code",
        [],
    ),
    ("数据库的索引是什么？", "一种有序的辅助结构，用来加快查找。", "code", []),
    ("Write a conversation about rain.", "User: What is rain?\nBot: Water that falls.", "chat", []),
    ("You are an AI on a space ship. Greet the crew.", "Welcome! As an AI, I keep the doors shut.", "chat", []),
    ("写一个机器人的故事，让它自我介绍。", "大家好，我是一个聊天机器人，我来自火星。", "chat", []),
    ("Count the vowels of: I am an AI assistant.", "The text 'I am an AI assistant' has nine.", "chat", []),
]


@pytest.mark.parametrize(("prompt", "answer", "domain", "rules"), PROMPTS)
def test_a_prompt_can_request_a_fault(prompt: str, answer: str, domain: str, rules: list[str]) -> None:
    assert failures(prompt, answer, domain=domain) == rules


CODE = [
    ("def add(a, b):\n    return a + b", []),
    ("def add(a, b):\nreturn a + b", ["python_syntax"]),
    ("def add(a, b):\n    返回 a + b", ["python_syntax"]),
    ("```python\ndef add(a, b)\n    return a + b\n```", ["python_syntax"]),
    ("Here it is:\n```python\ndef add(a, b):\n    return a + b\n```\nIt prints:\n```\n3 is the sum\n```", []),
    (">>> for x in [1, 2]:\n...     print(x)\n1\n2", []),
    ("This function adds two numbers and returns them.\n\ndef add(a, b):\n    return a + b", []),
    ("def f():\n    print 'hello'", ["python_syntax"]),
    ("function add(a, b) {\n  return a + b;\n}", []),
    ("val x = 3\ndef twice(n: Int): Int = n * 2", []),
    ("SELECT name FROM people WHERE age > 30;", []),
    ("Polymorphism means that one name has many forms.", ["no_code"]),
    ("Use `git status` to see it.", []),
    ("with open('a.txt') as f:\n    print(f.read())", ["touches_files"]),
    ("def open(door):\n    return door.handle\n\nopen(front)", []),
    ("import os\nprint(os.path.join('a', 'b'))", []),
    ("import os\nfor name in os.listdir('.'):\n    print(name)", ["touches_files"]),
    ("# open('a.txt') would read it\nprint('open the file')", []),
    ("import pandas as pd\nframe = pd.read_csv('a.csv')", ["touches_files"]),
    ("const fs = require('fs');\nconst text = fs.readFileSync('a.txt');", ["touches_files"]),
    ("import requests\nprint(requests.get('https://example.com').text)", ["touches_network"]),
    ("from urllib.parse import quote\nprint(quote('a b'))", []),
    ("url = 'https://example.com'\nprint(url.split('/'))", []),
    ("fetch('/items').then(r => r.json()).then(d => { console.log(d); });", ["touches_network"]),
    ("const q = new URL(address).searchParams;", []),
]


@pytest.mark.parametrize(("answer", "rules"), CODE)
def test_answers_with_code_fail_the_expected_rules(answer: str, rules: list[str]) -> None:
    assert failures("Write it, please.", answer, domain="code") == rules


def test_code_is_judged_in_the_code_domain_only() -> None:
    assert failures("How do I read a file?", "with open('a.txt') as f:\n    print(f.read())", domain="knowledge") == []


def test_a_missing_answer_is_the_first_reason() -> None:
    row = pool(("s", "imdb.json", 0, [("user", "What is this?")]))
    facts = rulebook.facts(row, measures.measure(row), NO_SCORES, Rules())
    assert first_failure(facts, rulebook.rules(Rules()))["reason"].to_list() == ["no_answer"]


@pytest.mark.parametrize(
    ("file", "denied"),
    [
        ("p3/imdb_Reviewer_Enjoyment.jsonl", True), ("all.tar!data/amazon_polarity_would_you_buy.jsonl", True), ("glue_SST2.json", True),
        ("yelp_review_full.jsonl", True), ("squad.json", False), ("assist.json", False),
    ],
)  # fmt: skip
def test_sentiment_sets_are_denied_by_the_name_of_their_file(file: str, denied: bool) -> None:
    assert failures("Is it good?", "Yes, it is.", file=file) == (["denied_source"] if denied else [])


def test_the_list_of_denied_parts_applies_by_source() -> None:
    rules = Rules(denied={"flan_*": ("*.csv", "part?.json")})
    denied = {
        (source, file): failures("Is it good?", "Yes, it is.", source=source, file=file, rules=rules)
        for source in ("flan_2022", "other")
        for file in ("a.csv", "part1.json", "part10.json")
    }
    assert {place for place, reasons in denied.items() if reasons} == {
        ("flan_2022", "a.csv"),
        ("flan_2022", "part1.json"),
    }


def test_a_sources_threshold_takes_precedence_over_the_domains() -> None:
    rules = Rules(
        domains={"math": {"answer_too_short": 10, "no_code": 1}},
        sources={"gsm": {"answer_too_short": None, "calculator_marks": None}},
    )
    turns = "How many?", "6*7=<<6*7=42>>"
    assert failures(*turns) == ["calculator_marks"]
    assert failures("How many?", "42", domain="math", rules=rules) == ["answer_too_short", "no_code"]
    assert failures("How many?", "4", domain="math", source="gsm", rules=rules) == ["no_code"]
    assert failures(*turns, source="gsm", rules=rules) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [answer for answer, _ in CHAT + CODE]
)


@settings(max_examples=examples(60), deadline=None)
@given(rows=st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=5), cut=st.integers(1, 5))
def test_measures_do_not_depend_on_the_other_rows(rows: list[list[str]], cut: int) -> None:
    records = [
        ("s", "f", n, [("user" if k % 2 == 0 else "assistant", text) for k, text in enumerate(turns)])
        for n, turns in enumerate(rows)
    ]
    frame = pool(*records)
    together = measures.measure(frame)
    assert together.schema == measures.MEASURES
    assert together["row_id"].equals(frame["row_id"])
    assert pl.concat(
        [pl.DataFrame(schema=measures.MEASURES), *(measures.measure(part) for part in frame.iter_slices(cut))]
    ).equals(together)
    for row, turns in zip(together.iter_rows(named=True), rows, strict=True):
        assert row["answers"] == len(turns) // 2
        assert (row["answer_chars"] is None) == (len(turns) < 2)
        if len(turns) > 1:
            assert row["answer_chars"] == len(turns[-1] if len(turns) % 2 == 0 else turns[-2])
        for share in ("repeated_lines", "repeated_runs"):
            assert row[share] is None or 0 <= row[share] < 1


WORDS = st.lists(st.sampled_from("abcdef"), min_size=0, max_size=60)


@settings(max_examples=examples(80), deadline=None)
@given(words=WORDS)
def test_repeated_runs_equal_a_plain_count(words: list[str]) -> None:
    runs = [tuple(words[n : n + 10]) for n in range(len(words) - 9)]
    measured = measures.measure(pool(("s", "f", 0, [("user", "q"), ("assistant", " ".join(words) or "-")])))
    share = measured["repeated_runs"].item()
    if not runs:
        assert share is None
    else:
        assert share == pytest.approx(1 - len(set(runs)) / len(runs), abs=1e-6)
