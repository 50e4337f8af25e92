import polars as pl

from infinity_assets.report.card import write


def test_every_number_of_the_card_is_counted() -> None:
    rows = pl.DataFrame(
        {"source": ["alpha"] * 1200 + ["beta"], "licence": ["MIT"] * 1200 + ["unknown"], "domain": "chat", "language": ["en"] * 1201}
    )
    card = write({"InfInstruct-F": rows, "InfInstruct-G": rows.clear()}, {"judge": "m@main"}, {"tag": "abc"}, "5e77")
    for line in ("## InfInstruct-F: 1,201 rows", "| MIT | 1,200 |", "| unknown | 1 |", "| beta | 1 |", "| chat | 1,201 |", "| judge | m@main |",
                 "| tag | abc |", "## InfInstruct-G: 0 rows"):  # fmt: skip
        assert line in card.splitlines()
    assert "`5e77`" in card
