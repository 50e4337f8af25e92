"""Survivors follow from the contents of records, not from the order in which sources are added or files read."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.dedup.duplicates import DUPLICATES, drop_losers, find_duplicates
from infinity_assets.dedup.fingerprints import PLACE, fingerprint
from infinity_assets.settings import Dedup, Near
from infinity_assets_tests.dedup.brute_force import jaccard, shingles
from infinity_assets_tests.dedup.test_fingerprints import CONVERSATIONS, content, talk
from infinity_assets_tests.frames import Turns, pool
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
SOURCES = ["alpha", "beta", "gamma"]
PLACES = (st.sampled_from(SOURCES), st.sampled_from(["1.json", "2.json"]), st.integers(0, 3))
RECORDS = st.lists(st.tuples(*PLACES, CONVERSATIONS), min_size=1, max_size=12)
PRIORITY = st.lists(st.sampled_from([*SOURCES, "nowhere"]), unique=True, max_size=4)

TEXT = "the cat sat on a mat and the dog ran to its old house by the sea in a storm of rain with wind"
WORDS = TEXT.split()
EDITED = st.builds(
    lambda start, changes: " ".join(changes.get(place, word) for place, word in enumerate(WORDS[start : start + 16])),
    st.integers(0, 3),
    st.dictionaries(st.integers(0, 15), st.sampled_from(["blue", "red", "3", "4 +", "x - 12"]), max_size=2),
)
PROMPTS = st.one_of(EDITED, st.sampled_from(["Who?", "who", "Why?"]))
SIMILAR = st.builds(talk, PROMPTS, st.one_of(st.just(""), st.just("yes"), EDITED))
SIMILAR_RECORDS = st.lists(st.tuples(*PLACES, SIMILAR), min_size=1, max_size=14)
SURE: dict[str, Any] = {"shingle": 2, "bands": 200, "rows_per_band": 1}
"""Enough bands of one row that every pair at the thresholds below is found: 1 - (1 - 0.5)^200."""


def find(rows: pl.DataFrame, rule: Dedup, scores: Sequence[float | None] | None = None, **options: Any) -> pl.DataFrame:
    scored = rows if scores is None else rows.with_columns(score=pl.Series(scores, dtype=pl.Float64))
    parts = {source: fingerprint(scored.filter(pl.col("source") == source), rule.near).lazy() for source in SOURCES}
    return find_duplicates(parts, rule, **options)


@FEW
@given(records=RECORDS, priority=PRIORITY, data=st.data())
def test_the_best_record_of_each_content_survives_in_any_order(
    records: list, priority: list[str], data: st.DataObject
) -> None:
    rule = Dedup(source_priority=tuple(priority))
    rows = pool(*records)
    losers = find(rows, rule)

    def key(record: tuple[dict, Turns]) -> tuple:
        row, turns = record
        rank = priority.index(row["source"]) if row["source"] in priority else len(priority)
        return content(turns), rank, row["row_id"], *(row[name] for name in PLACE)

    described = sorted(zip(rows.to_dicts(), (turns for *_, turns in records), strict=True), key=key)
    best = [next(group)[0] for _, group in groupby(described, key=lambda record: content(record[1]))]
    kept = drop_losers(rows, losers)
    assert sorted(map(str, kept.to_dicts())) == sorted(map(str, best))
    assert kept.height + losers.height == rows.height
    assert find(pool(*data.draw(st.permutations(records))), rule).equals(losers)


def words_of(texts: list[str]) -> list[str]:
    return " ".join(texts).lower().replace("?", "").split()


def facts_of(texts: list[str]) -> list[str]:
    """Return the numbers and symbols."""
    return [match for text in texts for match in re.findall(r"\d+|[<>+=*/%&#@~^\\|$-]", text)]


def alike(one: Turns, other: Turns, rule: Near) -> bool:
    """Return whether two conversations are near-duplicates by definition, in plain Python."""
    whole = [frozenset().union(*shingles([text for _, text in turns], rule.shingle)) for turns in (one, other)]
    if jaccard(*whole) < rule.threshold - 1e-9:
        return False
    prompts = [[text for role, text in turns if role == "user"] for turns in (one, other)]
    answers = [[text for role, text in turns if role == "assistant"] for turns in (one, other)]
    if rule.answers == "any":
        return True
    if facts_of(prompts[0]) != facts_of(prompts[1]):
        return False
    if not any(answers):
        return True
    long = all(any(shingles(texts, rule.shingle)) for texts in prompts)
    if not long and words_of(prompts[0]) != words_of(prompts[1]):
        return False
    parts = [frozenset().union(*shingles(texts, rule.shingle)) if texts else frozenset() for texts in answers]
    return all(answers) and jaccard(*parts) >= rule.threshold - 1e-9


@settings(max_examples=examples(120), deadline=None)
@given(
    records=SIMILAR_RECORDS,
    threshold=st.sampled_from([0.5, 0.7, 0.9]),
    answers=st.sampled_from(["alike", "any"]),
    data=st.data(),
)
def test_near_survivors_follow_the_definition(
    records: list, threshold: float, answers: Literal["alike", "any"], data: st.DataObject
) -> None:
    """From the best down, a row stays unless it is alike to one that stayed, and it loses to the best of these."""
    rule = Dedup(near=Near(threshold=threshold, answers=answers, **SURE))
    rows = pool(*records)
    losers = find(rows, rule, workers=data.draw(st.integers(1, 3)))
    first: dict[tuple, tuple[str, Turns]] = {}
    for row, turns in sorted(
        zip(rows.to_dicts(), (turns for *_, turns in records), strict=True), key=lambda r: r[0]["row_id"]
    ):
        first.setdefault(content(turns), (row["row_id"], turns))
    kept: list[tuple[str, Turns]] = []
    expected = {}
    for row_id, turns in first.values():
        winner = next((other for other, talk in kept if alike(turns, talk, rule.near)), None)
        if winner is None:
            kept.append((row_id, turns))
        else:
            expected[row_id] = winner
    near = losers.filter(pl.col("method") == "near")
    assert dict(near.select("row_id", "duplicate_of").iter_rows()) == expected
    assert near["matched"].equals(near["duplicate_of"], check_names=False)
    assert set(losers["duplicate_of"]) <= {row_id for row_id, _ in kept}
    assert drop_losers(rows, losers).height == len(kept) == rows.height - losers.height
    assert find(pool(*data.draw(st.permutations(records))), rule).equals(losers)


@FEW
@given(
    records=SIMILAR_RECORDS,
    added=st.sets(st.sampled_from(SOURCES)),
    answers=st.sampled_from(["alike", "any"]),
    priority=PRIORITY,
)
def test_adding_a_source_gives_the_same_result_as_a_fresh_start(
    records: list, added: set[str], answers: Literal["alike", "any"], priority: list[str]
) -> None:
    near = Near(answers=answers, **SURE)
    rule = Dedup(source_priority=tuple(priority), near=near)
    rows = pool(*records)
    before = find(rows.filter(~pl.col("source").is_in(list(added))), rule)
    assert find(rows, rule, before=before, added=added).equals(find(rows, rule))


def test_a_copy_too_short_for_a_signature_is_found_in_a_new_source() -> None:
    rows = pool(("alpha", "f", 0, [("user", "Who?")]), ("beta", "f", 0, [("user", "Who?")]))
    before = find(rows.filter(pl.col("source") == "alpha"), Dedup())
    assert find(rows, Dedup(), before=before, added={"beta"}).equals(find(rows, Dedup()))
    assert find(rows, Dedup())["source"].to_list() == ["beta"]


def test_lines_that_a_new_source_cannot_affect_are_taken_from_the_earlier_result() -> None:
    """The earlier result holds a similarity that no comparison could give."""
    rows = pool(
        ("alpha", "f", 0, [("user", TEXT)]),
        ("alpha", "f", 1, [("user", f"{TEXT} again")]),
        ("beta", "f", 0, [("user", TEXT[::-1])]),
    )
    rule = Dedup()
    before = find(rows.filter(pl.col("source") == "alpha"), rule).with_columns(similarity=pl.lit(0.125))
    assert find(rows, rule, before=before, added={"beta"})["similarity"].to_list() == [0.125]
    assert find(rows, rule, before=before, added={"alpha", "beta"})["similarity"].item() > 0.7


@FEW
@given(records=SIMILAR_RECORDS, data=st.data())
def test_the_higher_score_survives_and_rows_without_a_score_rank_last(records: list, data: st.DataObject) -> None:
    rows = pool(*records)
    scores = data.draw(st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=len(records), max_size=len(records)))
    losers = find(rows, Dedup(near=Near(**SURE)), scores)
    by_record = {
        (*record, row): -1.0 if score is None else score
        for *record, row, score in zip(*(rows[c] for c in [*PLACE, "row_id"]), scores, strict=True)
    }
    best = {}
    for (*_, row), score in by_record.items():
        best[row] = max(best.get(row, -1.0), score)
    for loser in losers.to_dicts():
        assert (
            best[loser["matched"]] >= by_record[(*(loser[c] for c in PLACE), loser["row_id"])]
            or loser["matched"] == loser["row_id"]
        )


@FEW
@given(records=RECORDS, wanted=st.integers(1, 2))
def test_the_number_of_answers_to_an_instruction_is_limited(records: list, wanted: int) -> None:
    rows = pool(*records)
    rule = Dedup(answers_per_instruction=wanted)
    kept = drop_losers(rows, losers := find(rows, rule))
    by_prompt: dict[tuple, set] = {}
    for *_, turns in records:
        if len(turns) == 2:
            by_prompt.setdefault(content(turns[:1]), set()).add(content(turns))
    answered = kept.filter(pl.col("messages").list.len() == 2)
    assert answered.height == sum(min(wanted, len(answers)) for answers in by_prompt.values())
    assert set(losers["duplicate_of"]) <= set(kept["row_id"])
    beyond = losers.filter(pl.col("method") == "instruction")
    assert beyond.height == sum(max(0, len(answers) - wanted) for answers in by_prompt.values())


def test_a_copy_of_a_loser_names_the_survivor_and_the_row_it_matched() -> None:
    rows = pool(
        ("alpha", "f", 0, [("user", f"{TEXT} again")]),
        ("beta", "f", 0, [("user", TEXT)]),
        ("gamma", "f", 0, [("user", TEXT.upper())]),
    )
    losers = find(rows, Dedup(source_priority=("alpha", "beta")))
    best, copied, copy = (rows["row_id"][number] for number in range(3))
    assert losers.select("row_id", "method", "duplicate_of", "matched").rows() == [
        (copied, "near", best, best),
        (copy, "exact", best, copied),
    ]


@pytest.mark.parametrize(
    ("one", "other"), [("<", "<="), ("+", "-"), ("C#", "C++"), ("👍", "👎"), ("₤100", "₤900"), ("1 2", "12")]
)
def test_prompts_with_different_numbers_or_symbols_are_not_duplicates(one: str, other: str) -> None:
    talks = [talk(f"{TEXT} {sign} {TEXT}", TEXT) for sign in (one, other)]
    rows = pool(*(("alpha", "f", number, turns) for number, turns in enumerate(talks)))
    assert find(rows, Dedup()).is_empty()
    assert find(rows, Dedup(near=Near(answers="any", threshold=0.5))).height == 1


def test_vowel_signs_are_part_of_their_words() -> None:
    boy, girl = "एक लड़का हर दिन स्कूल जाता था और किताब पढ़ता था", "एक लड़की हर दिन स्कूल जाती थी और किताब पढ़ती थी"
    assert find(pool(("alpha", "f", 0, [("user", boy)]), ("alpha", "f", 1, [("user", girl)])), Dedup()).is_empty()


def test_given_pairs_are_decided_by_the_order_of_the_rows() -> None:
    rows = pool(*(("alpha", "f", number, [("user", text)]) for number, text in enumerate(["one", "two", "three"])))
    hashes = fingerprint(rows, Near())["content_hash"].sort()
    pairs = pl.DataFrame({"a": [hashes[0], hashes[1]], "b": [hashes[1], hashes[2]], "similarity": [0.97, 0.98]})
    losers = find(rows, Dedup(), neighbours=pairs)
    order = rows.join(fingerprint(rows, Near()).select("row_id", "content_hash"), on="row_id").sort("row_id")
    kept = drop_losers(rows, losers)
    linked = {frozenset(pair) for pair in pairs.select("a", "b").iter_rows()}
    stay: list[str] = []
    for row_id, content_hash in order.select("row_id", "content_hash").iter_rows():
        better = [other for other in stay if frozenset((other, content_hash)) in linked]
        assert (row_id in kept["row_id"].to_list()) == (not better)
        stay += [] if better else [content_hash]
    assert set(losers["method"]) == {"semantic"}
    assert set(losers["similarity"].round(4)) <= {0.97, 0.98}


def test_a_record_with_two_equal_instances_keeps_one() -> None:
    """They share id and place: removing losers by these once removed the winning row as well."""
    turns = [("user", "q"), ("assistant", "a")]
    rows = pool(("alpha", "f", 0, turns), ("alpha", "f", 0, turns))
    assert drop_losers(rows, find(rows, Dedup())).height == 1


def test_no_rows_one_row_and_equal_rows() -> None:
    assert find(pool(), Dedup()).schema == DUPLICATES
    assert find_duplicates({}, Dedup()).schema == DUPLICATES
    one = pool(("alpha", "f", 0, [("user", "q")]))
    assert find(one, Dedup()).is_empty()
    same = pool(*(("alpha", "f", number, [("user", TEXT)]) for number in range(5)))
    assert find(same, Dedup()).height == 4
