"""Every criterion, and their combination, against plain Python."""

from statistics import mean, stdev

from hypothesis import given, settings

from infinity_assets.rows.ids import draw
from infinity_assets.selection.seeds.criteria import CRITERIA, evaluate_criteria
from infinity_assets.settings.chat import Seeds
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.seeds.made_up import RECIPES, ROWS, VOCABULARY, frame

FEW = settings(max_examples=examples(100), deadline=None)
COUNTS = dict(VOCABULARY.iter_rows())


def bound(numbers: list[float], sigma: float | None) -> float:
    """Return the mean plus `sigma` standard deviations, plus 1e-9 for the rounding error of equal numbers."""
    return mean(numbers) + sigma * stdev(numbers) + 1e-9 if sigma is not None and len(numbers) > 1 else float("inf")


def expected(rows: list[dict], recipe: Seeds) -> list[tuple[set[str], bool]]:
    """Return the criteria that each row meets, and whether it is vetoed."""
    losses = [row["loss"] for row in rows if row.get("loss") is not None]
    both = [row for row in rows if None not in (row.get("loss"), row.get("loss_after"))]
    drops = {row["row_id"]: row["loss"] - row["loss_after"] for row in both}
    ascending = sorted(drops, key=lambda row_id: (drops[row_id], row_id))
    least = ascending[: int(len(drops) * recipe.small_drop_share)]
    (low, high), (low_sampled, high_sampled) = recipe.long_tail, recipe.long_tail_sampled
    results = []
    for row, lot in zip(rows, draw("long_tail", frame(rows)["row_id"]), strict=True):
        vetoed = row["row_id"] in drops and drops[row["row_id"]] > bound([*drops.values()], recipe.veto_sigma)
        if row["kind"] != "conversation":
            short = row["kind"] == "text" and row["prompt_chars"] < recipe.min_text_chars
            results.append((set() if short else {"raw_material"}, vetoed))
            continue
        labels = row["ability"] if row["label_source"] == "model" else None
        counts = [COUNTS[label] for label in labels or []]
        drawn = lot < recipe.long_tail_share
        holds = {
            "long_tail": any(low <= n <= high or (drawn and low_sampled <= n <= high_sampled) for n in counts),
            "many_labels": labels is not None and len(labels) >= recipe.min_labels,
            "hard_by_loss": (row.get("loss") or 0) > bound(losses, recipe.loss_sigma),
            "hard_to_follow": row.get("ifd") is not None and recipe.ifd_range[0] <= row["ifd"] <= recipe.ifd_range[1],
            "small_loss_drop": row["row_id"] in least,
        }
        results.append(({name for name in holds if holds[name]}, vetoed))
    return results


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_criteria_and_veto_equal_plain_python(rows: list[dict], recipe: Seeds) -> None:
    results = evaluate_criteria(frame(rows), VOCABULARY, recipe)
    assert results["row_id"].to_list() == [row["row_id"] for row in rows]
    for line, (speaks, vetoed) in zip(results.iter_rows(named=True), expected(rows, recipe), strict=True):
        assert {name for name in CRITERIA if line[name]} == speaks
        assert line["vetoed"] == vetoed
        in_force = [name for name in CRITERIA if name in speaks and name in recipe.criteria]
        assert (line["met"], line["because"]) == (len(in_force), "+".join(in_force))


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_enough_criteria_hold_as_combine_requires(rows: list[dict], recipe: Seeds) -> None:
    results = evaluate_criteria(frame(rows), VOCABULARY, recipe)
    for row, line in zip(rows, results.iter_rows(named=True), strict=True):
        can_hold = {"raw_material"} if row["kind"] != "conversation" else set(CRITERIA) - {"raw_material"}
        can_hold &= set(recipe.criteria)
        if not recipe.tuned.enabled:
            can_hold -= {"small_loss_drop"}
        wanted = {"any": 1, "all": len(can_hold)}.get(str(recipe.combine)) or int(recipe.combine) if can_hold else 1
        assert line["enough"] == (line["met"] >= max(1, min(wanted, len(can_hold) or 1)))
