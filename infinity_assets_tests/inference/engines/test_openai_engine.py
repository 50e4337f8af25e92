"""The OpenAI engine against a small test server that misbehaves like real servers."""

import base64
import json
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import pytest

from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.openai_engine import OpenAIEngine
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask
from infinity_assets_tests.inference.engines.servers import Reply, Server, completion, echo

SECRET = "sk-very/secret+key-0123456789abcdefghij"


@pytest.fixture
def serve(monkeypatch):
    """Function that starts a server with a reply function, and an engine with three attempts for it."""
    monkeypatch.setenv("TEST_KEY", SECRET)
    open_things: list = []

    def start(reply, **spec):
        server = Server(reply)
        engine = OpenAIEngine(
            ModelSpec(backend="openai", model="m", base_url=server.url, api_key_env="TEST_KEY", **spec), attempts=3
        )
        open_things.extend([engine, server])
        return engine, server

    yield start
    for thing in open_things:
        thing.close()


def run(engine, requests):
    return dict(engine.run(requests))


def test_every_request_gets_its_own_answer(serve):
    engine, server = serve(echo, concurrency=4)
    responses = run(engine, [ask(f"r{number}", seed=number) for number in range(30)])
    assert [responses[number].text for number in range(30)] == [f"question r{number}" for number in range(30)]
    assert (responses[0].prompt_tokens, responses[0].completion_tokens) == (5, 2)
    assert set(server.headers) == {f"Bearer {SECRET}"}
    assert sorted(body["seed"] for _, body in server.seen) == list(range(30))


def test_a_server_that_fails_gives_a_retriable_error_for_that_request_only(serve):
    def reply(path, body, number):
        return (500, {"error": "boom"}) if "bad" in body["messages"][-1]["content"] else echo(path, body, number)

    engine, _ = serve(reply)
    responses = run(engine, [ask("good"), ask("bad"), ask("fine")])
    assert [responses[position].error for position in range(3)] == [None, "engine_error", None]
    assert "boom" in (responses[1].cause or "")


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        '{"choices": [{"message": {"content": "half',
        '{"choices": [{"message": {"content": 1}}]}',
        '{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}',
        "<html>gateway</html>",
        "{}",
        '{"choices": []}',
        '{"choices": [{"message": null}]}',
        "[1, 2]",
        '"text"',
    ],
)
def test_a_call_is_repeated_after_garbage_and_then_fails(serve, garbage):
    engine, server = serve(lambda path, body, number: (200, garbage) if number < 3 else echo(path, body, number))
    assert run(engine, [ask("a")])[0].text == "question a"
    engine, server = serve(lambda *_: (200, garbage))
    assert run(engine, [ask("a")])[0].error == "bad_reply"
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((401, {"error": {"message": f"no, not with {SECRET}"}}), "TEST_KEY"),
        ((403, {"error": {"message": f"no, not with {SECRET}"}}), "TEST_KEY"),
        ((404, {"error": {"message": "unknown model"}}), "does not exist"),
        ((402, "no credit"), "payment"),
        ((429, {"error": {"code": "insufficient_quota"}}), "payment"),
    ],
)
def test_a_refused_key_an_unknown_model_or_a_lack_of_credit_ends_the_run(serve, reply, says):
    engine, _ = serve(lambda *_: reply)
    with pytest.raises(EngineUnavailable, match=says):
        run(engine, [ask(f"r{number}") for number in range(50)])


SPELLINGS = {
    "as it is": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {SECRET}".encode()).decode(),
    "in a URL": quote(SECRET, safe=""),
    "masked": f"{SECRET[:7]}********{SECRET[-4:]}",
    "cut off": SECRET[:20],
}
PARTS = [SECRET[start : start + 8] for start in range(len(SECRET) - 7)]


