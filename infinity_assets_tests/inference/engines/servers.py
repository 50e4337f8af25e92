"""Servers for tests: one that replies by a function, and a function with the faults of real servers."""

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple


class Reply(NamedTuple):
    """A server's reaction to a request."""

    status: int = 200
    body: Any = ""
    """Bytes and text are sent unchanged, other values as JSON."""
    headers: Mapping[str, str] = {}
    after: float = 0.0
    """Delay in seconds."""
    fate: Literal["answer", "reset", "stall"] = "answer"


class Server:
    """A server that answers POST requests by a function of (path, body, number of the call).

    It records the requests and the number of concurrent calls. The function runs on the server's only thread and may
    return a `Reply` or its first fields.
    """

    def __init__(self, reply: Callable[[str, dict, int], Any]):
        self.seen: list[tuple[str, dict]] = []
        self.headers: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self._reply = reply
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._serve_connection, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def close(self) -> None:
        """Close all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append((request.split()[1], json.loads(body)))
                self.headers.append(headers.get("authorization"))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    reply = Reply(*self._reply(*self.seen[-1], len(self.seen)))
                    if await _hangs_up(reader, reply):
                        break
                finally:
                    self.at_once -= 1
                if reply.fate == "reset":
                    writer.transport.abort()
                    break
                writer.write(_encode(reply))
        writer.close()


async def _hangs_up(reader: asyncio.StreamReader, reply: Reply) -> bool:
    """Wait as long as the reply is delayed, and return whether the client closes the connection meanwhile."""
    if reply.fate != "stall" and not reply.after:
        return False
    try:
        await asyncio.wait_for(reader.read(1), None if reply.fate == "stall" else reply.after)
    except TimeoutError:
        return False
    return True


def _encode(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, bytes | str) else json.dumps(reply.body)
    content = body if isinstance(body, bytes) else body.encode()
    headers = {"content-type": "application/json", "content-length": len(content), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Something\r\n{lines}\r\n".encode() + content


def completion(
    text: str | None, logprobs: dict | None = None, finish_reason: str = "stop", **message: Any
) -> tuple[int, dict]:
    """Build a reply of `/v1/chat/completions`."""
    answer = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "finish_reason": finish_reason, "message": answer, "logprobs": logprobs}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}


def echo(path: str, body: dict, number: int) -> tuple[int, dict]:
    """Answer with the question."""
    return completion(body["messages"][-1]["content"])


@dataclass
class Chaos:
    """A reply function by which shares of calls fail, stall or get garbage; the others are echoed.

    The fate of a call is drawn from the seed, the request and the number of its earlier calls. Rejections (429, 503)
    and resets come at once, other replies after `latency` seconds, as if the server had worked on them.
    """

    latency: float = 0.25
    failing: float = 0.2
    """Share of 429, 500, 502, 503 and connection resets, all equally frequent."""
    stalling: float = 0.01
    garbage: float = 0.02
    """Share of replies that are not JSON, of another shape, cut JSON, or empty, all equally frequent."""
    seed: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    FAILURES = ("429", "500", "502", "503", "reset")
    GARBAGE = (
        "<html>Bad gateway</html>",
        '{"choices": [{"text": 1}]}',
        '{"choices": [{"message": {"content": "half',
        "",
    )

    def __call__(self, path: str, body: dict, number: int) -> Reply:
        """Return the reply to a request."""
        content = json.dumps(body["messages"]) + str(body.get("seed"))
        self.asked[content] += 1
        digest = hashlib.blake2b(f"{self.seed}:{self.asked[content]}:{content}".encode(), digest_size=16).digest()
        draw, which = (int.from_bytes(part, "big") / 2**64 for part in (digest[:8], digest[8:]))
        if draw < self.failing:
            failure = self.FAILURES[int(which * len(self.FAILURES))]
            self.fates[failure] += 1
            if failure == "reset":
                return Reply(fate="reset")
            headers = {"retry-after-ms": "100"} if failure == "429" else {}
            after = 0.0 if failure in ("429", "503") else self.latency
            return Reply(int(failure), {"error": {"message": "try again"}}, headers, after)
        if draw < self.failing + self.stalling:
            self.fates["stall"] += 1
            return Reply(fate="stall")
        if draw < self.failing + self.stalling + self.garbage:
            self.fates["garbage"] += 1
            return Reply(200, self.GARBAGE[int(which * len(self.GARBAGE))], after=self.latency)
        self.fates["answered"] += 1
        return Reply(*echo(path, body, number), after=self.latency)


CLEAN = {"failing": 0.0, "stalling": 0.0, "garbage": 0.0}


@contextmanager
def start_chaos(**settings: Any) -> Iterator[tuple[str, Callable[[], Counter[str]]]]:
    """Run a `Chaos` server in a separate process; yield its address and a function that returns its fates so far."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve_chaos, args=(there, settings), daemon=True)
    process.start()

    def fates() -> Counter[str]:
        here.send("fates")
        return here.recv()

    try:
        yield here.recv(), fates
    finally:
        here.send("end")
        process.join(10)
        process.kill()


def _serve_chaos(connection: Connection, settings: dict[str, Any]) -> None:
    chaos = Chaos(**settings)
    server = Server(chaos)
    connection.send(server.url)
    while connection.recv() == "fates":
        connection.send(chaos.fates)
    server.close()
