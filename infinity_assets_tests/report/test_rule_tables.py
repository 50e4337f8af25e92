import polars as pl

from infinity_assets.report import rule_tables as page
from infinity_assets.selection.rules import counts, measures, rulebook
from infinity_assets.settings.foundation import Rules
from infinity_assets_tests.frames import pool

ROWS = pool(
    ("alpha", "f", 0, [("user", "Which | river?"), ("assistant", "I'm sorry, but I cannot help with that.")]),
    (
        "beta",
        "f",
        0,
        [
            ("user", "A poem?"),
            ("assistant", "I cannot give you a poem, but here is a song. " + " ".join(map(str, range(200)))),
        ],
    ),
)
NO_SCORES = pl.DataFrame(schema={"row_id": pl.String, "ifd": pl.Float64, "quality": pl.Float64})
FACTS = rulebook.facts(ROWS, measures.measure(ROWS), NO_SCORES, Rules())
REFUSAL = rulebook.BY_NAME["refusal"]


def test_a_page_shows_rows_on_both_sides_of_a_threshold() -> None:
    sides = counts.sides(FACTS.select(pl.exclude("messages")), REFUSAL, Rules(), 3)
    shown = page.examples(REFUSAL, sides, page.texts(ROWS.lazy(), ROWS["row_id"]))
    means, _, head, _, *lines = shown.splitlines()
    assert means == REFUSAL.means
    assert head == "|  | measure | threshold | evidence | row | source | prompt | answer |"
    failing, passing = lines
    assert failing.startswith("| fails | 9 | 120 | I'm sorry, but I cannot help | ")
    assert failing.endswith(r" | alpha | Which \| river? | I'm sorry, but I cannot help with that. |")
    assert passing.startswith("| passes | 211 | 120 | I cannot give | ")


def test_a_rule_that_judges_no_row_has_a_note() -> None:
    bound = rulebook.BY_NAME["low_quality"]
    assert page.examples(
        bound, counts.sides(FACTS, bound, Rules(), 3), page.texts(ROWS.lazy(), ROWS["row_id"])
    ).endswith("No row is judged.")


def test_totals_add_up_the_domains() -> None:
    table = counts.counts(FACTS, Rules())
    line = page.totals(table).row(by_predicate=pl.col("rule") == "refusal", named=True)
    assert line == {"rule": "refusal", "threshold": 120, "judged": 2, "failing": 1, "failing_alone": 1, "chat": 1}


def test_the_terminal_shows_a_whole_row_with_its_id() -> None:
    lines = page.side_lines(REFUSAL, counts.sides(FACTS, REFUSAL, Rules(), 1), page.texts(ROWS.lazy(), ROWS["row_id"]))
    assert lines[0] == f"refusal: {REFUSAL.means}"
    assert lines[2:6] == [
        'fails  9 (fails below 120)  "I\'m sorry, but I cannot help"',
        f"  row    {ROWS['row_id'][0]}  alpha, chat",
        "  prompt Which | river?",
        "  answer I'm sorry, but I cannot help with that.",
    ]
