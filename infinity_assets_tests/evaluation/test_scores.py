"""Scores: own results, results of lm-evaluation-harness, and the reference."""

import json
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.evaluation.scores import SCORE, count_results, list_references, match_name, read_lm_eval
from infinity_assets.evaluation.tasks import TASK
from infinity_assets.settings.foundation import Loop


@given(verdicts=st.lists(st.none() | st.booleans(), min_size=1, max_size=30))
def test_a_score_is_the_share_of_right_answers_without_failed_calls(verdicts: list) -> None:
    ids = [f"b#{number}" for number in range(len(verdicts))]
    tasks = pl.DataFrame({"item_id": ids, "benchmark": "b", "domain": "math", "kind": "exact_match"})
    tasks = pl.concat([pl.DataFrame(schema=TASK), tasks], how="diagonal")
    lines = [(item, right, "timeout" if right is None else None) for item, right in zip(ids, verdicts, strict=True)]
    schema = {"item_id": pl.String, "right": pl.Boolean, "error": pl.String}
    verdict_table = pl.DataFrame(lines, schema=schema, orient="row")
    (line,) = count_results("m", "tested", tasks, verdict_table).iter_rows(named=True)
    answered = [right for right in verdicts if right is not None]
    assert (line["items"], line["answered"]) == (len(verdicts), len(answered))
    assert (line["score"] is None) == (not answered)
    if answered:
        assert line["score"] == pytest.approx(sum(answered) / len(answered))
    assert (line["stderr"] is None) == (len(answered) < 2)
    if len(answered) > 1:
        mean = sum(answered) / len(answered)
        spread = math.sqrt(sum((right - mean) ** 2 for right in answered) / (len(answered) - 1))
        assert line["stderr"] == pytest.approx(spread / math.sqrt(len(answered)), abs=1e-12)
    failed = len(verdicts) - len(answered)
    assert line["error"] == (f"timeout: {failed} of {len(verdicts)}" if failed else None)


@pytest.mark.parametrize(
    ("benchmark", "name"),
    [
        ("gsm8k", "gsm8k"), ("gsm8k_test", "gsm8k"), ("GSM8K-main", "gsm8k"), ("gsm8k_cot_zeroshot", "gsm8k"),
        ("math_test", "math"), ("hendrycks_math", "math"), ("ceval-valid", "ceval"), ("mbpp", "mbpp"),
        ("little_math", None), ("math_word_problems", None),
        ("mmlu_pro", None), ("arc", None),
    ],
)  # fmt: skip
def test_a_benchmark_matches_the_name_of_its_reference(benchmark: str, name: str | None) -> None:
    assert match_name(benchmark, Loop().reference) == name


def write_result(path: Path, model: str, date: float, results: dict, **more) -> None:
    config = {"model": "hf", "model_args": f"pretrained={model},dtype=bfloat16"}
    output = {"results": results, "config": config, "date": date, **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(output))


GSM = {
    "alias": "gsm8k", "exact_match,strict-match": 0.35, "exact_match_stderr,strict-match": 0.0131,
    "exact_match,flexible-extract": 0.4, "exact_match_stderr,flexible-extract": 0.0135,
}  # fmt: skip
MMLU = {"acc,none": 0.6, "acc_stderr,none": 0.004, "alias": "mmlu"}


def test_results_of_lm_evaluation_harness_are_read(tmp_path: Path) -> None:
    old = {"gsm8k": {**GSM, "exact_match,strict-match": 0.2}}
    write_result(tmp_path / "a" / "results_2026-01-01.json", "mine-1", 1.0, old)
    new = {
        "gsm8k": GSM,
        "mmlu": MMLU,
        "mmlu_anatomy": {"acc,none": 0.5, "acc_stderr,none": 0.04},
        "humaneval": {"pass@1,create_test": 0.25, "pass@1_stderr,create_test": "N/A"},
        "wikitext": {"word_perplexity,none": 12.0},
        "winogrande": {"acc,none": 0.7},
    }
    samples = {"n-samples": {"gsm8k": {"original": 1319, "effective": 1319}}}
    write_result(tmp_path / "a" / "results_2026-01-02.json", "mine-2", 2.0, new, **samples)
    found = read_lm_eval(tmp_path, Loop().task_domains)
    assert found.schema == SCORE
    by = {(row["model"], row["benchmark"]): row for row in found.iter_rows(named=True)}
    gsm, code = by["mine-2", "gsm8k"], by["mine-2", "humaneval"]
    shown = [gsm[name] for name in ("score", "stderr", "domain", "items", "role")]
    assert shown == [0.35, 0.0131, "math", 1319, "tested"]
    assert (code["score"], code["stderr"], code["domain"]) == (0.25, None, "code")
    assert (by["mine-2", "mmlu"]["score"], by["mine-2", "mmlu"]["kind"]) == (0.6, "acc,none")
    assert ("mine-2", "mmlu_anatomy") not in by, "part of mmlu"
    assert (by["mine-2", "winogrande"]["score"], "task_domains" in by["mine-2", "winogrande"]["error"]) == (None, True)
    assert "accuracy" in by["mine-2", "wikitext"]["error"]
    assert (by["mine-1", "gsm8k"]["score"], by["mine-1", "gsm8k"]["role"]) == (0.2, "other")
    beside = list_references(found, "GPT-3.5", Loop().reference)
    assert dict(beside.select("benchmark", "score").rows()) == {"gsm8k": 0.571, "humaneval": 0.481, "mmlu": 0.7}


def test_the_later_of_two_results_counts(tmp_path: Path) -> None:
    write_result(tmp_path / "results_b.json", "m", 1.0, {"mmlu": {"acc,none": 0.1}})
    write_result(tmp_path / "results_a.json", "m", 2.0, {"mmlu": MMLU})
    assert read_lm_eval(tmp_path, Loop().task_domains)["score"].to_list() == [0.6]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.7, -0.1])
def test_a_number_outside_0_to_1_is_not_a_score(tmp_path: Path, value: float) -> None:
    write_result(tmp_path / "results_a.json", "m", 1.0, {"mmlu": {"acc,none": value, "acc_stderr,none": "N/A"}})
    line = read_lm_eval(tmp_path, {"mmlu": "knowledge"}).row(0, named=True)
    assert line["score"] is None
    assert "from 0 to 1" in line["error"]


@pytest.mark.parametrize("text", ["[]", "{}", "no json", '{"results": 3}'])
def test_a_file_without_results_raises(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InfinityError, match="not an output of lm-evaluation-harness"):
        read_lm_eval(tmp_path, {})
    with pytest.raises(InfinityError, match=r"no results_\*.json"):
        read_lm_eval(tmp_path / "nowhere", {})
