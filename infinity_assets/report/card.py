"""The dataset card of a release: contents, sources, licenses, terms, models and prompts."""

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
    """Return the card as markdown.

    Args:
        sets: Rows of each set, by its name: messages, source, licence, domain, language; terms if a model wrote them.
        models: One line per use of a model: part (its use), model (model@revision), terms, sampling.
        prompts: One line per prompt: prompt (name and language), version, hash, and a mark if G was made with it.
        left_out: Numbers of rows that the final filter of G dropped: reason, rows.
        pairs: Number of preference pairs.
    """
    pairs_text = (
        "In the form of Infinity-Preference: `prompt`, and `chosen` and `rejected`, each the request with the best or the "
        "worst of the answers sampled for it. Licenses and terms are those of InfInstruct-G."
    )
    parts = [
        "# InfInstruct, rebuilt",
        "InfInstruct-F is selected from open sources; InfInstruct-G is synthesized from seeds of the same pool. "
        "`infinity explain` tells the story of a row by its id. A synthesized row carries the most restrictive license "
        "of its parents; the terms of the model that wrote it apply too.",
    ]
    for name, rows in sets.items():
        parts.append(f"## {name}: {rows.height:,} rows")
        for column in ("licence", "terms", "source", "domain", "language"):
            if column in rows.columns:
                parts.append(table(rows.group_by(column).len("rows").sort(pl.col("rows") * -1, column), rows=50))
        turns = rows.group_by(conversation.turns_of("user").list.len().alias("user turns")).len("rows")
        share = (pl.col("rows") / rows.height * 100).round(1).cast(pl.String).add(" %")
        parts.append(table(turns.sort("user turns").with_columns(share=share), rows=50))
    parts += [
        *([f"## InfInstruct-preferences: {pairs:,} pairs", pairs_text] if pairs else []),
        "## Left out of InfInstruct-G by its final filter",
        table(left_out, rows=50),
        "## Made with",
        "The models, the terms of their answers, and the sampling:",
        table(models, rows=50),
        "The prompts in force; the last column marks those that made InfInstruct-G, from its labels to its "
        "conversations. Their texts are in the package, or in the folder `prompts_dir`:",
        table(prompts, rows=100),
        f"Settings: `{settings_hash}`. All of them are in `settings.json`.",
    ]
    return "\n\n".join(parts) + "\n"
