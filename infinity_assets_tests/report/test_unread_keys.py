"""Unread keys on the page of `raw_pool`."""

from pathlib import Path

from infinity_assets.report.unread_keys import describe_unread_keys
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make


def test_the_page_lists_unread_keys_or_nothing(tmp_path: Path) -> None:
    remark = "A remark of many words that no layout of this program reads."
    source = make(tmp_path / "a", {"a.json": f'[{{"question": "q", "answer": "a", "remark": "{remark}"}}]'})
    page = describe_unread_keys(read(source).keys.lazy())
    assert f"| question_answer | remark | running | 1 | 0 | {len(remark)} | 100 % | {remark} |" in page
    sound = make(tmp_path / "b", {"a.json": '[{"question": "q", "answer": "a"}]'})
    assert describe_unread_keys(read(sound).keys.lazy()) == ""