def shown_by(error: BaseException | None) -> str:
    """Return everything that an exception can show: its whole chain, even if suppressed, with all attributes."""
    shown, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        shown += [repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        shown += [repr(getattr(vars(error).get(name), "headers", "")) for name in ("_request", "request", "response")]
        error = error.__cause__ or error.__context__
    return " ".join(shown)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_the_key_is_never_shown(serve, status, spelling, caplog):
    """The server quotes it in the body of an error, in garbage, and in a header of the reply."""
    caplog.set_level("DEBUG")
    engine, _ = serve(
        lambda *_: (status, {"error": {"message": f"the key {spelling} is no good"}}, {"x-key": spelling})
    )
    engine._attempts = 1
    try:
        shown = repr(run(engine, [ask("a")]))
    except EngineUnavailable as error:
        shown = shown_by(error)
    shown += " ".join([repr(engine), repr(vars(engine)), repr(engine.spec), engine.spec.model_dump_json(), caplog.text])
    assert "no good" in shown
    assert spelling not in shown
    assert not any(part in shown for part in PARTS)


def test_an_answer_does_not_hold_the_key(serve):
    engine, _ = serve(lambda *_: completion(f"your headers: Bearer {SECRET}, {quote(SECRET, safe='')}"))
    assert run(engine, [ask("a")])[0].text == "your headers: Bearer ***, ***"


def test_a_short_key_stays_in_answers(serve, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "EMPTY")
    engine, server = serve(lambda *_: completion("The list is EMPTY."))
    assert run(engine, [ask("a")])[0].text == "The list is EMPTY."
    assert server.headers == ["Bearer EMPTY"]


def test_connection_errors_name_the_server_and_not_the_key(serve):
    breaking, _ = serve(lambda *_: Reply(fate="reset"))
    unreachable = OpenAIEngine(breaking.spec.model_copy(update={"base_url": "http://127.0.0.1:9/v1"}), attempts=1)
    for engine in (breaking, unreachable):
        response = run(engine, [ask("a")])[0]
        assert response.error == "connection"
        assert engine.spec.base_url in (response.cause or "")
        assert SECRET not in repr(response)
    unreachable.close()


def test_the_key_of_openai_is_not_sent_to_another_server(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.delenv("TEST_KEY")
    engine, server = serve(echo)
    run(engine, [ask("a")])
    assert server.headers == [None]


YES_NO = [{"token": token, "logprob": logprob} for token, logprob in (("yes", -1.0), ("no", -2.0), ("maybe", -0.1))]
SCHEMA = {"type": "object"}


def tokenizer(body: dict) -> Reply:
    """Tokenize a text into its characters, after a header of one token."""
    if "prompt" in body:
        return Reply(200, {"tokens": [ord(letter) for letter in body["prompt"]]})
    text = "".join(turn["content"] for turn in body["messages"])
    return Reply(200, {"tokens": [ord(letter) for letter in text] + [0] * body["add_generation_prompt"]})


def test_a_schema_is_sent_in_the_strictest_form_that_the_server_accepts(serve):
    def reply(path, body, number):
        form = body["response_format"]["type"]
        refused = {"error": {"message": f"response_format of type {form} is unavailable"}}
        return (400, refused) if form == "json_schema" else completion("{}")

    engine, server = serve(reply, concurrency=1)
    responses = run(engine, [ask("a", schema=SCHEMA), ask("b", schema=SCHEMA)])
    assert [responses[n].text for n in range(2)] == ["{}", "{}"]
    asked = [body["response_format"] for _, body in server.seen]
    assert asked[0] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert [form["type"] for form in asked] == ["json_schema", "json_schema", "json_object", "json_object"]


def test_choices_by_first_tokens(serve):
    """The server answers like a current `vllm serve`: one token, and the requested log-probabilities."""

    def reply(path, body, number):
        if path == "/tokenize":
            return tokenizer(body)
        assert (body["max_tokens"], body["logprob_token_ids"]) == (1, [ord("n"), ord("y"), ord("u")])
        top = [
            {"token": f"token_id:{ord(letter)}", "logprob": logprob}
            for letter, logprob in (("y", -1.0), ("n", -2.0), ("u", -9.0))
        ]
        return completion("zebra", {"content": [{"token": "token_id:7", "logprob": -0.1, "top_logprobs": top}]})

    engine, _ = serve(reply)
    response = run(engine, [ask("a", choices=("no", "yes", "unsure"))])[0]
    assert (response.text, response.finish_reason) == ("yes", "stop")
    assert response.choice_logprobs == pytest.approx((-1.3135, -0.3135, -8.3135), abs=1e-3)


@pytest.mark.parametrize("older", [True, False], ids=["an older vllm serve", "choices that share a first token"])
def test_choices_under_a_grammar(serve, older):
    def reply(path, body, number):
        if path == "/tokenize":
            return tokenizer(body)
        if "structured_outputs" not in body:
            return completion("zebra", {"content": [{"token": "zebra", "logprob": -1.0, "top_logprobs": YES_NO}]})
        assert body["structured_outputs"] == {"choice": list(choices)}
        return completion("yes", {"content": [{"token": "yes", "logprob": -1.0, "top_logprobs": YES_NO}]})

    choices = ("no", "yes", "unsure") if older else ("no", "yes", "yes, but")
    engine, _ = serve(reply)
    response = run(engine, [ask("a", choices=choices)])[0]
    assert response.text == "yes"
    assert response.choice_logprobs == (pytest.approx((-1.3133, -0.3133, float("-inf")), abs=1e-3) if older else None)


@pytest.mark.parametrize("how", ["refused", "ignored", "forbidden"])
def test_choices_by_a_schema_if_the_server_has_no_extensions(serve, how):
    """OpenAI reports an unknown field, Mistral a forbidden one, Ollama ignores it; they all lack /tokenize."""

    def reply(path, body, number):
        if path == "/tokenize":
            return 404, {"error": "not found"}
        if "structured_outputs" in body:
            refusals = {
                "refused": (400, {"error": {"message": "Unrecognized request argument supplied: structured_outputs"}}),
                "forbidden": (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "structured_outputs"]}]}),
            }
            return refusals.get(how) or completion("I would say: yes!")
        assert body["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"] == ["no", "yes"]
        tokens = [('{"', []), ("choice", []), ('":', []), (' "', []), ("yes", YES_NO), ('"}', [])]
        content = [{"token": token, "logprob": -1.0, "top_logprobs": top} for token, top in tokens]
        return completion('{"choice": "yes"}', {"content": content})

    engine, server = serve(reply, concurrency=1)
    responses = run(engine, [ask(f"r{n}", choices=("no", "yes")) for n in range(3)])
    assert [responses[n].text for n in range(3)] == ["yes"] * 3
    assert responses[0].choice_logprobs == pytest.approx((-1.3133, -0.3133), abs=1e-3)
    assert Counter(path for path, _ in server.seen)["/tokenize"] == 2
    assert sum("structured_outputs" in body for _, body in server.seen) == 1


