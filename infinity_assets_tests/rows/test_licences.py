import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.rows.licences import ORDER, UNKNOWN, most_restrictive

LICENCES = st.lists(st.sampled_from([*ORDER, UNKNOWN, "House-Rules-1.0", "Another-1.0"]), min_size=1, max_size=6)


def worst(licences: list[str]) -> str:
    return pl.DataFrame({"licence": licences}).select(most_restrictive(pl.col("licence"))).item()


@given(licences=LICENCES, data=st.data())
def test_the_worst_of_several_licences(licences: list[str], data: st.DataObject) -> None:
    def place(licence: str) -> tuple[int, str]:
        return len(ORDER) + 1 if licence == UNKNOWN else ORDER.index(licence) if licence in ORDER else len(ORDER), licence

    assert worst(licences) == max(licences, key=place)
    assert worst(data.draw(st.permutations(licences))) == worst(licences)


@given(one=LICENCES, other=LICENCES)
def test_it_makes_no_difference_in_how_many_steps_rows_are_merged(one: list[str], other: list[str]) -> None:
    assert worst([worst(one), worst(other)]) == worst(one + other)


def test_no_licence_stands_twice() -> None:
    assert len(set(ORDER)) == len(ORDER)
