"""From a benchmark folder to its items."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from infinity_assets.rows.readers.layouts import text_of
from infinity_assets.rows.readers.reading import records_of
from infinity_assets.rows.sources import load_source

ITEM = pl.Schema(
    {
        "item_id": pl.String,
        "benchmark": pl.String,
        "file": pl.String,
        "position": pl.Int64,
        "prompt": pl.String,
        "answer": pl.String,
        "domain": pl.String,
    }
)
"""An item of a benchmark. `item_id` is `name#position`, or `name/file#position` where the benchmark has several files."""

PROMPT_KEYS = ("question", "problem", "prompt", "instruction", "input", "text", "turns", "conversations")
"""Where a benchmark keeps what it asks, best first."""

ANSWER_KEYS = ("answer", "solution", "canonical_solution", "output", "completion", "response", "target", "code")
"""Where it keeps the answer, best first."""


class Benchmark(NamedTuple):
    """A benchmark as it was read. `records = items.height + skipped + repeated`."""

    items: pl.DataFrame
    """`ITEM`, by file and position. Key: item_id."""
    records: int
    skipped: int
    """Records without a prompt, such as reference answers in files of their own."""
    repeated: int
    """Records that ask what another file has asked: outputs of another model. The same prompt twice in one file is two items."""


def read_benchmark(folder: Path) -> Benchmark:
    """The items of a benchmark folder, and the count of what is no item. The domain is null unless the folder's `source.yaml` says."""
    source = load_source(folder)
    files = [file.name for file in source.files()]
    items = []
    records = 0
    for file, record in records_of(source):
        records += 1
        prompt, answer = _prompt_and_answer(record.value)
        if prompt:
            prefix = source.name if [file] == files else f"{source.name}/{file}"
            items.append((f"{prefix}#{record.position}", source.name, file, record.position, prompt, answer, source.domain))
    found = pl.DataFrame(items, schema=ITEM, orient="row")
    occurrence = pl.int_range(pl.len()).over("file", "prompt").alias("occurrence")
    unique = found.with_columns(occurrence).unique(["prompt", "occurrence"], keep="first", maintain_order=True).drop("occurrence")
    return Benchmark(unique, records, skipped=records - found.height, repeated=found.height - unique.height)


def _prompt_and_answer(value: object) -> tuple[str, str | None]:
    """The prompt of a benchmark record, blank if it has none, and its answer."""
    if not isinstance(value, dict):
        return "", None
    fields = {str(key).lower(): content for key, content in value.items()}
    match fields.get("instances"):
        case [dict() as instance, *_]:
            fields |= instance
    prompt = next(filter(None, (_spoken(fields.get(key)) for key in PROMPT_KEYS)), "")
    if "instruction" in fields and (context := _spoken(fields.get("input"))) and context != prompt:
        prompt = f"{prompt}\n\n{context}"
    return prompt, next(filter(None, (text_of(fields.get(key)) for key in ANSWER_KEYS)), None)


def _spoken(value: object) -> str:
    """A text, or a list of turns (texts, or objects with content) joined by newlines; blank for anything else."""
    turns = [turn.get("content") if isinstance(turn, dict) else turn for turn in value] if isinstance(value, list) else [value]
    return "\n".join(turn.strip() for turn in turns if isinstance(turn, str)).strip()