def test_rejected_optional_fields_are_left_out(serve):
    def reply(path, body, number):
        for field in ("seed", "max_tokens"):
            if field in body:
                return 400, {"error": {"message": f"Unsupported parameter: '{field}' is not supported."}}
        assert body["max_completion_tokens"] == 256
        return echo(path, body, number)

    engine, server = serve(reply, concurrency=1)
    responses = run(engine, [ask("a", seed=1), ask("b", seed=2)])
    assert [responses[n].text for n in range(2)] == ["question a", "question b"]
    assert len(server.seen) == 4


REFUSALS = {
    "by the model": (completion(None, refusal="I cannot help with that."), "refused"),
    "by a filter, midway": (completion("It is", finish_reason="content_filter"), "refused"),
    "by Azure's filter": ((400, {"error": {"code": "content_filter"}}), "refused"),
    "by a moderator": ((403, {"error": {"message": "flagged", "metadata": {"reasons": ["moderation"]}}}), "refused"),
    "for its length": ((400, {"error": {"message": "maximum context length is 2048 tokens"}}), "prompt_too_long"),
    "for its schema": ((400, {"error": {"message": "invalid schema"}}), "invalid_request"),
}


@pytest.mark.parametrize(("refusal", "error"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_final(serve, refusal, error):
    engine, server = serve(lambda *_: refusal)
    response = run(engine, [ask("a")])[0]
    assert (response.error, response.window) == (error, 2048 if error == "prompt_too_long" else None)
    assert response.cause
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((429, {"error": "slow down"}), "rate_limited"),
        ((503, "upstream"), "engine_error"),
        ((504, "upstream"), "timeout"),
        (Reply(fate="reset"), "connection"),
        (Reply(fate="stall"), "timeout"),
        ((200, {"error": {"code": 502, "message": "the provider is gone"}}), "engine_error"),
        ((200, {"error": {"code": 429, "message": "the provider is busy"}}), "rate_limited"),
        ((302, "", {"location": "http://elsewhere"}), "bad_reply"),
    ],
)
def test_transient_errors_have_classes(serve, reply, error):
    engine, server = serve(lambda *_: reply, timeout=0.3)
    assert run(engine, [ask("a")])[0].error == error
    assert len(server.seen) >= 2


