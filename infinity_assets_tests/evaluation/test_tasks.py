"""Tasks read from folders in published formats, and from the real benchmarks if they are beside the repository."""

import json
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from infinity_assets import sandbox
from infinity_assets.evaluation.answers import Expected, is_right
from infinity_assets.evaluation.tasks import build_program, explain_unusable, extract_code, read_tasks, sample_tasks
from infinity_assets.reading.benchmarks import read_benchmark
from infinity_assets.settings.foundation import Limits

PROMPT = 'from typing import List\n\n\ndef twice(numbers: List[int]) -> List[int]:\n    """ Return each number, doubled.\n    """\n'
HUMANEVAL = {
    "task_id": "Own/0",
    "prompt": PROMPT,
    "entry_point": "twice",
    "canonical_solution": "    return [2 * number for number in numbers]\n",
    "test": "\n\ndef check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n    assert candidate([]) == []\n",
}
MBPP = {
    "text": "Write a function to add one.",
    "code": "def more(n):\n    return n + 1",
    "task_id": 1,
    "test_setup_code": "",
    "test_list": ["assert more(1) == 2", "assert more(-1) == 0"],
}
RECORDS = {
    "own_eval": [HUMANEVAL],
    "own_mbpp": [MBPP],
    "own_sums": [{"question": "What is 9 + 9?", "answer": "9 + 9 = <<9+9=18>>18\n#### 18"}],
    "own_choice": [
        {"question": "Which is a tree?", "choices": ["a rose", "an oak", "a moss"], "answer": 1},
        {"question": "Which is a bird?", "A": "a crow", "B": "a trout", "C": "a mole", "D": "a bat", "answer": "A"},
        {"input": "Which is red?\nOptions:\n(A) grass\n(B) blood", "target": "(B)"},
        {
            "Question": "Which is wet?",
            "Correct Answer": "rain",
            **{f"Incorrect Answer {n}": word for n, word in enumerate("abc")},
        },
    ],
    "own_talk": [
        {"turns": ["Tell me of bees.", "And of wasps."]},
        {"instruction": "Write a poem.", "output": "Roses are red, and so on."},
    ],
    "own_rules": [
        {"question": "1 + 1?", "answer": "2"},
        {"question": "Why is the sky blue?", "answer": "Because the air scatters blue light."},
    ],
}


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, pl.DataFrame]:
    found = {}
    for name, records in RECORDS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        items = read_benchmark(folder).items
        found[name] = read_tasks(folder, items.with_columns(domain=pl.lit("chat")))
        assert found[name]["item_id"].to_list() == items["item_id"].to_list()
    return found


def test_the_kind_follows_from_the_record(tasks: dict[str, pl.DataFrame]) -> None:
    kinds = {name: frame["kind"].to_list() for name, frame in tasks.items()}
    assert kinds == {
        "own_eval": ["code_execution"],
        "own_mbpp": ["code_execution"],
        "own_sums": ["exact_match"],
        "own_choice": ["multiple_choice"] * 4,
        "own_talk": [None, None],
        "own_rules": ["exact_match", None],
    }


def test_options_have_letters_and_the_right_one_is_known(tasks: dict[str, pl.DataFrame]) -> None:
    trees, birds, red, wet = tasks["own_choice"].iter_rows(named=True)
    assert (trees["expected"], trees["options"]) == ("B", 3)
    assert trees["question"] == "Which is a tree?\n\nA. a rose\nB. an oak\nC. a moss"
    assert (birds["expected"], birds["options"]) == ("A", 4)
    assert (red["expected"], red["options"], red["question"].count("(B)")) == ("B", 2, 1)
    assert f"{wet['expected']}. rain" in wet["question"]


def test_a_benchmark_that_cannot_be_evaluated_is_explained(tasks: dict[str, pl.DataFrame]) -> None:
    reasons = {name: explain_unusable(frame) for name, frame in tasks.items()}
    assert [name for name, why in reasons.items() if why] == ["own_talk"]
    assert reasons["own_talk"] == "no item has an answer that a rule can check"
    most = pl.concat([tasks["own_talk"], tasks["own_rules"]])
    assert explain_unusable(most) == "only 1 of 4 items have an answer that a rule can check"


