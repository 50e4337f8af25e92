"""`infinity export`: the rows of an asset in a form that trainers read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir, models_dir

if TYPE_CHECKING:
    import polars as pl

    from infinity_assets.catalog.lake import Lake
    from infinity_assets.synthesis.tuning import Tokenised

LAYOUTS = ("openai", "sharegpt", "infinity_instruct", "alpaca", "synthesizer")


@click.command()
@click.argument("asset")
@click.option("--layout", type=click.Choice(LAYOUTS), required=True, help="The form of a line.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The JSONL file to write.")
@click.option(
    "--source", "sources", multiple=True, help="Take the rows of this source only; may be given several times."
)
@click.option(
    "--tokenizer",
    help="`synthesizer` only: count by this tokenizer, take its begin and end of text, and write input_ids and loss_mask too. A folder, a fetched "
    "model, or a Hub id.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="`synthesizer` only: longest sequence.",
)
@sentences
def export(
    asset: str, layout: str, out: Path, sources: tuple[str, ...], tokenizer: str | None, max_tokens: int
) -> None:
    """Write the conversations of ASSET as JSON lines, in a layout that trainers read.

    \b
    infinity export inf_instruct_f --layout sharegpt --out f.jsonl
    infinity export synthesized_from_text --layout synthesizer --out tuning.jsonl --tokenizer smollm2-135m-instruct

    `synthesizer` is the tuning format of a context-based synthesizer (Instruction Pre-Training): contexts with their pairs, several of one source
    in a sequence. It takes the conversations about texts; with --source also other rows of that source, whose first turn is then read as a
    context, a blank line and a question.
    """
    from infinity_assets.atomic import replacing
    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    with replacing(out.absolute()) as temporary, temporary.open("wb") as file:
        if layout == "synthesizer":
            said = _write_sequences(lake, asset, sources, tokenizer, max_tokens, file.write)
        else:
            said = _write_rows(lake, asset, sources, layout, file.write)
    click.echo(f"{out}: {said}")


def _write_rows(lake: "Lake", asset: str, sources: tuple[str, ...], layout: str, write: Callable[[bytes], Any]) -> str:
    """One line per conversation, a partition at a time."""
    from infinity_assets.rows import writers
    from infinity_assets.scoring.labels import ABILITIES

    named = (
        lake.scan("tag_vocabulary").select("label", "label_zh").collect() if lake.partitions("tag_vocabulary") else None
    )
    chinese = {} if named is None else dict(named.iter_rows())
    forms: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "openai": writers.openai_messages,
        "sharegpt": writers.sharegpt,
        "alpaca": writers.alpaca,
        "infinity_instruct": lambda rows: writers.infinity_instruct(writers.with_labels(rows), chinese, ABILITIES),
    }
    taken = total = 0
    for rows, everything in _conversations(lake, asset, sources):
        write(forms[layout](rows).write_ndjson().encode())
        taken, total = taken + rows.height, total + everything
    return f"{taken:,} conversations, {total - taken:,} other rows of {asset} left out."


def _conversations(lake: "Lake", asset: str, sources: tuple[str, ...]) -> "Iterator[tuple[pl.DataFrame, int]]":
    """Per partition, the conversations of the sources, and the number of all rows."""
    import polars as pl

    columns = lake.scan(asset).collect_schema().names()
    if not {"messages", "kind", "source"} <= set(columns):
        raise InfinityError(f"`{asset}` holds no conversations: its columns are {', '.join(columns)}.")
    for partition in lake.partitions(asset):
        rows = lake.scan(asset, partition)
        taken = rows.filter(pl.col("kind") == "conversation")
        if sources:
            taken = taken.filter(pl.col("source").is_in(sources))
        yield taken.collect(), rows.select(pl.len()).collect().item()


def _write_sequences(
    lake: "Lake", asset: str, sources: tuple[str, ...], tokenizer: str | None, most: int, write: Callable[[bytes], Any]
) -> str:
    import orjson
    import polars as pl

    from infinity_assets.inference.weights.tokens import BOS, EOS
    from infinity_assets.settings import Settings
    from infinity_assets.synthesis.from_text import Grammar
    from infinity_assets.synthesis.tuning import examples_of, sequences

    rows = pl.concat([rows for rows, _ in _conversations(lake, asset, sources)])
    if "context_chars" not in rows.columns:
        here = lake.partitions("synthesized_from_text")
        known = (
            lake.scan("synthesized_from_text").select("row_id", "context_chars").unique("row_id").collect()
            if here
            else None
        )
        rows = rows.with_columns(context_chars=None) if known is None else rows.join(known, on="row_id", how="left")
    examples = examples_of(rows, split_unknown=bool(sources))
    if not examples:
        raise InfinityError(
            f"`{asset}` has no conversation about a text{' in these sources' if sources else ': name a --source that has some'}."
        )
    recipe = Settings().from_text
    grammar, encode = Grammar(BOS if recipe.bos is None else recipe.bos, recipe.eos or EOS), None
    if tokenizer:
        grammar, encode = _encoder(tokenizer)
    written = used = 0
    for line in sequences(examples, grammar, most, encode):
        write(orjson.dumps(line) + b"\n")
        written, used = written + 1, used + len(line["rows"])
    left_out = f"{len(examples) - used:,} are longer than {most:,} tokens, {rows.height - len(examples):,} rows are about no text"
    return f"{used:,} examples in {written:,} sequences; left out: {left_out}."


def _encoder(name: str) -> "tuple[Any, Callable[[str], Tokenised]]":
    """The grammar of a model and its tokenizer, by transformers: the ids are those that its trainers get."""
    from transformers import AutoTokenizer

    from infinity_assets.inference.weights.models import slug
    from infinity_assets.synthesis.from_text import Grammar
    from infinity_assets.synthesis.tuning import Tokenised

    folder = Path(name) if Path(name).is_dir() else models_dir() / slug(name)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder) if folder.is_dir() else name)
    except (OSError, ValueError) as error:
        raise InfinityError(
            f"There is no tokenizer {name}: no folder, no fetched model, and not to be had from the Hub."
        ) from error
    if not tokenizer.is_fast or tokenizer.eos_token is None:
        raise InfinityError(
            f"The tokenizer of {name} cannot be used: it names no end of text, or cannot say where its tokens stand."
        )

    def encode(text: str) -> Tokenised:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return Tokenised(encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]])

    return Grammar(tokenizer.bos_token or "", tokenizer.eos_token), encode
