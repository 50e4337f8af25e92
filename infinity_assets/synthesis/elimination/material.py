"""Material of a request: code, tables, quoted, listed and labelled inputs, long numbers."""

from pathlib import Path

import polars as pl

from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("material.yaml"))
_OUTER = " \t\"'“”‘’「」『』`.。!！?？:：;；,，、"
"""Punctuation that does not belong to a piece."""


def _split_lines(texts: pl.Series) -> pl.DataFrame:
    """Split texts into lines: row (place of the text), line, fence, kind (`code`, `table`, `listed`, or null)."""
    lines = (
        pl.DataFrame({"line": texts.fill_null("").str.split("\n")})
        .with_row_index("row")
        .explode("line")
        .with_columns(fence=_PATTERNS.contains(pl.col("line"), "fence"), blank=pl.col("line").str.strip_chars() == "")
    )
    line = pl.col("line")
    before = pl.col("line").shift(1).over("row")
    after = pl.col("line").shift(-1).over("row")
    fenced = pl.col("fence") | (pl.col("fence").cast(pl.Int64).cum_sum().over("row") % 2 == 1)

    def twice(pattern: str) -> pl.Expr:
        beside = pl.any_horizontal(other.str.contains(pattern).fill_null(False) for other in (before, after))
        return line.str.contains(pattern) & beside

    # The rest of a paragraph after a line that ends with a colon is the input of that line.
    paragraph = (
        (pl.col("blank") & ~before.str.contains(r"[:：]\s*$").fill_null(False)).cast(pl.Int64).cum_sum().over("row")
    )
    opened = line.str.contains(r"[:：]\s*$").cast(pl.Int64)
    lines = lines.with_columns(paragraph=paragraph, opened=opened)
    given = (pl.col("opened").cum_sum().over("row", "paragraph") - pl.col("opened")) > 0
    kind = (
        pl.when(fenced | _PATTERNS.contains(line, "code"))
        .then(pl.lit("code"))
        .when(_PATTERNS.contains(line, "table") | twice(_PATTERNS["csv"]))
        .then(pl.lit("table"))
        .when(twice(_PATTERNS["item"]) | given)
        .then(pl.lit("listed"))
    )
    return lines.select("row", "line", "fence", kind=pl.when(~pl.col("blank")).then(kind))


def extract_prose(text: pl.Expr) -> pl.Expr:
    """Return the text without its code and tables."""

    def remove_material(texts: pl.Series) -> pl.Series:
        lines = _split_lines(texts).filter(pl.col("kind").is_null() | (pl.col("kind") == "listed"))
        kept = lines.group_by("row").agg(pl.col("line").str.join("\n"))
        rows = pl.DataFrame({"row": pl.int_range(texts.len(), dtype=pl.get_index_type(), eager=True)})
        return rows.join(kept, on="row", how="left", maintain_order="left")["line"].fill_null("")

    return text.map_batches(remove_material, return_dtype=pl.String, is_elementwise=True)


def find_lost(seed: pl.Expr, text: pl.Expr) -> pl.Expr:
    """Return the first piece of the seed's material that is missing from the text; null if there is none.

    White space, case and outer punctuation are ignored.
    """

    def find_first(given: pl.Series) -> pl.Series:
        pair = given.struct.unnest()
        pieces = _list_pieces(pair["seed"]).join(
            pair.select(held=_squeeze(pl.col("text").fill_null(""))).with_row_index("row"),
            on="row",
            maintain_order="left",
        )
        missing = pieces.filter(~pl.col("held").str.contains(_squeeze(pl.col("piece")), literal=True))
        firsts = missing.unique("row", keep="first", maintain_order=True)
        rows = pl.DataFrame({"row": pl.int_range(given.len(), dtype=pl.get_index_type(), eager=True)})
        return rows.join(firsts.select("row", "piece"), on="row", how="left", maintain_order="left")["piece"]

    pair = pl.struct(seed=seed, text=text)
    return pair.map_batches(find_first, return_dtype=pl.String, is_elementwise=True)


def _list_pieces(seeds: pl.Series) -> pl.DataFrame:
    """List the pieces of every seed that its rewrite must contain: row, piece."""
    lines = _split_lines(seeds)
    listed = lines.filter(~pl.col("fence"), pl.col("kind").is_not_null(), ~_PATTERNS.contains(pl.col("line"), "ruler"))
    item = pl.col("line").str.replace(_PATTERNS["mark"], "")
    code = pl.col("line").str.replace(_PATTERNS["task"], "")
    whole = listed.select("row", piece=pl.when(pl.col("kind") == "listed").then(item).otherwise(code))
    task = lines.filter(pl.col("kind").is_null())
    inputs = pl.coalesce(
        pl.col("line").str.extract(pattern, 1) for pattern in (_PATTERNS["labelled"], _PATTERNS["sentence"])
    )
    after = task.select("row", inputs.alias("input")).drop_nulls()
    enumerated = _PATTERNS.contains(pl.col("input"), "enumeration")
    parts = after.select(
        "row",
        piece=pl.when(enumerated)
        .then(pl.col("input").str.replace_all(r"[，、;；]", ",").str.split(","))
        .otherwise(pl.col("input").str.extract_all(r"[^.!?。！？]+")),
    ).explode("piece")
    flat = [
        task.select("row", piece=pl.col("line").str.extract_all(pattern)).explode("piece").drop_nulls()
        for pattern in (_PATTERNS["quoted"], _PATTERNS["long_number"])
    ]
    pieces = pl.concat([whole, parts, *flat]).with_columns(pl.col("piece").str.strip_chars(_OUTER))
    return pieces.filter(pl.col("piece").str.len_chars() > 1).sort("row", maintain_order=True)


def _squeeze(text: pl.Expr) -> pl.Expr:
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", "")
