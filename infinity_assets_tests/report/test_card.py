import polars as pl

from infinity_assets.report.card import write
from infinity_assets_tests.frames import conversations


def test_the_card_counts_every_number() -> None:
    one, two = (
        [("user", "q"), ("assistant", "a")],
        [("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")],
    )
    rows = pl.DataFrame(
        {
            "source": ["alpha"] * 1200 + ["beta"],
            "licence": ["MIT"] * 1200 + ["unknown"],
            "domain": "chat",
            "language": ["en"] * 1201,
        }
    ).with_columns(messages=conversations(*[one] * 901, *[two] * 300))
    models = pl.DataFrame({"part": ["judge"], "model": ["m@main"], "terms": ["Llama-3.1"], "sampling": ["greedy"]})
    prompts = pl.DataFrame({"prompt": ["tag.en"], "version": [3], "hash": ["abc"], "G": ["yes"]})
    left_out = pl.DataFrame({"reason": ["unsafe"], "rows": [1234]})
    g = rows.clear().with_columns(terms=pl.lit("Apache-2.0"))
    card = write({"InfInstruct-F": rows, "InfInstruct-G": g}, models, prompts, left_out, 17, "5e77")
    for line in (
        "## InfInstruct-F: 1,201 rows", "| MIT | 1,200 |", "| unknown | 1 |", "| beta | 1 |", "| chat | 1,201 |",
        "| 1 | 901 | 75.0 % |", "| 2 | 300 | 25.0 % |", "| judge | m@main | Llama-3.1 | greedy |",
        "| tag.en | 3 | abc | yes |", "## InfInstruct-G: 0 rows", "| unsafe | 1,234 |",
        "## InfInstruct-preferences: 17 pairs", "| terms | rows |",
    ):  # fmt: skip
        assert line in card.splitlines(), line
    assert "`5e77`" in card
    assert "preferences" not in write({"InfInstruct-F": rows}, models, prompts, left_out, 0, "5e77")
