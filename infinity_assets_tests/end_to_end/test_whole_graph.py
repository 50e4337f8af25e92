"""A whole run on the sample sources: contract of the metadata, planted rows, and a second run that does nothing.

An oracle stands in for the language models; `test_embedded_model.py` runs the graph with a real one.
"""

import hashlib
import re

import polars as pl
import pytest

from infinity_assets.catalog.explain import explain
from infinity_assets.defs.automation import sources_state, state_file
from infinity_assets.defs.checks import check_lake
from infinity_assets.defs.registry import REGISTERED, needed_by
from infinity_assets.reading.pool import Pool
from infinity_assets.scoring.judge import DIGITS
from infinity_assets_tests.project import PROJECT, Project
from infinity_assets_tests.prompts.test_prompts_page import TABLE

pytestmark = pytest.mark.graph

README = (PROJECT / "data" / "sources" / "README.md").read_text(encoding="utf-8")


def _table(first_column: str) -> list[list[str]]:
    lines = README.split(f"| {first_column} |")[1].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


PLANTED = _table("asset | verdict | reason")
NEAR = _table("source | file | position | position of the other")


def test_the_readme_lists_all_planted_rows() -> None:
    assert (len(PLANTED), len(NEAR)) == (37, 7)


@pytest.mark.parametrize(("asset", "verdict", "reason", "source", "file", "position"), [row[:6] for row in PLANTED])
def test_a_planted_row_has_its_decision(
    project: Project, asset: str, verdict: str, reason: str, source: str, file: str, position: str
) -> None:
    decisions = project.sql(
        f"select reason from decisions where asset = '{asset}' and verdict = '{verdict}' and source = '{source}'"
        f" and file = '{file}' and position = {position}"
    )
    assert reason in decisions["reason"].to_list()


def test_only_planted_rows_are_broken_duplicate_or_contaminated(project: Project) -> None:
    """A rule that drops every row would pass the test above."""
    decisions = project.sql(
        "select asset, source, file, position from decisions where asset in ('raw_pool', 'deduped', 'decontaminated')"
    )
    planted = {(row[0], row[3], row[4], int(row[5])) for row in PLANTED}
    assert set(decisions.iter_rows()) == {place for place in planted if place[0] != "inf_instruct_f"}


@pytest.mark.parametrize(("source", "file", "position", "other", "other_file"), NEAR)
def test_at_most_one_of_two_near_duplicates_stays(
    project: Project, source: str, file: str, position: str, other: str, other_file: str
) -> None:
    places = (
        f"source = '{source}' and ((file = '{file}' and position = {position})"
        f" or (file = '{other_file}' and position = {other}))"
    )
    assert project.sql(f"select row_id from inf_instruct_f where {places}").height <= 1
    reasons = project.sql(f"select reason from decisions where asset in ('deduped', 'inf_instruct_f') and {places}")[
        "reason"
    ].to_list()
    assert len(reasons) == 2
    assert {"near_duplicate", "over_quota"} & set(reasons)


def test_every_invariant_holds(project: Project) -> None:
    results = list(check_lake(project.lake))
    assert len(results) > 30
    assert [(asset, name) for asset, name, broken in results if broken.height] == []


def test_every_asset_of_the_graph_is_materialized(project: Project) -> None:
    assets = set(project.sql("select distinct asset from materializations where latest")["asset"])
    assert assets == {registered.asset for registered in needed_by(None)}


def test_every_pool_row_is_in_f_or_has_a_decision(project: Project) -> None:
    """Conservation by row, not only by number: every record of the pool is in F or was dropped with a reason."""
    lost = project.sql(
        """
        select o.row_id, o.source, o.file, o.position from origins o
        where not exists (select 1 from inf_instruct_f f where f.row_id = o.row_id)
          and not exists (select 1 from decisions d where d.verdict = 'dropped'
                          and d.asset in ('deduped', 'decontaminated', 'inf_instruct_f')
                          and d.source = o.source and d.file = o.file and d.position = o.position)
        """
    )
    assert lost.is_empty()


def test_f_and_g_cover_all_domains_languages_and_selectors(project: Project) -> None:
    f, g = project.lake.scan("inf_instruct_f").collect(), project.lake.scan("inf_instruct_g").collect()
    assert f.height > 100
    assert g.height > 0
    assert g.filter(pl.col("messages").list.len() > 2).height > 0
    assert project.lake.scan("preferences").collect().height > 0
    assert project.lake.scan("synthesized_from_text").collect().height > 0
    assert set(f["domain"]) == {"math", "code", "knowledge", "chat"}
    assert {"en", "zh"} <= set(f["language"])
    assert set(f["selector"]) >= {"dsir", "quality"}


