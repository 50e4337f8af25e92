"""The engine against a small server of the test's own, which misbehaves as servers do."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infinity_assets.inference.engine import EngineUnavailable
from infinity_assets.inference.openai_engine import OpenAIEngine
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.model_settings import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask

SECRET = "sk-very-secret"
Reply = tuple[int, dict | str]


class Server:
    """Answers by a function of (path, body, number of the call) and remembers what it saw."""

    def __init__(self, reply: Callable[[str, dict, int], Reply]):
        self.seen: list[tuple[str, dict]] = []
        self.headers: list[str | None] = []
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    server.seen.append((self.path, body))
                    server.headers.append(self.headers["authorization"])
                    number = len(server.seen)
                status, answer = reply(self.path, body, number)
                payload = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                if status == 429:
                    self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                """A client that has gone is part of the tests."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve(monkeypatch):
    """An engine (two retries) on a server that replies by the given function."""
    monkeypatch.setenv("TEST_KEY", SECRET)
    open_things: list = []

    def start(reply, **spec):
        server = Server(reply)
        engine = OpenAIEngine(ModelSpec(backend="openai", model="m", base_url=server.url, api_key_env="TEST_KEY", **spec), attempts=3)
        open_things.extend([engine, server])
        return engine, server

    yield start
    for thing in open_things:
        thing.close()


def completion(text: str, logprobs: dict | None = None) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": logprobs}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return 200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def echo(path: str, body: dict, number: int) -> Reply:
    return completion(body["messages"][-1]["content"])


def run(engine, requests):
    return dict(engine.run(requests))


def test_every_request_gets_its_own_answer(serve):
    engine, server = serve(echo, concurrency=4)
    responses = run(engine, [ask(f"r{number}", seed=number) for number in range(30)])
    assert [responses[number].text for number in range(30)] == [f"question r{number}" for number in range(30)]
    assert (responses[0].prompt_tokens, responses[0].completion_tokens) == (5, 2)
    assert set(server.headers) == {f"Bearer {SECRET}"}
    assert sorted(body["seed"] for _, body in server.seen) == list(range(30))


def test_429_is_waited_for(serve):
    engine, server = serve(lambda path, body, number: (429, {"error": "slow down"}) if number < 3 else echo(path, body, number))
    assert run(engine, [ask("a")])[0].text == "question a"
    assert len(server.seen) == 3


def test_a_server_that_fails_gives_a_retriable_error_for_that_request_only(serve):
    def reply(path, body, number):
        return (500, {"error": "boom"}) if "bad" in body["messages"][-1]["content"] else echo(path, body, number)

    engine, _ = serve(reply)
    responses = run(engine, [ask("good"), ask("bad"), ask("fine")])
    assert [responses[position].error for position in range(3)] == [None, "engine_error", None]
    assert "boom" in (responses[1].cause or "")


@pytest.mark.parametrize(
    "garbage", ["<html>gateway</html>", "{}", '{"choices": []}', '{"choices": [{"message": null}]}', "[1, 2]", '"text"']
)
def test_garbage_is_an_error(serve, garbage):
    engine, _ = serve(lambda *_: (200, garbage))
    assert run(engine, [ask("a")])[0].error == "engine_error"


def test_refusals_are_final(serve):
    def reply(path, body, number):
        long = "long" in body["messages"][-1]["content"]
        message = "This model's maximum context length is 2048 tokens" if long else "invalid schema"
        return 400, {"error": {"message": message}}

    engine, server = serve(reply)
    responses = run(engine, [ask("long"), ask("odd")])
    assert (responses[0].error, responses[0].window) == ("prompt_too_long", 2048)
    assert responses[1].error == "invalid_request"
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_an_unknown_model_ends_the_run(serve, status):
    engine, _ = serve(lambda *_: (status, {"error": {"message": f"no, not with {SECRET}"}}))
    with pytest.raises(EngineUnavailable) as caught:
        run(engine, [ask(f"r{number}") for number in range(50)])
    assert "TEST_KEY" in str(caught.value) or status == 404


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_the_key_is_never_shown(serve, status, caplog):
    caplog.set_level("DEBUG")
    engine, _ = serve(lambda *_: (status, {"error": {"message": f"the key {SECRET} is no good"}}))
    try:
        shown = [repr(run(engine, [ask("a")]))]
    except EngineUnavailable as error:
        shown = [repr(error), repr(error.__cause__), str(error)]
    assert SECRET not in " ".join([*shown, repr(engine), repr(engine.spec), caplog.text])


