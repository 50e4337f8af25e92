"""From a benchmark folder to its items.

A benchmark is registered as a source is: a folder with its files as they are published, and a `source.yaml` where the keys mislead. A record is
understood by its keys, whatever the benchmark is called; `docs/decontamination.md` lists those that are known.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from infinity_assets.reading.layouts import text_of
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.reader import records_of
from infinity_assets.reading.sources import load_source

ITEM = pl.Schema(
    {
        "item_id": pl.String,
        "benchmark": pl.String,
        "file": pl.String,
        "position": pl.Int64,
        "prompt": pl.String,
        "further": pl.List(pl.String),
        "answer": pl.String,
        "domain": pl.String,
    }
)
"""An item of a benchmark. `item_id` is `name#position`, or `name/file#position` where the benchmark has several files. `further` is what stands
behind the question: the options to choose from, or the turns that follow."""

PROMPT_KEYS = (
    "question",
    "problem",
    "prompt",
    "instruction",
    "input",
    "text",
    "turns",
    "conversations",
    "query",
    "ctx",
    "goal",
    "sentence",
)
"""Where a benchmark keeps what it asks, best first."""

CONTEXT_KEYS = ("context", "passage", "article")
"""What stands before it."""

OPTION_KEYS = ("choices", "options", "endings", "candidates")
"""Where it keeps what there is to choose from."""

ANSWER_KEYS = (
    *(
        "answer",
        "correct answer",
        "solution",
        "canonical_solution",
        "output",
        "completion",
        "response",
        "target",
        "reference",
        "code",
    ),
    *("answerkey", "label", "gold", "best_answer"),
)
"""Where it keeps the answer, best first."""

NO_PROMPT, REPEATED, NOT_EVALUATED = "no_prompt", "repeated_prompt", "another_split"
"""Reasons why a record is no item: a reference answer in a file of its own; outputs of another model; examples to train on or to show."""

_EXAMPLES = re.compile(r"(?i)(?:^|[/!_.-])(?:auxiliary_train|train|training|dev|few_?shot)(?:$|[/!_.-])")
"""What the path of a file is called whose records are not those that are asked: of a benchmark of which another file is."""

_EVALUATED = re.compile(r"(?i)(?:^|[/!_.-])(?:test|val|valid|validation|eval)(?:$|[/!_.-])")


class Benchmark(NamedTuple):
    """A benchmark as it was read. `records = items.height + sum(skipped.values())`."""

    items: pl.DataFrame
    """`ITEM`, by file and position. Key: item_id."""
    records: int
    skipped: Mapping[str, int]
    """Records that are no item, by reason."""


def read_benchmark(folder: Path) -> Benchmark:
    """The items of a benchmark folder, and the count of what is no item. The domain is null unless the folder's `source.yaml` says.

    Nothing that a file holds raises. The same prompt twice in one file is two items.
    """
    source = load_source(folder)
    mapping = FieldMapping(source.fields)
    items, skipped, records, files = [], Counter[str](), 0, set[str]()
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
    found = pl.DataFrame(items, schema=ITEM, orient="row")
    prefix = pl.lit(source.name) if len(files) == 1 else pl.concat_str(pl.lit(f"{source.name}/"), "file")
    found = found.with_columns(pl.concat_str(prefix, pl.lit("#"), "position").alias("item_id"))
    evaluated = found if source.include else _evaluated(found)
    skipped[NOT_EVALUATED] += found.height - evaluated.height
    asked = evaluated.with_columns(
        pl.concat_str("prompt", pl.col("further").list.join("\n"), separator="\n", ignore_nulls=True).alias("asked")
    )
    nth = asked.with_columns(pl.int_range(pl.len()).over("file", "asked").alias("nth"))
    unique = nth.unique(["asked", "nth"], keep="first", maintain_order=True).select(list(ITEM))
    skipped[REPEATED] += evaluated.height - unique.height
    return Benchmark(unique, records, +skipped)


class Item(NamedTuple):
    """What a record asks."""

    prompt: str
    further: list[str] | None = None
    """What there is to choose from, without letters, or the turns that follow."""
    answer: str | None = None
    """In words, also where the record gives a letter or an index."""


def item_of(record: object) -> Item | None:
    """A benchmark record, understood by its keys; null if it asks nothing.

    Args:
        record: As its container gives it. A table without a header has the keys `column_0` and so on: MMLU's has the question, four options and the
            letter of the answer.
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


def _evaluated(items: pl.DataFrame) -> pl.DataFrame:
    """Without the items of other splits, where the names of the files tell that there is one to evaluate on: a whole repository was copied."""
    names = items["file"].unique().to_list()
    if not any(_EVALUATED.search(name) and not _EXAMPLES.search(name) for name in names):
        return items
    return items.filter(~pl.col("file").is_in([name for name in names if _EXAMPLES.search(name)]))


def _options(fields: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """The options and their labels."""
    if all(isinstance(fields.get(letter), str | int | float) for letter in "ab"):
        letters = [letter for letter in "abcdefghij" if text_of(fields.get(letter))]
        return letters, [str(text_of(fields[letter])) for letter in letters]
    listed = next((value for key in OPTION_KEYS if (value := fields.get(key)) is not None), None)
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
    """The answer in words. MMLU gives an index, C-Eval a letter, ARC a label."""
    if isinstance(given, int) and not isinstance(given, bool) and options and 0 <= given < len(options):
        return options[given]
    text = text_of(given)
    if text is None or not options:
        return text or None
    label = text.strip().strip("().").lower()
    if label in labels:
        return options[labels.index(label)]
    if (
        re.fullmatch("[0-9]{1,3}", label)
        and int(label) < len(options)
        and label not in {option.strip() for option in options}
    ):
        return options[int(label)]
    return text or None


def _turns(value: object) -> list[str]:
    """A text, or the turns of a list (texts, or objects with content), without those that say nothing; none for anything else."""
    turns = (
        [turn.get("content") if isinstance(turn, dict) else turn for turn in value]
        if isinstance(value, list)
        else [value]
    )
    return [turn.strip() for turn in turns if isinstance(turn, str) and turn.strip()]
