"""Material of a request: code, tables, long numbers, and quoted, listed or labelled inputs."""

from pathlib import Path

import polars as pl

from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("material.yaml"))
_OUTER = " \t\"'“”‘’「」『』`.。!！?？:：;；,，、"
"""Characters that are stripped from both ends of a piece of material."""


def _split_lines(texts: pl.Series) -> pl.DataFrame:
    """Split texts into lines: row (index of the text), line, fence, kind (`code`, `table`, `listed`, or null)."""
    line = pl.col("line")
    blank = line.str.strip_chars() == ""
    colon = line.str.contains(r"[:：]\s*$")

    def count(condition: pl.Expr) -> pl.Expr:
        return condition.cast(pl.Int64).cum_sum().over("row")

    def beside(condition: pl.Expr) -> pl.Expr:
        neighbours = (condition.shift(step).over("row").fill_null(False) for step in (1, -1))
        return condition & pl.any_horizontal(neighbours)

    lines = pl.DataFrame({"line": texts.fill_null("").str.split("\n")}).with_row_index("row").explode("line")
    lines = lines.with_columns(
        fence=_PATTERNS.contains(line, "fence"),
        # After a line that ends with a colon, the rest of the paragraph is input.
        paragraph=count(blank & ~colon.shift(1).over("row").fill_null(False)),
        opened=colon.cast(pl.Int64),
    )
    fenced = pl.col("fence") | (count(pl.col("fence")) % 2 == 1)
    given = (pl.col("opened").cum_sum().over("row", "paragraph") - pl.col("opened")) > 0
    kind = (
        pl.when(fenced | _PATTERNS.contains(line, "code"))
        .then(pl.lit("code"))
        .when(_PATTERNS.contains(line, "table") | beside(_PATTERNS.contains(line, "csv")))
        .then(pl.lit("table"))
        .when(beside(_PATTERNS.contains(line, "item")) | given)
        .then(pl.lit("listed"))
    )
    return lines.select("row", "line", "fence", kind=pl.when(~blank).then(kind))


def _give_to_rows(values: pl.DataFrame, count: int) -> pl.Series:
    """Return a series of `count` values from a frame of row (index) and value, with null for a missing row."""
    rows = pl.DataFrame({"row": pl.int_range(count, dtype=pl.get_index_type(), eager=True)})
    return rows.join(values, on="row", how="left", maintain_order="left").to_series(1)


def extract_prose(text: pl.Expr) -> pl.Expr:
    """Return a text without the lines of code and tables."""

    def remove_material(texts: pl.Series) -> pl.Series:
        lines = _split_lines(texts).filter(pl.col("kind").is_null() | (pl.col("kind") == "listed"))
        kept = lines.group_by("row").agg(pl.col("line").str.join("\n"))
        return _give_to_rows(kept, texts.len()).fill_null("")

    return text.map_batches(remove_material, return_dtype=pl.String, is_elementwise=True)


def find_lost(seed: pl.Expr, text: pl.Expr) -> pl.Expr:
    """Return the first piece of the seed's material that the rewrite `text` lacks, or null.

    White space, case and outer punctuation are ignored.
    """

    def find_first(given: pl.Series) -> pl.Series:
        pair = given.struct.unnest()
        held = pair.select(held=_squeeze(pl.col("text").fill_null(""))).with_row_index("row")
        pieces = _list_pieces(pair["seed"]).join(held, on="row", maintain_order="left")
        missing = pieces.filter(~pl.col("held").str.contains(_squeeze(pl.col("piece")), literal=True))
        firsts = missing.unique("row", keep="first", maintain_order=True)
        return _give_to_rows(firsts.select("row", "piece"), given.len())

    pair = pl.struct(seed=seed, text=text)
    return pair.map_batches(find_first, return_dtype=pl.String, is_elementwise=True)


def _list_pieces(seeds: pl.Series) -> pl.DataFrame:
    """List the pieces of material that the rewrite of each seed must contain: row (index of the seed), piece."""
    lines = _split_lines(seeds)
    listed = lines.filter(~pl.col("fence"), pl.col("kind").is_not_null(), ~_PATTERNS.contains(pl.col("line"), "ruler"))
    item = pl.col("line").str.replace(_PATTERNS["mark"], "")
    code = pl.col("line").str.replace(_PATTERNS["task"], "")
    whole = listed.select("row", piece=pl.when(pl.col("kind") == "listed").then(item).otherwise(code))
    task = lines.filter(pl.col("kind").is_null())
    inputs = (pl.col("line").str.extract(_PATTERNS[name], 1) for name in ("labelled", "sentence"))
    after = task.select("row", input=pl.coalesce(*inputs)).drop_nulls()
    enumerated = _PATTERNS.contains(pl.col("input"), "enumeration")
    listing = pl.col("input").str.replace_all(r"[，、;；]", ",").str.split(",")
    sentences = pl.col("input").str.extract_all(r"[^.!?。！？]+")
    parts = after.select("row", piece=pl.when(enumerated).then(listing).otherwise(sentences)).explode("piece")
    flat = [
        task.select("row", piece=pl.col("line").str.extract_all(_PATTERNS[name])).explode("piece").drop_nulls()
        for name in ("quoted", "long_number")
    ]
    pieces = pl.concat([whole, parts, *flat]).with_columns(pl.col("piece").str.strip_chars(_OUTER))
    return pieces.filter(pl.col("piece").str.len_chars() > 1).sort("row", maintain_order=True)


def _squeeze(text: pl.Expr) -> pl.Expr:
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", "")
