"""Tests that the cuts of a list agree with parsing it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.reading.structure import find_cuts, split_elements

TEXT = st.text(st.sampled_from('ab"\\,[]{}: \n\u00e9你'), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(
    st.lists(JSON, min_size=1),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.sampled_from(["", " \n", " tail, [", ",,"]),
)
def test_split_elements_equal_the_parsed_ones(values: list, indent: int | None, ascii_only: bool, after: str) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    for run in (text[1:] + after, text[1:-1]):
        assert [json.loads(element) for element in split_elements(run.encode())] == values
    assert find_cuts((text[1:] + after).encode()).end == len(text.encode()) - 2


@given(st.lists(JSON, min_size=1), st.sampled_from([None, 1]), st.data())
def test_the_cuts_of_a_prefix_are_cuts_of_the_whole_list(values: list, indent: int | None, data: st.DataObject) -> None:
    run = json.dumps(values, indent=indent).encode()[1:]
    place = data.draw(st.integers(0, len(run)))
    whole = find_cuts(run)
    part = find_cuts(run[:place])
    assert part.commas.tolist() == [comma for comma in whole.commas.tolist() if comma < place]
    assert part.end == (whole.end if whole.end is not None and whole.end < place else None)


@given(st.lists(st.dictionaries(TEXT, JSON), min_size=2) | st.lists(st.lists(JSON), min_size=2))
def test_lists_of_objects_and_of_lists_are_regular(values: list) -> None:
    assert find_cuts(json.dumps(values).encode()[1:]).regular


@pytest.mark.parametrize(
    "run",
    [
        b'{"a": "x"y"}, {"a": "z}, 1, 2"}, {"a": "w, 3, 4"}, {"a": 2}]',
        b'{"a": 1, {"a": 2}}, 3, 4]',
        b'{"a": 1}{"a": 2}, {"a": 3}, {}]',
        b'{}, "a", {}]',
    ],
    ids=["a quote that is not escaped", "a missing bracket", "a missing comma", "a scalar between objects"],
)
def test_damaged_or_mixed_lists_are_not_regular(run: bytes) -> None:
    assert not find_cuts(run).regular


@given(st.binary(max_size=100) | TEXT.map(str.encode))
def test_any_bytes_can_be_cut(data: bytes) -> None:
    cuts = find_cuts(data)
    assert all(data[comma : comma + 1] == b"," for comma in cuts.commas.tolist())
    assert cuts.end is None or data[cuts.end : cuts.end + 1] in (b"]", b"}")
    assert len(split_elements(data)) == cuts.commas.size + 1
