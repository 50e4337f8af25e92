"""Joining of the requests of a model batch with their answers, which lie in another file of the folder.

OpenAI, Azure, Mistral, Together and vLLM name a request by `custom_id` and hold it in `body`; Anthropic holds it in
`params`; Gemini names it by `key` and holds it in `request`.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

import orjson

from infinity_assets.reading.containers import Block, Record, as_json, read_blocks
from infinity_assets.reading.sources import Source

UNMATCHED = "unmatched_answer"
ANSWERED = "answered_in_another_file"
FAILED = "failed_request"

_IDS = ("custom_id", "key")
_REQUESTS = ("body", "params", "request")
_RESPONSES = ("response", "result")
_HINTS = tuple(tuple(f'"{key}"'.encode() for key in keys) for keys in (_IDS, (*_REQUESTS, *_RESPONSES)))
_HEAD = 1 << 14

_Id = tuple[str, str]
"""Folder and id of a request. Ids are unique within a batch only."""


class Batches:
    """The batches of a source. Their requests are read when the first file of a batch is met, and held in memory."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._file = ""
        self._is_batch = False

    def join(self, block: Block) -> Block:
        """Return a block in which answers stand beside their requests. Blocks of other files are returned unchanged.

        A request that is answered in another file, a request that failed and an answer without its request, or with
        several of its id, become errors. A request without an answer stays as it is.
        """
        if block.file != self._file:
            self._file, self._is_batch = block.file, _is_batch(block)
        if not self._is_batch:
            return block
        records = block.with_raw([self._join(block.file, record) for record in block.records()])
        lines = [
            orjson.dumps([one.value, (one.raw or b"").decode("latin-1"), one.repair, one.error, one.message])
            for one in records
        ]
        return replace(block, form="joined", data=b"\n".join(lines), fault=None) if lines else block

    def _join(self, file: str, record: Record) -> Record:
        name, request, response = _parts(file, record)
        if name is None or not isinstance(record.value, dict):
            return record
        requests, answered = self._index
        if response is None:
            if "error" in record.value and request is None:
                return record._replace(error=FAILED, message=as_json(record.value["error"]).decode()[:200])
            where = answered.get(name)
            return record._replace(error=ANSWERED, message=f"in {where}") if where else record
        if error := _error(response):
            return record._replace(error=FAILED, message=error)
        found = requests.get(name, [])
        if len(found) != 1:
            why = "several requests have" if found else "no request in the files of this folder has"
            return record._replace(error=UNMATCHED, message=f"{why} the id {name[1]}")
        return record._replace(value={"request": orjson.loads(found[0]), **record.value})

    @cached_property
    def _index(self) -> tuple[dict[_Id, list[bytes]], dict[_Id, str]]:
        """The different requests, as JSON, and the file of the answer, by id."""
        requests: dict[_Id, list[bytes]] = {}
        answered: dict[_Id, str] = {}
        for file, record in self._records():
            name, request, response = _parts(file, record)
            if name is None:
                continue
            if response is not None and _error(response) is None:
                answered[name] = file
            elif request is not None and (body := as_json(request)) not in requests.setdefault(name, []):
                requests[name].append(body)
        ambiguous = {name for name, bodies in requests.items() if len(bodies) > 1}
        return requests, {name: file for name, file in answered.items() if name not in ambiguous}

    def _records(self) -> Iterator[tuple[str, Record]]:
        for file in self._source.files():
            with open(file.path, "rb") as stream:
                for block in read_blocks(
                    stream, file.name, lambda member, file=file.name: self._source.wants(file, member)
                ):
                    if block.first == 0 and not _is_batch(block):
                        break
                    yield from ((block.file, record) for record in block.records())


def _is_batch(block: Block) -> bool:
    """Return whether the first record of a block has the keys of a request or an answer of a batch."""
    head = block.data[:_HEAD]
    if not all(any(hint in head for hint in hints) for hints in _HINTS):
        return False
    record = next(block.records(), None)
    return record is not None and _parts(block.file, record)[0] is not None


def _parts(file: str, record: Record) -> tuple[_Id | None, object, object]:
    """Return the id, the request and the response of a record. The id is `None` if it is not of a batch.

    A record that holds both its request and the response needs no other, and is not of a batch.
    """
    value = record.value
    if record.error or not isinstance(value, dict):
        return None, None, None
    name = next((value[key] for key in _IDS if isinstance(value.get(key), str)), None)
    request = next((value[key] for key in _REQUESTS if isinstance(value.get(key), dict)), None)
    response = next((value[key] for key in _RESPONSES if isinstance(value.get(key), dict)), None)
    if name is None or (request is None) == (response is None and "error" not in value):
        return None, None, None
    return (str(PurePosixPath(file).parent), name), request, response


def _error(response: object) -> str | None:
    """Return what went wrong with a request, or `None` if it was answered."""
    assert isinstance(response, dict)
    status = response.get("status_code", 200)
    if status != 200 or response.get("type", "succeeded") not in ("succeeded", "message"):
        return as_json(response.get("error") or response.get("body") or response).decode()[:200]
    return None
