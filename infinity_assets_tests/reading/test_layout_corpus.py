"""Tests that the layouts of the corpus are read as is right, or not at all."""

from pathlib import Path

import pytest

from infinity_assets_tests.reading.layout_corpus import CorpusLayout, load_layouts, read_layout, write_file

NOT_READ: set[str] = {
    "BigCodeBench",
    "MGSM",
    "NarrativeQA, Parquet",
    "StoryCloze",
    "names without a hint, questions and their answers",
    "summaries with feedback",
}
"""Layouts of which records that could be read are dropped, with a reason."""

READ_WRONGLY: set[str] = set()
"""Layouts of which rows are known to be wrong."""


@pytest.mark.parametrize("layout", load_layouts(), ids=lambda layout: layout.name)
def test_a_layout_is_read_as_is_right_or_not_at_all(layout: CorpusLayout, tmp_path: Path) -> None:
    write_file(layout, tmp_path)
    outcome = read_layout(layout, tmp_path)
    assert layout.name in READ_WRONGLY or not outcome.wrong
    assert layout.name in NOT_READ | READ_WRONGLY or not outcome.refused


def test_the_corpus_is_large_enough() -> None:
    layouts = load_layouts()
    names = [layout.name for layout in layouts]
    assert len(set(names)) == len(names) >= 80
    assert sum(layout.held_out for layout in layouts) >= 10
    assert {*names} >= NOT_READ | READ_WRONGLY