@pytest.mark.parametrize(("headers", "seconds"), [({"retry-after": "1"}, 1.0), ({"retry-after-ms": "300"}, 0.3)])
def test_retry_after_is_honored(serve, headers, seconds):
    engine, server = serve(lambda *call: (429, "", headers) if call[2] == 1 else echo(*call))
    began = time.monotonic()
    assert run(engine, [ask("a")])[0].text == "question a"
    assert seconds <= time.monotonic() - began < seconds + 2
    assert len(server.seen) == 2


def test_a_long_retry_after_ends_the_attempts(serve):
    engine, server = serve(lambda *_: (429, "", {"retry-after": "86400"}))
    assert run(engine, [ask("a")])[0].error == "rate_limited"
    assert len(server.seen) == 1


STALL, FAIL = Reply(fate="stall"), Reply(500, "")


def play(scripts: dict[str, list[Reply | None]]) -> tuple[Callable[..., Reply], Counter[str]]:
    """Return a reply function and its counter of calls; it takes the n-th reply of a question's script, or echoes."""
    asked: Counter[str] = Counter()

    def reply(path, body, number):
        name = body["messages"][-1]["content"].removeprefix("question ")
        asked[name] += 1
        following = dict(enumerate(scripts.get(name, []), start=1)).get(asked[name])
        return following or Reply(*echo(path, body, number), after=0.01)

    return reply, asked


@pytest.mark.parametrize(
    ("script", "late_after", "seconds"),
    [
        ([STALL], None, 20),  # instead of 60
        ([STALL, FAIL, FAIL], 2.0, 6),  # the parallel call may fail, and is repeated after a pause, not after 2 + 4 + 4
        ([Reply(*completion("question r30"), after=1.0), STALL, STALL], 0.3, 20),  # a slow answer is kept
    ],
    ids=["stalled", "stalled and failing", "slow"],
)
def test_a_late_call_is_repeated_and_answered_once(serve, script, late_after, seconds):
    reply, asked = play({"r30": script})
    engine, server = serve(reply, concurrency=8, timeout=60)
    engine._attempts = 10
    if late_after:
        engine._pace.late_after = lambda weight: late_after
    began = time.monotonic()
    answers = list(engine.run([ask(f"r{n}") for n in range(60)]))
    assert time.monotonic() - began < seconds
    assert sorted(position for position, _ in answers) == list(range(60))
    assert all(response.text == f"question r{position}" for position, response in answers)
    assert asked["r30"] >= min(2, len(script))
    end = time.monotonic() + 10
    while server.at_once and time.monotonic() < end:  # other calls are cancelled and their places released
        time.sleep(0.01)
    assert server.at_once == engine._limit.in_flight == 0


def test_stalled_calls_are_repeated_even_after_the_ration_is_used_up(serve):
    engine, _ = serve(play({f"r{n}": [STALL] for n in range(1, 12)})[0], concurrency=16, timeout=60)
    engine._pace.late_after = lambda weight: 0.2
    began = time.monotonic()
    answers = dict(engine.run([ask(f"r{n}") for n in range(12)]))
    assert time.monotonic() - began < 30
    assert all(response.error is None for response in answers.values())


