"""The dataset card of a release: what is in it, from where, under which licences and terms, made by what. Every number is counted, none is kept by
hand.
"""

from collections.abc import Mapping

import polars as pl

from infinity_assets.report.charts import table
from infinity_assets.rows import conversation


def write(
    sets: Mapping[str, pl.DataFrame],
    models: pl.DataFrame,
    prompts: pl.DataFrame,
    left_out: pl.DataFrame,
    pairs: int,
    settings_hash: str,
) -> str:
    """The card, as markdown.

    Args:
        sets: Name of a set to its rows (messages, source, licence, domain, language; terms where a model wrote them).
        models: Who did what: part, model (model@revision), terms, sampling.
        prompts: All prompts: prompt (name and language), version, hash, and whether `G` was made with it.
        left_out: What the final filter of G left out: reason, rows.
        pairs: Preference pairs beside them.
        settings_hash: Hash of all settings.
    """
    parts = [
        "# InfInstruct, rebuilt",
        "InfInstruct-F is selected from open sources; InfInstruct-G is synthesised from seeds of the same pool. Every row has an id that "
        "`infinity explain` turns into its story. Synthesised rows carry the most restrictive licence of their parents, and the terms of the "
        "model that wrote them apply besides.",
    ]
    for name, rows in sets.items():
        parts.append(f"## {name}: {rows.height:,} rows")
        for column in ("licence", "terms", "source", "domain", "language"):
            if column in rows.columns:
                parts.append(table(rows.group_by(column).len("rows").sort(pl.col("rows") * -1, column), rows=50))
        parts.append(table(_turns(rows), rows=50))
    parts += [
        *([f"## InfInstruct-preferences: {pairs:,} pairs", _PAIRS] if pairs else []),
        "## Left out of InfInstruct-G by its final filter",
        table(left_out, rows=50),
        "## Made with",
        "The models that played a part, the terms of what they write, and how their answers were drawn:",
        table(models, rows=50),
        "The prompts in force; the last column says with which of them InfInstruct-G was made, from its labels to its conversations. Their texts "
        "are in the package, or in the folder that `prompts_dir` names:",
        table(prompts, rows=100),
        f"Settings: `{settings_hash}`. All of them are in `settings.json`.",
    ]
    return "\n\n".join(parts) + "\n"


_PAIRS = (
    "In the form of Infinity-Preference: `prompt`, and `chosen` and `rejected`, each the request with the best or the worst of the answers that were "
    "drawn to it. Licences and terms are those of InfInstruct-G."
)


def _turns(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by user turns, and their share."""
    counted = rows.group_by(conversation.turns_of("user").list.len().alias("user turns")).len("rows").sort("user turns")
    return counted.with_columns((pl.col("rows") / rows.height * 100).round(1).cast(pl.String).add(" %").alias("share"))
