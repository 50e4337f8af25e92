"""The items of a benchmark folder.

A benchmark is registered like a source: a folder with the files as published and, if their keys mislead, a
`source.yaml`. Records are read by their keys, whatever the benchmark is called. `docs/decontamination.md` lists the
known benchmarks.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from infinity_assets.reading.layouts import text_of
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.names import NAMES
from infinity_assets.reading.reader import records_of
from infinity_assets.reading.sources import load_source

ITEM = pl.Schema(
    {
        **dict.fromkeys(("item_id", "benchmark", "file"), pl.String),
        "position": pl.Int64,
        "prompt": pl.String,
        "further": pl.List(pl.String),
        **dict.fromkeys(("answer", "domain"), pl.String),
    }
)
"""Schema of benchmark items.

`item_id` is `name#position`, or `name/file#position` if the benchmark has several files. `further` holds the options of
a question or the user turns after the first."""

PROMPT_KEYS = NAMES["benchmark_prompts"]
"""Record keys that may hold the question, best first."""

CONTEXT_KEYS = ("context", "passage", "article")
"""Record keys that may hold a text to put before the question."""

OPTION_KEYS = ("choices", "options", "endings", "candidates")
"""Record keys that may hold the answer options."""

ANSWER_KEYS = NAMES["benchmark_answers"]
"""Record keys that may hold the answer, best first."""

NO_PROMPT = "no_prompt"
"""Reason to skip a record without a question, such as a reference answer in a separate file."""
REPEATED = "repeated_prompt"
"""Reason to skip a record whose prompt is already in another file, for example with another model's output."""
NOT_EVALUATED = "another_split"
"""Reason to skip a training or few-shot example."""

_EXAMPLES = re.compile(r"(?i)(?:^|[/!_.-])(?:auxiliary_train|train|training|dev|few_?shot)(?:$|[/!_.-])")
"""Matches paths of training and few-shot files. Their items are skipped if another file has the test items."""

_EVALUATED = re.compile(r"(?i)(?:^|[/!_.-])(?:test|val|valid|validation|eval)(?:$|[/!_.-])")


class Benchmark(NamedTuple):
    """The items of a benchmark folder, with counts of records. `records = items.height + sum(skipped.values())`."""

    items: pl.DataFrame
    """Frame of schema `ITEM`, in the order of file and position. Key: item_id."""
    records: int
    skipped: Mapping[str, int]
    """Number of skipped records by reason."""


def read_benchmark(folder: Path) -> Benchmark:
    """Read the items of a benchmark folder and count the records that are not items.

    The domain is null unless the folder's `source.yaml` sets it. No file content raises an exception. A prompt that
    occurs twice in one file gives two items.

    Raises:
        SourceError: The folder's `source.yaml` is not valid.
    """
    source = load_source(folder)
    mapping = FieldMapping(source.fields)
    items = []
    skipped = Counter[str]()
    records = 0
    files = set[str]()
    for file, record in records_of(source):
        records += 1
        files.add(file)
        item = None if record.error else item_of(mapping(record.value))
        if item:
            items.append(
                (None, source.name, file, record.position, item.prompt, item.further, item.answer, source.domain)
            )
        else:
            skipped[record.error or NO_PROMPT] += 1
    candidates = pl.DataFrame(items, schema=ITEM, orient="row")
    prefix = pl.lit(source.name) if len(files) == 1 else pl.concat_str(pl.lit(f"{source.name}/"), "file")
    candidates = candidates.with_columns(pl.concat_str(prefix, pl.lit("#"), "position").alias("item_id"))
    evaluated = candidates if source.include else _keep_evaluated(candidates)
    skipped[NOT_EVALUATED] += candidates.height - evaluated.height
    asked = evaluated.with_columns(
        pl.concat_str("prompt", pl.col("further").list.join("\n"), separator="\n", ignore_nulls=True).alias("asked")
    )
    nth = asked.with_columns(pl.int_range(pl.len()).over("file", "asked").alias("nth"))
    unique = nth.unique(["asked", "nth"], keep="first", maintain_order=True).select(list(ITEM))
    skipped[REPEATED] += evaluated.height - unique.height
    return Benchmark(unique, records, +skipped)


