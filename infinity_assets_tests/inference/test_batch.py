"""Building requests from a frame: one per row, and values are never read as templates."""

from string import Template

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets import prompts
from infinity_assets.inference import batch
from infinity_assets.settings.models import Sampling
from infinity_assets_tests.properties import examples

VALUES = st.lists(
    st.text("ab$ {}\\\n#数\0") | st.sampled_from(["$request", "${answer}", "## user", "$$", "---\n", "{}", "%s"])
).map("".join)
SAMPLING = Sampling(temperature=0.7)


def bodies(prompt: prompts.Prompt) -> list[str]:
    """Return the unchanged turns of the prompt's file."""
    text = prompt.file.read_text(encoding="utf-8")
    return [part.split("\n", 1)[1].strip() for part in text.split("\n## ")[1:]]


@pytest.mark.parametrize("name", prompts.names())
@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_values_are_inserted_into_a_prompt_unchanged(name: str, data: st.DataObject) -> None:
    prompt = prompts.load_bilingual(name)
    line = st.fixed_dictionaries(
        {**dict.fromkeys(prompt.en.variables, VALUES), "language": st.sampled_from(["en", "zh", "fr", ""])}
    )
    lines = [values | {"row_id": f"r{number}"} for number, values in enumerate(data.draw(st.lists(line, max_size=5)))]
    rows = pl.DataFrame(lines, schema=dict.fromkeys(["row_id", "language", *prompt.en.variables], pl.String))
    requests = batch.build_prompt_requests(prompt, rows, SAMPLING, "stage")
    by_row = {request.row_id: request for request in requests}
    assert len(requests) == len(by_row) == len(lines)
    for values in lines:
        wording, request = prompt.choose(values["language"]), by_row[values["row_id"]]
        assert (request.prompt, request.prompt_hash) == (wording.label, wording.hash)
        written = [Template(text).substitute(values) for text in bodies(wording)]
        assert [dict(turn) for turn in request.messages] == [
            {"role": turn.role, "content": text} for turn, text in zip(wording.turns, written, strict=True)
        ]


def frame(*languages: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"row_id": [f"r{number}" for number in range(len(languages))], "language": languages}
    ).with_columns(request="row_id")


def test_requests_with_a_common_prompt_are_adjacent() -> None:
    requests = batch.build_prompt_requests(
        prompts.load_bilingual("evolve_deepen"), frame("zh", "en", "zh", "de"), SAMPLING, "stage"
    )
    assert [request.row_id for request in requests] == ["r1", "r3", "r0", "r2"]


def test_the_seed_depends_only_on_stage_and_row() -> None:
    prompt = prompts.load_bilingual("evolve_deepen")
    seeds = {
        request.row_id: request.seed
        for request in batch.build_prompt_requests(prompt, frame("en", "zh"), SAMPLING, "stage")
    }
    assert seeds == {
        request.row_id: request.seed
        for request in batch.build_prompt_requests(prompt, frame("zh", "en"), SAMPLING, "stage")
    }
    assert len(set(seeds.values())) == 2
    assert {
        request.seed for request in batch.build_prompt_requests(prompt, frame("en"), Sampling(temperature=0.0), "stage")
    } == {None}


def test_requests_of_one_row_differ_by_their_index() -> None:
    rows = frame("en", "zh").join(pl.DataFrame({"index": [0, 1]}), how="cross")
    requests = batch.build_prompt_requests(prompts.load_bilingual("evolve_deepen"), rows, SAMPLING, "stage")
    assert [(request.row_id, request.index) for request in requests] == [("r0", 0), ("r0", 1), ("r1", 0), ("r1", 1)]
    assert len({request.seed for request in requests}) == 4
    alone = batch.build_prompt_requests(prompts.load_bilingual("evolve_deepen"), frame("en"), SAMPLING, "stage")
    assert alone == requests[:1], "a row that is asked once has the number 0"


def test_constants_apply_to_every_row() -> None:
    asked = batch.build_prompt_requests(
        prompts.load_bilingual("tag"), frame("en", "en"), SAMPLING, "stage", max_labels="7"
    )
    assert all("one to 7 short" in request.messages[0]["content"] for request in asked)
    assert asked[0].messages[0] is asked[1].messages[0], "a turn that all rows share is held once"


def test_columns_that_do_not_match_the_variables_are_rejected() -> None:
    prompt, rows = prompts.load_bilingual("evolve_deepen"), frame("en", "zh")
    with pytest.raises(ValueError, match="evolve_deepen takes"):
        batch.build_prompt_requests(prompt, rows.drop("request"), SAMPLING, "stage")
    with pytest.raises(ValueError, match="evolve_deepen takes"):
        batch.build_prompt_requests(prompt, rows, SAMPLING, "stage", surprise="x")
    with pytest.raises(ValueError, match="request is null in a row"):
        batch.build_prompt_requests(prompt, rows.with_columns(request=pl.lit(None, pl.String)), SAMPLING, "stage")
