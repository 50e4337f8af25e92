"""`explain` answers the question of the project: where a row is from, and why it is in or out."""

import textwrap
from pathlib import Path

import pytest

from infinity_assets.catalog.explain import explain
from infinity_assets.errors import InfinityError
from infinity_assets.rows import schema
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.catalog.lakes import BAKERY, BAKERY2, BAKERY3, CLIPS, TEA, row_id
from infinity_assets_tests.frames import pool


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lakes.make(tmp_path_factory.mktemp("lake")).data


def in_order(story: str, *parts: str) -> bool:
    """Return whether the parts occur in the story in this order."""
    for part in parts:
        _, separator, story = story.partition(part)
        if not separator:
            return False
    return True


def test_the_story_of_a_kept_row(data: Path) -> None:
    story = explain(data, row_id(TEA))
    assert story == textwrap.dedent(
        f"""\
        row {row_id(TEA)}
          user      How is tea made?
          assistant With leaves and hot water.
          is        chat, en, licence MIT
          read      from source alpha, a.json, record 1 (MIT)
          read      from source alpha, b.json, record 0 (MIT)
          dropped   in deduped: exact_duplicate (alpha, b.json, record 0): duplicate_of {row_id(TEA)}
          chosen    in seed_selected: many_labels (alpha, a.json, record 1)
          chosen    in inf_instruct_f: quality (alpha, a.json, record 1): place 0
          dropped   in evolved: returned_to_pool (alpha, a.json, record 1): why no_text
          stands in inf_instruct_f"""
    )


def test_the_story_of_a_dropped_row(data: Path) -> None:
    story = explain(data, row_id(CLIPS))
    assert in_order(
        story,
        "read      from source alpha, a.json, record 2",
        "contaminated_ngram",
        "item_id gsm#0",
        "stands in neither InfInstruct-F nor",
    )
    assert "chosen" not in story


def test_the_story_of_an_evolved_row_goes_back_to_the_file(data: Path) -> None:
    story = explain(data, row_id(BAKERY3))
    assert in_order(
        story,
        f"row {row_id(BAKERY3)}", "No Grain, No Pain", f"made      by answer in answered, from {row_id(BAKERY2)}",
        "passed_final_filter", "stands in inf_instruct_g",
        f"row {row_id(BAKERY2)}", f"made      by evolve_constraints in evolved, from {row_id(BAKERY)}",
        "prompt answer, model@main", f"became    {row_id(BAKERY3)}",
        f"row {row_id(BAKERY)}", "read      from source alpha, a.json, record 0 (CC-BY-SA-4.0)", "over_quota",
        "prompt evolve_constraints, model@main, 20 tokens read, 9 written", "superseded",
    )  # fmt: skip


def test_the_first_digits_are_enough_if_they_are_unique(data: Path) -> None:
    assert explain(data, row_id(TEA)[:12]) == explain(data, row_id(TEA))
    with pytest.raises(InfinityError, match="No row id begins with zz"):
        explain(data, "zz")
    with pytest.raises(InfinityError, match="5 or more row ids begin with"):
        explain(data, "")


def test_a_row_that_was_read_many_times_lists_its_first_records(tmp_path: Path) -> None:
    rows = pool(*(("alpha", "a.json", position, TEA) for position in range(50)))
    lake = lakes.Lake(tmp_path)
    lake.commit(
        lakes.key("raw_pool", "alpha"), lakes.Outcome(rows, origins=rows.select(list(schema.ORIGINS))), "run-1", 0.0
    )
    copies = lakes.decided(rows[1:], "dropped", "exact_duplicate")
    lake.commit(lakes.key("deduped"), lakes.Outcome(rows[:1], rows_in=50, decisions=copies), "run-1", 0.0)
    story = explain(tmp_path, row_id(TEA))
    assert in_order(story, "alpha, a.json, record 0 (MIT)", "record 19 (MIT)", "read      from 30 more records")
    assert in_order(
        story, "exact_duplicate (alpha, a.json, record 1)", "dropped   in deduped: exact_duplicate (29 more records)"
    )
    assert len(story.splitlines()) < 60


def test_the_story_of_a_row_that_is_its_own_ancestor_ends(tmp_path: Path) -> None:
    """A rewrite in a later round may be identical to the seed."""
    lake = lakes.make(tmp_path)
    outcome = lakes.Outcome(lakes.child(BAKERY, BAKERY3, "evolve"), edges=lakes.edge(BAKERY, BAKERY3, "evolve"))
    lake.commit(lakes.key("evolved_2"), outcome, "run-1", 0.0)
    assert explain(tmp_path, row_id(BAKERY)).count("row ") >= 3