def test_calls_in_flight_stay_within_the_setting_and_the_servers_capacity(serve):
    """With a server that accepts ten calls at once, nearly all of its capacity is used and few calls are rejected."""
    turned_away = []

    def reply(path, body, number):
        if server.at_once > 10:
            turned_away.append(number)
            return Reply(429, "busy")
        return Reply(*echo(path, body, number), after=0.02)

    engine, server = serve(reply, concurrency=64)
    engine._attempts = 20
    responses = run(engine, [ask(f"r{n}") for n in range(600)])
    assert all(response.error is None for response in responses.values())
    assert server.most_at_once <= 64
    assert len(turned_away) < 600
    engine, server = serve(lambda *request: Reply(*echo(*request), after=0.01), concurrency=3)
    run(engine, [ask(f"r{n}") for n in range(30)])
    assert server.most_at_once == 3


def test_requests_per_minute_are_limited(serve):
    engine, server = serve(echo, requests_per_minute=1200)
    began = time.monotonic()
    run(engine, [ask(f"r{n}") for n in range(30)])
    assert time.monotonic() - began >= 1.3
    assert len(server.seen) == 30


def test_tokens_per_minute_count_the_reported_usage(serve):
    """Every call may write 256 tokens but writes two; the limit counts written tokens."""
    engine, _ = serve(echo, tokens_per_minute=60_000)
    began = time.monotonic()
    run(engine, [ask(f"r{n}") for n in range(100)])
    assert time.monotonic() - began < 10  # it would be 26 if all allowed tokens counted


def test_only_admitted_requests_are_submitted(serve):
    engine, server = serve(lambda *request: Reply(*echo(*request), after=0.01), concurrency=4)
    asked: list[tuple[int, int]] = []

    def admit(prompt_tokens: int, max_tokens: int) -> bool:
        asked.append((prompt_tokens, max_tokens))
        return len(asked) <= 10

    answers = dict(engine.run([ask(f"r{n}", "word " * 20) for n in range(40)], admit))
    assert sorted(answers) == list(range(10))
    assert len(asked) == 11
    assert set(asked) == {(26, 256)}
    assert len(server.seen) == 10


def test_retries_are_not_admitted_again(serve):
    engine, _ = serve(lambda path, body, number: (500, "") if number % 2 else echo(path, body, number))
    asked = []
    run_with = dict(engine.run([ask(f"r{n}") for n in range(5)], lambda *sizes: asked.append(sizes) is None))
    assert len(run_with) == len(asked) == 5


def test_a_text_is_continued_without_changes(serve):
    """There is no chat template and no additional special token, which `vllm serve` would add by default."""

    def reply(path, body, number):
        assert path == "/v1/completions"
        choice = {"index": 0, "text": body["prompt"].upper(), "finish_reason": "stop", "logprobs": None}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}

    engine, server = serve(reply)
    sampling = Sampling(temperature=0.0, max_tokens=9)
    request = CompleteRequest("r", "p", "h", "<s> <CON> tea </CON>", sampling, stop=("</s>", "<CON>"), seed=4)
    response = run(engine, [request])[0]
    assert (response.text, response.finish_reason, response.prompt_tokens) == ("<S> <CON> TEA </CON>", "stop", 5)
    expected = {"prompt": request.text, "max_tokens": 9, "temperature": 0.0, "stop": ["</s>", "<CON>"], "seed": 4}
    expected |= {"add_special_tokens": False, "skip_special_tokens": False}
    assert server.seen[0][1].items() >= expected.items()


def vllm_serve(path: str, body: dict, number: int) -> Reply:
    """Reply like `vllm serve`, with a log-probability of -1 per token."""
    if path == "/tokenize":
        return tokenizer(body)
    assert path == "/v1/completions"
    logprobs = [None] + [{str(token): {"logprob": -1.0, "rank": 1}} for token in body["prompt"][1:]]
    return Reply(200, {"choices": [{"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": logprobs}]})