class Item(NamedTuple):
    """The question of a benchmark record, with its options or later turns and its answer."""

    prompt: str
    further: list[str] | None = None
    """The options without their letters, or the user turns after the first."""
    answer: str | None = None
    """The text of the answer, even if the record gives a letter or an index."""


def item_of(record: object) -> Item | None:
    """Return the item of a benchmark record, or `None` if it has no question.

    Args:
        record: The parsed record. MMLU's tables have no header; their keys, `column_0` to `column_5`, are the question,
            four options and the letter of the answer.
    """
    if not isinstance(record, dict):
        return None
    fields: dict[str, object] = {str(key).strip().lower(): content for key, content in record.items()}
    if list(fields) == [f"column_{number}" for number in range(6)]:
        fields = dict(zip(("question", *"abcd", "answer"), fields.values(), strict=True))
    match fields.get("instances"):
        case [dict() as instance, *_]:
            fields |= {str(key).strip().lower(): content for key, content in instance.items()}
    asked = next(((key, turns) for key in PROMPT_KEYS if (turns := _turns(fields.get(key)))), None)
    if asked is None:
        return None
    key, (prompt, *later) = asked
    context = fields.get("input") if key == "instruction" else next(filter(None, map(fields.get, CONTEXT_KEYS)), None)
    if (before := "\n".join(_turns(context))) and before != prompt:
        prompt = f"{prompt}\n\n{before}" if key == "instruction" else f"{before}\n\n{prompt}"
    labels, options = _options(fields)
    given = next((value for name in ANSWER_KEYS if (value := fields.get(name)) is not None and text_of(value)), None)
    return Item(prompt, options or later or None, _answer(given, labels, options))


def _keep_evaluated(items: pl.DataFrame) -> pl.DataFrame:
    """Drop the items of training and few-shot files if the path of another file marks an evaluation split."""
    names = items["file"].unique().to_list()
    if not any(_EVALUATED.search(name) and not _EXAMPLES.search(name) for name in names):
        return items
    return items.filter(~pl.col("file").is_in([name for name in names if _EXAMPLES.search(name)]))


def _options(fields: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Return the labels and the texts of the options."""
    if all(isinstance(fields.get(letter), str | int | float) for letter in "ab"):
        letters: list[str] = [letter for letter in "abcdefghij" if text_of(fields.get(letter))]
        return letters, [str(text_of(fields[letter])) for letter in letters]
    listed: Any = next((value for key in OPTION_KEYS if (value := fields.get(key)) is not None), None)
    match listed:
        case {"text": list() as texts, "label": list() as labels} if len(texts) == len(labels):  # ARC
            return [str(label).lower() for label in labels], [str(text) for text in texts]
        case dict():
            return [str(label).lower() for label in listed], [str(text) for text in listed.values()]
        case [*texts] if texts and all(isinstance(text, str | int | float) for text in texts):
            return list("abcdefghijklmnopqrstuvwxyz"[: len(texts)]), [str(text) for text in texts]
    wrong = sorted(key for key in fields if re.fullmatch(r"incorrect answer \d+", key))  # GPQA
    if wrong and (right := text_of(fields.get("correct answer"))):
        return [], [right, *(str(text_of(fields[key]) or "") for key in wrong)]
    return [], []


def _answer(given: object, labels: list[str], options: list[str]) -> str | None:
    """Return the text of the answer, which may be given as an index (MMLU), a letter (C-Eval) or a label (ARC)."""
    if isinstance(given, int) and not isinstance(given, bool) and options and 0 <= given < len(options):
        return options[given]
    text = text_of(given)
    if text is None or not options:
        return text or None
    label = text.strip().strip("().").lower()
    if label in labels:
        return options[labels.index(label)]
    is_index = re.fullmatch("[0-9]{1,3}", label) and int(label) < len(options)
    if is_index and label not in {option.strip() for option in options}:
        return options[int(label)]
    return text or None


def _turns(value: object) -> list[str]:
    """Return the non-blank turns of a text or of a list of texts or objects with `content`; [] for any other value."""
    turns = (
        [turn.get("content") if isinstance(turn, dict) else turn for turn in value]
        if isinstance(value, list)
        else [value]
    )
    return [turn.strip() for turn in turns if isinstance(turn, str) and turn.strip()]
