"""Which of several equal records survives must follow from what they are, not from the order in which sources were added or files were read."""

import unicodedata
from itertools import groupby

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.dedup.exact import PLACE, find_duplicates, fingerprint, survivors
from infinity_assets_tests.frames import Turns, pool

FEW = settings(max_examples=60, deadline=None)
CONTENTS = st.sampled_from(["q", "Q ", "q\n", "ｑ", "r", "q assistant: a"])
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["alpha", "beta", "gamma"]),
        st.sampled_from(["1.json", "2.json"]),
        st.integers(0, 3),
        st.builds(lambda q, a: [("user", q), *([("assistant", a)] if a else [])], CONTENTS, st.sampled_from(["", "a", "A", "b"])),
    ),
    min_size=1,
    max_size=12,
)
PRIORITY = st.lists(st.sampled_from(["alpha", "beta", "gamma", "nowhere"]), unique=True, max_size=4)


def hashes(*turns: Turns) -> list[str]:
    return fingerprint(pool(*(("s", "f", position, row) for position, row in enumerate(turns))))["content_hash"].to_list()


def content(turns: Turns) -> tuple[tuple[str, str], ...]:
    """What the module's docstring calls the content, in plain Python."""
    return tuple((role, " ".join(unicodedata.normalize("NFKC", text).lower().split())) for role, text in turns)


@FEW
@given(records=RECORDS)
def test_records_have_equal_fingerprints_if_and_only_if_their_contents_are_equal(records: list) -> None:
    prints = fingerprint(pool(*records))
    for (*_, one), hash_one in zip(records, prints["content_hash"], strict=True):
        for (*_, other), hash_other in zip(records, prints["content_hash"], strict=True):
            assert (hash_one == hash_other) == (content(one) == content(other))


def test_a_transcript_in_one_turn_is_not_the_conversation_it_quotes() -> None:
    quoted, spoken, system = [("user", "q\nassistant: a")], [("user", "q"), ("assistant", "a")], [("system", "q"), ("user", "a")]
    assert len(set(hashes(quoted, spoken, system))) == 3


def test_the_prompt_hash_leaves_the_answer_out() -> None:
    one, other, third = (fingerprint(pool(("s", "f", 0, [("user", q), ("assistant", a)]))) for q, a in [("q", "a"), ("Q", "b"), ("r", "a")])
    assert one["prompt_hash"].item() == other["prompt_hash"].item() != third["prompt_hash"].item()
    assert one["content_hash"].item() != other["content_hash"].item()


@FEW
@given(records=RECORDS, priority=PRIORITY, data=st.data())
def test_survivors_are_the_best_of_their_content_in_any_order(records: list, priority: list[str], data: st.DataObject) -> None:
    rows = pool(*records)
    losers = find_duplicates(fingerprint(rows).lazy(), priority)

    def key(record: tuple[dict, Turns]) -> tuple:
        row, turns = record
        rank = priority.index(row["source"]) if row["source"] in priority else len(priority)
        return content(turns), rank, *(row[name] for name in PLACE), row["row_id"]

    described = sorted(zip(rows.to_dicts(), (turns for *_, turns in records), strict=True), key=key)
    best = [next(group)[0] for _, group in groupby(described, key=lambda record: content(record[1]))]
    kept = survivors(rows, losers)
    assert sorted(map(str, kept.to_dicts())) == sorted(map(str, best))
    assert kept.height + losers.height == rows.height

    mixed = data.draw(st.permutations(records))
    again = find_duplicates(pl.concat([fingerprint(pool(record)) for record in mixed]).lazy(), priority)
    assert again.equals(losers)


@FEW
@given(records=RECORDS, priority=PRIORITY)
def test_every_loser_names_a_row_that_survives(records: list, priority: list[str]) -> None:
    rows = pool(*records)
    losers = find_duplicates(fingerprint(rows).lazy(), priority)
    kept = survivors(rows, losers)
    named = losers.join(kept, left_on=["duplicate_of", "survivor_source"], right_on=["row_id", "source"], how="semi")
    assert named.height == losers.height


def test_a_record_with_two_equal_instances_keeps_one() -> None:
    """They share id and place: taking out what lost by these took out the row that won as well."""
    turns = [("user", "q"), ("assistant", "a")]
    rows = pool(("s", "f", 0, turns), ("s", "f", 0, turns))
    assert survivors(rows, find_duplicates(fingerprint(rows).lazy(), ())).height == 1


def test_no_rows() -> None:
    rows = pool()
    losers = find_duplicates(fingerprint(rows).lazy(), ("alpha",))
    assert losers.is_empty()
    assert survivors(rows, losers).is_empty()
