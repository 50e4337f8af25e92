"""`infinity export`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infinity_assets.cli.options import NEW_FILE
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir, models_dir

if TYPE_CHECKING:
    import polars as pl

    from infinity_assets.catalog.lake import Lake
    from infinity_assets.synthesis.tuning import TokenizedText

LAYOUTS = ("openai", "sharegpt", "infinity_instruct", "alpaca", "synthesizer")


@click.command()
@click.argument("asset")
@click.option("--layout", type=click.Choice(LAYOUTS), required=True, help="Layout of a line.")
@click.option("--out", type=NEW_FILE, required=True, help="The JSONL file to write.")
@click.option("--source", "sources", multiple=True, help="Export the rows of this source only. Repeatable.")
@click.option(
    "--masked-turns",
    type=click.Choice(("cut", "drop")),
    default="cut",
    show_default=True,
    help="Rows with an answer that its dataset excludes from training: `cut` ends them before its request, `drop` "
    "leaves them out. openai and sharegpt write them whole, with `weight` 0 for such an answer.",
)
@click.option(
    "--tokenizer",
    help="`synthesizer` only: a tokenizer for counting tokens and for the begin and end of text; input_ids and "
    "loss_mask are written too. A folder, a fetched model, or a Hub id.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="`synthesizer` only: most tokens of a sequence.",
)
def export(
    asset: str,
    layout: str,
    out: Path,
    sources: tuple[str, ...],
    masked_turns: str,
    tokenizer: str | None,
    max_tokens: int,
) -> None:
    """Write the conversations of ASSET as JSON lines, in a layout that training frameworks read.

    \b
    infinity export inf_instruct_f --layout sharegpt --out f.jsonl
    infinity export synthesized_from_text --layout synthesizer --out tuning.jsonl --tokenizer smollm2-135m-instruct

    The layout `synthesizer` is for fine-tuning a model that writes questions and answers about a text (Instruction
    Pre-Training). Each line holds several texts of one source with their pairs. Only conversations about a text are
    exported; with --source, also those of that source whose first turn is a text, a blank line and a question.
    """
    from infinity_assets.atomic import replace_file
    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    with replace_file(out.absolute()) as temporary, temporary.open("wb") as file:
        if layout == "synthesizer":
            summary = _write_sequences(lake, asset, sources, tokenizer, max_tokens, file.write)
        else:
            summary = _write_rows(lake, asset, sources, layout, masked_turns == "drop", file.write)
    click.echo(f"{out}: {summary}")


def _write_rows(
    lake: "Lake", asset: str, sources: tuple[str, ...], layout: str, drop_masked: bool, write: Callable[[bytes], Any]
) -> str:
    """Write one line per conversation, partition by partition, and return a summary."""
    from infinity_assets.catalog.verdicts import find_masked_turns
    from infinity_assets.rows import writers
    from infinity_assets.scoring.labels import ABILITIES

    chinese: dict[str, str] = {}
    if lake.partitions("tag_vocabulary"):
        chinese = dict(lake.scan("tag_vocabulary").select("label", "label_zh").collect().iter_rows())
    layouts: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "openai": writers.openai_messages,
        "sharegpt": writers.sharegpt,
        "alpaca": writers.alpaca,
        "infinity_instruct": lambda rows: writers.infinity_instruct(rows, chinese, ABILITIES),
    }
    masked = find_masked_turns(lake).collect(engine="streaming")
    written = total = with_masks = 0
    for rows, all_rows in _conversations(lake, asset, sources):
        rows = rows.join(masked, on="row_id", how="left", maintain_order="left")
        with_masks += rows["masked_turns"].count()
        if layout not in ("openai", "sharegpt"):
            rows = writers.cut_masked(rows, drop=drop_masked)
        write(writers.write_lines(layouts[layout](rows)))
        written += rows.height
        total += all_rows
    summary = f"{written:,} conversations, {total - written:,} other rows of {asset} left out."
    return f"{summary} {with_masks:,} have answers that are not to be learned." if with_masks else summary


def _conversations(lake: "Lake", asset: str, sources: tuple[str, ...]) -> "Iterator[tuple[pl.DataFrame, int]]":
    """Yield, per partition, the conversations (only those of `sources`, if there are any) and the number of all rows.

    Raises:
        InfinityError: The asset is not materialized, its rows are not conversations, or none is of one of `sources`.
    """
    import polars as pl

    columns = lake.scan(asset).collect_schema().names()
    if not {"messages", "kind", "source"} <= set(columns):
        raise InfinityError(f"`{asset}` holds no conversations: its columns are {', '.join(columns)}.")
    known = lake.scan(asset).select(pl.col("source").unique()).collect(engine="streaming")["source"] if sources else ()
    if unknown := sorted(set(sources) - set(known)):
        raise InfinityError(
            f"`{asset}` has no row of {', '.join(unknown)}; it has rows of {', '.join(sorted(known)) or 'no source'}."
        )
    for partition in lake.partitions(asset):
        rows = lake.scan(asset, partition)
        wanted = pl.col("source").is_in(sources) if sources else pl.lit(True)
        yield rows.filter(wanted, kind="conversation").collect(), rows.select(pl.len()).collect().item()


def _write_sequences(
    lake: "Lake", asset: str, sources: tuple[str, ...], tokenizer: str | None, most: int, write: Callable[[bytes], Any]
) -> str:
    import orjson
    import polars as pl

    from infinity_assets.inference.weights.tokens import BOS, EOS
    from infinity_assets.settings import Settings
    from infinity_assets.synthesis.from_text import Grammar
    from infinity_assets.synthesis.tuning import collect_examples, pack_sequences

    rows = pl.concat([rows for rows, _ in _conversations(lake, asset, sources)])
    if "context_chars" not in rows.columns:
        known = pl.LazyFrame(schema={"row_id": pl.String, "context_chars": pl.Int64})
        if lake.partitions("synthesized_from_text"):
            known = lake.scan("synthesized_from_text").select("row_id", "context_chars").unique("row_id")
        rows = rows.join(known.collect(), on="row_id", how="left")
    examples = collect_examples(rows, split_unknown=bool(sources))
    if not examples:
        where = " in these sources" if sources else ": name a --source that has some"
        raise InfinityError(f"`{asset}` has no conversation about a text{where}.")
    recipe = Settings().from_text
    grammar, encode = Grammar(BOS if recipe.bos is None else recipe.bos, recipe.eos or EOS), None
    if tokenizer:
        grammar, encode = _encoder(tokenizer)
    written = used = 0
    for line in pack_sequences(examples, grammar, most, encode):
        write(orjson.dumps(line) + b"\n")
        written += 1
        used += len(line["rows"])
    return (
        f"{used:,} examples in {written:,} sequences; left out: {len(examples) - used:,} are longer than "
        f"{most:,} tokens, {rows.height - len(examples):,} rows are about no text."
    )


def _encoder(name: str) -> "tuple[Any, Callable[[str], TokenizedText]]":
    """Return the grammar and the transformers tokenizer of a model. Trainers then get the same token ids.

    Raises:
        InfinityError: There is no such tokenizer, or it cannot be used.
    """
    from transformers import AutoTokenizer

    from infinity_assets.inference.weights.models import slug
    from infinity_assets.synthesis.from_text import Grammar
    from infinity_assets.synthesis.tuning import TokenizedText

    folder = Path(name) if Path(name).is_dir() else models_dir() / slug(name)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder) if folder.is_dir() else name)
    except (OSError, ValueError) as error:
        raise InfinityError(
            f"There is no tokenizer {name}: it is no folder, no fetched model, and not available from the Hub."
        ) from error
    if not tokenizer.is_fast or tokenizer.eos_token is None:
        raise InfinityError(
            f"The tokenizer of {name} cannot be used: it has no end-of-text token or gives no token offsets."
        )

    def encode(text: str) -> TokenizedText:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return TokenizedText(encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]])

    return Grammar(tokenizer.bos_token or "", tokenizer.eos_token), encode