def test_a_server_that_is_not_there(monkeypatch):
    engine = OpenAIEngine(ModelSpec(backend="openai", base_url="http://127.0.0.1:9/v1"), attempts=1)
    response = run(engine, [ask("a")])[0]
    engine.close()
    assert response.error == "connection"
    assert "127.0.0.1:9" in (response.cause or "")


def test_the_key_of_openai_does_not_go_to_another_server(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.delenv("TEST_KEY")
    engine, server = serve(echo)
    run(engine, [ask("a")])
    assert server.headers == ["Bearer none"]


def test_schemas_and_choices_are_asked_for_as_vllm_serve_reads_them(serve):
    def reply(path, body, number):
        if "structured_outputs" not in body:
            return completion("{}")
        top = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in (("yes", -1.0), ("no", -2.0), ("maybe", -0.1))]
        return completion("yes", {"content": [{"token": "yes", "logprob": -1.0, "bytes": None, "top_logprobs": top}]})

    engine, server = serve(reply, concurrency=1)
    schema = {"type": "object"}
    responses = run(engine, [ask("a", schema=schema), ask("b", choices=("no", "yes", "unsure"))])
    assert server.seen[0][1]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    assert server.seen[1][1]["structured_outputs"] == {"choice": ["no", "yes", "unsure"]}
    assert responses[1].text == "yes"
    assert responses[1].choice_logprobs == pytest.approx((-1.3133, -0.3133, float("-inf")), abs=1e-3)


def test_a_text_is_continued_as_it_stands(serve):
    """No chat template, and no special token that the text does not hold: `vllm serve` would add one."""

    def reply(path, body, number):
        assert path == "/v1/completions"
        choice = {"index": 0, "text": body["prompt"].upper(), "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        return 200, {"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}

    engine, server = serve(reply)
    sampling = Sampling(temperature=0.0, max_tokens=9)
    response = run(engine, [CompleteRequest("r", "p", "h", "<s> <CON> tea </CON>", sampling, stop=("</s>", "<CON>"), seed=4)])[0]
    assert (response.text, response.finish_reason, response.prompt_tokens) == ("<S> <CON> TEA </CON>", "stop", 5)
    body = server.seen[0][1]
    expected = {"prompt": "<s> <CON> tea </CON>", "max_tokens": 9, "temperature": 0.0, "stop": ["</s>", "<CON>"], "seed": 4}
    assert body.items() >= expected.items()
    assert body["add_special_tokens"] is body["skip_special_tokens"] is False


def vllm_serve(path: str, body: dict, number: int) -> Reply:
    """A token per character, a header of one token, and a log-probability of -1 per token."""
    if path == "/tokenize":
        if "prompt" in body:
            return 200, {"tokens": [ord(letter) for letter in body["prompt"]]}
        text = "".join(turn["content"] for turn in body["messages"])
        return 200, {"tokens": [ord(letter) for letter in text] + [0] * body["add_generation_prompt"]}
    assert path == "/v1/completions"
    logprobs = [None] + [{str(token): {"logprob": -1.0, "rank": 1}} for token in body["prompt"][1:]]
    choice = {"index": 0, "text": "x", "finish_reason": "length", "logprobs": None, "prompt_logprobs": logprobs}
    return 200, {"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]}


def test_scores(serve):
    engine, server = serve(vllm_serve, max_model_len=12)
    context = ({"role": "user", "content": "why?"},)
    asked = [("answer", context), ("answer", ()), ("long answer", context), ("x", ({"role": "user", "content": "q" * 20},))]
    responses = run(engine, [ScoreRequest("r", "ifd", turns, answer) for answer, turns in asked])
    assert [(responses[n].sum_logprob, responses[n].answer_tokens, responses[n].finish_reason) for n in range(3)] == [
        (-6.0, 6, "scored"),
        (-6.0, 6, "scored"),
        (-6.0, 6, "cut"),
    ]
    assert responses[3].error == "prompt_too_long"
    assert sorted(len(body["prompt"]) for path, body in server.seen if path == "/v1/completions") == [7, 11, 11]


def test_scores_say_what_they_need(serve):
    engine, _ = serve(lambda path, body, number: (404, {"error": "not found"}) if path == "/tokenize" else echo(path, body, number))
    with pytest.raises(EngineUnavailable, match=r"/tokenize.*is not there"):
        run(engine, [ScoreRequest("r", "ifd", (), "answer")])


def test_a_caller_that_stops_listening_leaves_a_usable_engine(serve):
    engine, _ = serve(echo, concurrency=2)
    running = engine.run([ask(f"r{number}") for number in range(20)])
    next(running)
    running.close()
    assert run(engine, [ask("a")])[0].text == "question a"