def test_scores_sum_the_log_probabilities_of_the_answer(serve):
    engine, server = serve(vllm_serve, max_model_len=12)
    context = ({"role": "user", "content": "why?"},)
    long = ({"role": "user", "content": "q" * 20},)
    asked = [("answer", context), ("answer", ()), ("long answer", context), ("x", long)]
    responses = run(engine, [ScoreRequest("r", "ifd", turns, answer) for answer, turns in asked])
    assert [(responses[n].sum_logprob, responses[n].answer_tokens) for n in range(3)] == [(-6.0, 6)] * 3
    assert [responses[n].finish_reason for n in range(3)] == ["scored", "scored", "cut"]
    assert responses[3].error == "prompt_too_long"
    assert sorted(len(body["prompt"]) for path, body in server.seen if path == "/v1/completions") == [7, 11, 11]


def test_scores_need_an_endpoint_for_tokens(serve):
    engine, _ = serve(
        lambda path, body, number: (404, {"error": "not found"}) if path == "/tokenize" else echo(path, body, number)
    )
    with pytest.raises(EngineUnavailable, match=r"does not exist.*/tokenize"):
        run(engine, [ScoreRequest("r", "ifd", (), "answer")])


def test_a_caller_that_stops_listening_leaves_a_usable_engine(serve):
    engine, _ = serve(echo, concurrency=2)
    running = engine.run([ask(f"r{number}") for number in range(20)])
    next(running)
    running.close()
    assert run(engine, [ask("a")])[0].text == "question a"


def test_a_text_with_invalid_unicode_fails_alone(serve):
    engine, _ = serve(echo)
    responses = run(engine, [ask("a", "half a pair: \ud83d"), ask("b")])
    assert [responses[n].error for n in range(2)] == ["invalid_request", None]


ODD = {
    "typed parts": ({"content": [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]}, {}),
    "a tool call": (
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "fine"}}]},
        {},
    ),
    "thoughts beside the answer": ({"content": "fine", "reasoning_content": "hm"}, {}),
    "numbers of tokens as floats": ({"content": "fine"}, {"usage": {"prompt_tokens": 5.0, "completion_tokens": 2.0}}),
    "no usage": ({"content": "fine"}, {"usage": None}),
    "a zero byte": ({"content": "fi\0ne"}, {}),
}


@pytest.mark.parametrize(("message", "changes"), ODD.values(), ids=ODD)
def test_answers_in_odd_replies_are_used(serve, message, changes):
    def reply(path, body, number):
        status, content = completion(None)
        content["choices"][0]["message"] |= message
        return status, {**content, **changes}

    engine, _ = serve(reply)
    response = run(engine, [ask("r")])[0]
    assert (response.text, response.error) == ("fine", None)
    assert response.reasoning == message.get("reasoning_content")


def test_half_of_a_surrogate_pair_is_replaced(serve):
    text = json.dumps(completion("bad \ud83d half")[1])
    assert run(serve(lambda path, body, number: (200, text))[0], [ask("r")])[0].text == "bad \ufffd half"


def test_a_model_without_system_prompts_gets_it_with_the_first_request(serve):
    def reply(path, body, number):
        if body["messages"][0]["role"] == "system":
            return 400, {"error": {"message": "System role not supported"}}
        return completion(body["messages"][0]["content"])

    engine, _ = serve(reply)
    messages = ({"role": "system", "content": "s"}, {"role": "user", "content": "q"})
    responses = run(engine, [replace(ask(f"r{n}"), messages=messages) for n in range(4)])
    assert [responses[n].text for n in range(4)] == ["s\n\nq"] * 4


def test_a_judge_that_thinks_gets_room_for_it_and_its_thoughts_give_no_log_probabilities(serve):
    def reply(path, body, number):
        if path == "/tokenize":
            return 404, {"error": "not found"}
        if "structured_outputs" in body:
            return 400, {"error": {"message": "Unrecognized request argument supplied: structured_outputs"}}
        if body["max_tokens"] < 100:
            return completion("<think>It is: yes or", finish_reason="length")
        logprobs = {
            "content": [
                {"token": token, "logprob": -1.0, "top_logprobs": YES_NO} for token in ("<think>It is:", " yes")
            ]
        }
        return completion('<think>It is: yes or no?</think>```json\n{"choice": "no"}\n```', logprobs)

    engine, _ = serve(reply)
    response = run(engine, [ask("r", choices=("no", "yes"))])[0]
    assert (response.text, response.choice_logprobs, response.error) == ("no", None, None)
