import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.rows.licences import ORDER, UNKNOWN, licence_from_card, most_restrictive, spdx

LICENCES = st.lists(st.sampled_from([*ORDER, UNKNOWN, "House-Rules-1.0", "Another-1.0"]), min_size=1, max_size=6)


def worst(licences: list[str]) -> str:
    return pl.DataFrame({"licence": licences}).select(most_restrictive(pl.col("licence"))).item()


@given(licences=LICENCES, data=st.data())
def test_the_most_restrictive_of_several_licences_is_chosen(licences: list[str], data: st.DataObject) -> None:
    def place(licence: str) -> tuple[int, str]:
        unlisted = len(ORDER) + (licence == UNKNOWN)
        return ORDER.index(licence) if licence in ORDER else unlisted, licence

    assert worst(licences) == max(licences, key=place)
    assert worst(data.draw(st.permutations(licences))) == worst(licences)


@given(one=LICENCES, other=LICENCES)
def test_the_result_does_not_depend_on_the_steps_of_a_merge(one: list[str], other: list[str]) -> None:
    assert worst([worst(one), worst(other)]) == worst(one + other)


def test_no_licence_is_listed_twice() -> None:
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize(
    ("licence", "name", "expected"),
    [
        ("apache-2.0", None, "Apache-2.0"),
        ("cc-by-nc-4.0", None, "CC-BY-NC-4.0"),
        ("mit", None, "MIT"),
        ("odc-by", None, "ODC-By-1.0"),
        ("gpl-3.0", None, "GPL-3.0-only"),
        ("llama3.1", None, "LicenseRef-llama3.1"),
        ("openrail++", None, "LicenseRef-openrail"),
        ("other", "Our own (v2)", "LicenseRef-Our-own-v2"),
        ("other", "mit", "MIT"),
        ("other", None, "unknown"),
        ("unknown", None, "unknown"),
        (None, None, "unknown"),
        ([], None, "unknown"),
        (["mit", "cc-by-nc-4.0", "apache-2.0"], None, "CC-BY-NC-4.0"),
    ],
)
def test_the_licence_of_a_card_is_normalized(licence: object, name: str | None, expected: str) -> None:
    assert licence_from_card(licence, name) == expected


def test_spdx_ids_are_known_in_any_case() -> None:
    for licence in ORDER:
        assert spdx(licence.upper()) == spdx(f" {licence.lower()} ") == licence