BODY = "    return [2 * number for number in numbers]"
WHOLE = f"def twice(numbers):\n{BODY}"


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (f"```python\n{PROMPT}{BODY}\n```", True),
        (f"Here it is:\n\n```\n{WHOLE}\n```\nIt doubles. `twice` is good.", True),
        (WHOLE, True),
        (BODY, True),
        (BODY.strip(), True),
        (f"Sure!\n{WHOLE}", True),
        (f"```python\n{WHOLE}", True),
        ("def twice(numbers: List[int]):\n    return numbers", False),
        ("I cannot do that.", False),
        ("", False),
    ],
)
def test_an_answer_to_humaneval_is_run_with_its_tests(tasks: dict, answer: str, passes: bool) -> None:
    task = tasks["own_eval"].row(0, named=True)
    assert (sandbox.run_one(build_program(task, answer), Limits(seconds=1)).status == "passed") is passes


@pytest.mark.parametrize(
    ("answer", "passes"), [("```python\ndef more(n):\n    return n + 1\n```", True), ("def more(n): return n", False)]
)
def test_an_answer_to_mbpp_is_run_with_its_tests(tasks: dict[str, pl.DataFrame], answer: str, passes: bool) -> None:
    task = tasks["own_mbpp"].row(0, named=True)
    assert MBPP["test_list"][0] in task["question"]
    assert (sandbox.run_one(build_program(task, answer), Limits(seconds=1)).status == "passed") is passes


def test_the_first_block_with_a_function_is_the_program() -> None:
    assert extract_code("```\npip install x\n```\nthen\n```py\ndef f(): ...\n```") == "def f(): ..."


def test_a_larger_sample_of_each_benchmark_contains_the_smaller(tasks: dict[str, pl.DataFrame]) -> None:
    everything = pl.concat([tasks[name] for name in ("own_choice", "own_rules", "own_talk")])
    samples = [sample_tasks(everything, size) for size in (0, 1, 2, 100)]
    assert [sample.height for sample in samples] == [0, 2, 3, 5]
    for smaller, larger in pairwise(samples):
        assert set(smaller["item_id"]) <= set(larger["item_id"])
    assert sample_tasks(everything.reverse(), 2).equals(samples[2])


SHARED = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the real benchmarks are in shared/data beside a clone of the repository"
)
class TestReal:
    KINDS = {
        **dict.fromkeys(("gsm8k_test", "math_test"), ("exact_match",)),
        **dict.fromkeys(("humaneval", "mbpp"), ("code_execution",)),
        "bbh": ("exact_match", "multiple_choice", None),
        **dict.fromkeys(("alpaca_eval", "arena_hard", "ifeval", "mt_bench", "vicuna_bench", "sft_testsets"), ()),
    }
    """Kinds of the items by benchmark; empty if it cannot be evaluated."""

    @pytest.mark.parametrize("name", KINDS)
    def test_real_benchmarks_have_their_kind(self, name: str) -> None:
        tasks = read_tasks(SHARED / name, read_benchmark(SHARED / name).items)
        wanted, kinds = {*self.KINDS[name]}, {*tasks["kind"]}
        assert (explain_unusable(tasks) is None) == bool(wanted)
        assert not wanted or wanted - {None} <= kinds <= wanted

    def test_reference_solutions_pass(self) -> None:
        for name, tried in (("humaneval", 24), ("mbpp", 24)):
            tasks = self.sample_with_answers(name, tried)
            verdicts = sandbox.run([build_program(row, row["answer"]) for row in tasks.iter_rows(named=True)])
            assert [verdict for verdict in verdicts if verdict.status != "passed"] == []

    def test_reference_answers_are_right(self) -> None:
        for name in ("gsm8k_test", "math_test"):
            for row in self.sample_with_answers(name, 500).iter_rows(named=True):
                assert is_right(row["answer"], Expected(row["form"], row["expected"]))

    def sample_with_answers(self, name: str, size: int) -> pl.DataFrame:
        items = read_benchmark(SHARED / name).items
        return sample_tasks(read_tasks(SHARED / name, items), size).join(
            items.select("item_id", "answer"), on="item_id"
        )
