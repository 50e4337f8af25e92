from pathlib import Path

import pytest

from infinity_assets.inference.requests import Response
from infinity_assets.synthesis.strategies.auto_evol import FAILURES, AutoEvol
from infinity_assets_tests.synthesis.strategies.scripted import Models, seeds, to_json

FIRST = to_json(methods=["one way", "another way"], request="first")


def analysis(failing: str):
    """Return a judge that finds a failure in one rewrite."""
    return lambda text: to_json(
        failure=FAILURES[1] if text.endswith(f"Rewrite: {failing}") else "none", feedback="Say more."
    )


@pytest.mark.parametrize(
    ("steps", "failing", "text", "asked"),
    [
        (1, "first", "first", (1, 0, 0)),
        (2, "nothing", "first", (1, 1, 0)),
        (2, "first", "second", (1, 1, 1)),
        (4, "first", "second", (1, 2, 1)),
    ],
)
def test_it_rewrites_again_while_the_judge_finds_a_failure(
    tmp_path: Path, steps: int, failing: str, text: str, asked: tuple[int, ...]
) -> None:
    models = Models(
        tmp_path, {"auto_evolve": FIRST, "auto_analyse": analysis(failing), "auto_optimise": "second"}, steps=steps
    )
    (line,) = AutoEvol().write(seeds({}), models.asking, 1).to_dicts()
    assert (line["text"], line["error"]) == (text, None)
    assert line["operation"] == ("auto_optimise" if text == "second" else "auto_evolve")
    assert tuple(models.asked()[name] for name in ("auto_evolve", "auto_analyse", "auto_optimise")) == asked
    assert set(models.asked()) <= set(AutoEvol().prompts(models.asking.settings.chat.evolution))


def test_analysis_and_rewrite_see_the_seed_and_the_last_rewrite(tmp_path: Path) -> None:
    models = Models(
        tmp_path, {"auto_evolve": FIRST, "auto_analyse": analysis("first"), "auto_optimise": "second"}, steps=2
    )
    AutoEvol().write(seeds({"seed": "Where is it?"}), models.asking, 1)
    assert models.last_turns("auto_analyse") == ["Request: Where is it?\nRewrite: first"]
    (turn,) = models.last_turns("auto_optimise")
    assert all(part in turn for part in ("Where is it?", "first", "Say more."))


@pytest.mark.parametrize(
    "failed", ["", Response(text="sec", finish_reason="length"), Response(error="prompt_too_long", cause="long")]
)
def test_a_failed_step_keeps_the_last_good_text(tmp_path: Path, failed: str | Response) -> None:
    models = Models(
        tmp_path, {"auto_evolve": FIRST, "auto_analyse": analysis("first"), "auto_optimise": failed}, steps=4
    )
    (line,) = AutoEvol().write(seeds({}), models.asking, 1).to_dicts()
    assert (line["text"], line["operation"], line["error"]) == ("first", "auto_evolve", None)
    assert models.asked()["auto_optimise"] == 1, "an equal request would have the same answer"


@pytest.mark.parametrize(
    "wrote", ["no JSON", to_json(methods=["one"], request="first"), Response(error="prompt_too_long", cause="long")]
)
def test_a_failed_first_step_writes_nothing(tmp_path: Path, wrote: str | Response) -> None:
    models = Models(tmp_path, {"auto_evolve": wrote}, steps=3)
    (line,) = AutoEvol().write(seeds({}), models.asking, 1).to_dicts()
    assert (line["text"], line["operation"]) == (None, None)
    assert line["error"] == (wrote.error if isinstance(wrote, Response) else "invalid_json")
    assert set(models.asked()) == {"auto_evolve"}
