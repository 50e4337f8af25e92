"""The dataset card of a release: what is in it, from where, under which licences, made by what. Every number is counted, none is kept by hand."""

from collections.abc import Mapping

import polars as pl

from infinity_assets.report.charts import table


def write(sets: Mapping[str, pl.DataFrame], models: Mapping[str, str], prompts: Mapping[str, str], settings_hash: str) -> str:
    """The card, as markdown.

    Args:
        sets: Name of a set to its rows (source, licence, domain, language).
        models: Part played to model@revision.
        prompts: Prompt name, with its language, to hash.
        settings_hash: Hash of all settings.
    """
    parts = [
        "# InfInstruct, rebuilt",
        "InfInstruct-F is selected from open sources; InfInstruct-G is synthesised from seeds of the same pool. Every row has an id that "
        "`infinity explain` turns into its story. Synthesised rows carry the most restrictive licence of their parents; the terms of the "
        "generating model apply besides.",
    ]
    for name, rows in sets.items():
        parts += [f"## {name}: {rows.height:,} rows"]
        for column in ("licence", "source", "domain", "language"):
            counted = rows.group_by(column).len("rows").sort(pl.col("rows") * -1, column)
            parts.append(table(counted, rows=50))
    parts += [
        "## Made with",
        table(pl.DataFrame(list(models.items()), schema=["part", "model"], orient="row"), rows=50),
        table(pl.DataFrame(list(prompts.items()), schema=["prompt", "hash"], orient="row"), rows=50),
        f"Settings: `{settings_hash}`. All of them are in `settings.json`.",
    ]
    return "\n\n".join(parts) + "\n"