def test_scores_are_finite_or_null_with_a_reason(project: Project) -> None:
    scored = project.lake.scan("scored").collect()
    reasons = {name.removesuffix("_error"): name for name in scored.columns if name.endswith("_error")}
    reasons["ifd"] = reasons["loss"] = reasons["ifd_perplexity"] = reasons.pop("likelihood")
    for score, reason in reasons.items():
        assert scored.filter(pl.col(score).is_null() != pl.col(reason).is_not_null()).is_empty()
        assert scored.drop_nulls(score).filter(~pl.col(score).is_finite()).is_empty()
    assert scored["ifd"].n_unique() > 50
    assert set(scored.drop_nulls("quality")["quality_text"]) <= set(DIGITS)
    assert set(scored["reward_error"]) == {"no_reward_model"}
    answered = project.lake.scan("answered").collect()
    assert answered.filter(pl.col("answer_score").is_null() != pl.col("answer_score_error").is_not_null()).is_empty()


def test_the_page_on_prompts_names_the_assets_that_use_them(project: Project) -> None:
    calls = project.sql(
        "select distinct asset, split_part(prompt, '.', 1) as name from generations"
        " where prompt similar to '.*\\.(en|zh)'"
    )
    documented = {(asset, name) for name, (used_by, *_) in TABLE.items() for asset in re.findall(r"\w+", used_by)}
    documented = {(asset, name) for asset, name in documented if asset in REGISTERED}
    used = set(calls.iter_rows())
    assert used
    assert used <= documented
    assert {asset for asset, _ in documented} == {asset for asset, _ in used} | {"domain_scores", "abilities"}, (
        "these make no calls by default"
    )


@pytest.mark.parametrize(
    ("which", "query", "says"),
    [
        (
            "kept",
            "select row_id from inf_instruct_f limit 1",
            [r"read +from source", r"chosen +in inf_instruct_f", r"stands in .*inf_instruct_f"],
        ),
        (
            "duplicate",
            "select row_id from decisions where asset = 'deduped' and reason = 'exact_duplicate' limit 1",
            [r"dropped +in deduped: exact_duplicate", r"duplicate_of"],
        ),
        (
            "contaminated",
            "select row_id from decisions where asset = 'decontaminated' limit 1",
            [r"contaminated_", r"item_id little_", r"span "],
        ),
        (
            "about a text",
            "select parents[1] from synthesized_from_text union"
            " select row_id from decisions where asset = 'synthesized_from_text' limit 1",
            [
                r"complete +in synthesized_from_text: prompt pairs_from_text\.",
                r"dropped +in synthesized_from_text",
                r"read +from source nature_notes",
            ],
        ),
        (
            "evolved",
            "select row_id from inf_instruct_g limit 1",
            [
                r"made +by answer",
                r"made +by (evolve|request)",
                r"read +from source",
                r"generate +in evolved",
                r"chosen +in seed_selected",
            ],
        ),
    ],
)
def test_explain_shows_the_path_of_a_row(project: Project, which: str, query: str, says: list[str]) -> None:
    story = explain(project.data, project.sql(query).item())
    for pattern in says:
        assert re.search(pattern, story), f"{which}: {pattern} is not in\n{story}"


def test_the_command_prints_the_explanation(project: Project) -> None:
    row = project.sql("select row_id from inf_instruct_g limit 1").item()
    assert project.infinity("explain", row).strip() == explain(project.data, row)


def test_the_release_contains_the_rows_of_f_and_g(project: Project) -> None:
    folder = project.data / "release"
    for asset, name in (("inf_instruct_f", "InfInstruct-F"), ("inf_instruct_g", "InfInstruct-G")):
        released = pl.read_ndjson(folder / f"{name}.jsonl", infer_schema_length=None)
        assert set(released["id"]) == set(project.lake.scan(asset).collect()["row_id"])
        assert released["licence"].null_count() == 0
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split("  ")
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest


def test_a_run_records_the_state_of_its_sources_for_the_sensor(project: Project) -> None:
    assert state_file(project.lake).read_text() == sources_state(Pool.load(project.data))


def test_a_second_run_does_nothing(project: Project) -> None:
    before, calls = project.rows(), project.sql("select count(*) from generations where not cached").item()
    output = project.infinity("run")
    steps = [line for line in output.splitlines() if re.match(r" *\d+/\d+ +[a-z_]+ .* rows  ", line)]
    assert len(steps) == len(needed_by(None))
    assert [line for line in steps if "unchanged" not in line] == []
    assert project.rows() == before
    assert project.sql("select count(*) from generations where not cached").item() == calls


def test_a_forced_run_makes_the_same_bytes_without_a_model_call(project: Project) -> None:
    """Determinism, and the response store as the record of truth."""
    before, calls = project.rows(), project.sql("select count(*) from generations where not cached").item()
    project.infinity("run", "--force")
    assert project.rows() == before
    assert project.sql("select count(*) from generations where not cached").item() == calls
