"""Tests of the joining of batches of requests with their answers."""

import json
from pathlib import Path

import pytest

from infinity_assets.reading.preview import preview
from infinity_assets.reading.sources import Source
from infinity_assets_tests.reading.in_memory import Frames, read

QUESTIONS = {"1": "What is tin?", "2": "What is lead?", "3": "What is zinc?"}
ANSWERS = {"2": "A soft metal.", "1": "A silvery metal."}
"""Answers in an order of their own; the third request has none."""


def openai(name: str) -> tuple[dict, dict]:
    body = {"model": "m", "messages": [{"role": "user", "content": QUESTIONS[name]}]}
    message = {"role": "assistant", "content": ANSWERS.get(name), "refusal": None}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"total_tokens": 9}}
    request = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return request, {"id": "b", "custom_id": name, "response": {"status_code": 200, "body": answer}, "error": None}


def anthropic(name: str) -> tuple[dict, dict]:
    params = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": QUESTIONS[name]}]}
    content = [{"type": "text", "text": ANSWERS.get(name)}]
    message = {"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}
    return {"custom_id": name, "params": params}, {
        "custom_id": name,
        "result": {"type": "succeeded", "message": message},
    }


def gemini(name: str) -> tuple[dict, dict]:
    contents = [{"role": "user", "parts": [{"text": QUESTIONS[name]}]}]
    answer = {"content": {"role": "model", "parts": [{"text": ANSWERS.get(name)}]}, "finishReason": "STOP"}
    return {"key": name, "request": {"contents": contents}}, {"key": name, "response": {"candidates": [answer]}}


def write(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def rows(frames: Frames) -> list[list[str]]:
    return [[turn["content"] for turn in row] for row in frames.rows["messages"].to_list()]


@pytest.mark.parametrize("service", [openai, anthropic, gemini])
@pytest.mark.parametrize("names", [("requests", "results"), ("z", "a")])
def test_answers_are_joined_with_their_requests(service, names: tuple[str, str], tmp_path: Path) -> None:
    write(tmp_path / f"{names[0]}.jsonl", [service(name)[0] for name in QUESTIONS])
    write(tmp_path / f"{names[1]}.jsonl", [service(name)[1] for name in ANSWERS])
    frames = read(Source(name="s", path=tmp_path))
    assert sorted(map(str, rows(frames))) == sorted(
        map(str, [[QUESTIONS["2"], ANSWERS["2"]], [QUESTIONS["1"], ANSWERS["1"]], [QUESTIONS["3"]]])
    )
    assert frames.decisions["reason"].to_list() == ["answered_in_another_file"] * 2
    assert frames.records == 5 == preview(Source(name="s", path=tmp_path)).records
    assert preview(Source(name="s", path=tmp_path)).rows == 3


def test_an_answer_belongs_to_the_request_of_its_own_folder(tmp_path: Path) -> None:
    for folder, name in (("a", "1"), ("b", "2")):
        request, result = openai(name)
        write(tmp_path / folder / "in.jsonl", [{**request, "custom_id": "x"}])
        write(tmp_path / folder / "out.jsonl", [{**result, "custom_id": "x"}])
    assert rows(read(Source(name="s", path=tmp_path))) == [[QUESTIONS[name], ANSWERS[name]] for name in ("1", "2")]


def test_an_answer_without_its_request_is_dropped(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl", [openai("1")[1]])
    frames = read(Source(name="s", path=tmp_path))
    assert frames.decisions["reason"].to_list() == ["unmatched_answer"]
    assert "no request in the files of this folder has the id 1" in frames.decisions["detail"][0]


def test_an_answer_that_may_belong_to_either_of_two_requests_is_dropped(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [openai("1")[0], {**openai("2")[0], "custom_id": "1"}])
    write(tmp_path / "out.jsonl", [openai("1")[1]])
    frames = read(Source(name="s", path=tmp_path))
    assert rows(frames) == [[QUESTIONS["1"]], [QUESTIONS["2"]]]
    assert frames.decisions["reason"].to_list() == ["unmatched_answer"]


@pytest.mark.parametrize(
    "result",
    [
        {"custom_id": "1", "response": None, "error": {"code": "batch_expired"}},
        {"custom_id": "1", "response": {"status_code": 429, "body": {"error": "batch_expired"}}, "error": None},
        {"custom_id": "1", "result": {"type": "errored", "error": {"code": "batch_expired"}}},
    ],
)
def test_a_failed_request_stays_without_an_answer(result: dict, tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [openai("1")[0]])
    write(tmp_path / "out.jsonl", [result])
    frames = read(Source(name="s", path=tmp_path))
    assert rows(frames) == [[QUESTIONS["1"]]]
    assert frames.decisions["reason"].to_list() == ["failed_request"]
    assert "batch_expired" in frames.decisions["detail"][0]


def test_a_damaged_line_is_dropped_and_the_others_are_joined(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [openai(name)[0] for name in ANSWERS])
    lines = [json.dumps(openai(name)[1]) for name in ANSWERS]
    (tmp_path / "out.jsonl").write_text("\n".join([lines[0], lines[1][:60]]))
    frames = read(Source(name="s", path=tmp_path))
    assert rows(frames) == [[QUESTIONS["1"]], [QUESTIONS["2"], ANSWERS["2"]]]
    assert frames.records == 4
