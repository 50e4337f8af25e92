import polars as pl

from infinity_assets import prompts
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.strategies.evol_instruct import FROM_TEXT, EvolInstruct, assign

OPERATORS = EvolInstruct().prompts(Evolution())[:-1]


def seeds(count: int, kind: str = "conversation") -> pl.DataFrame:
    return pl.DataFrame(
        {"row_id": [f"{n:032x}" for n in range(count)], "kind": [kind] * count},
        schema={"row_id": pl.String, "kind": pl.String},
    )


def test_every_operator_has_a_prompt_with_its_variables() -> None:
    assert {tuple(prompts.load(name, "en").variables) for name in OPERATORS} == {("request",)}
    assert tuple(prompts.load(FROM_TEXT, "en").variables) == ("text",)


def test_operators_are_drawn_evenly_by_row_and_round() -> None:
    frame = seeds(2000)
    first = assign(frame, OPERATORS, 1)
    assert first.reverse().to_list() == assign(frame.reverse(), OPERATORS, 1).to_list()
    assert first.to_list() != assign(frame, OPERATORS, 2).to_list()
    counts = dict(first.value_counts().iter_rows())
    assert set(counts) == set(OPERATORS)
    assert all(270 < count < 400 for count in counts.values())


def test_texts_have_their_own_operator() -> None:
    assert set(assign(seeds(20, "text"), OPERATORS, 1)) == {FROM_TEXT}
    assert assign(seeds(0), OPERATORS, 1).to_list() == []
