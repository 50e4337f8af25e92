"""Domain and labels of a seed in the words of its language, for prompts that name them."""

import polars as pl

from infinity_assets.prompts import CHINESE
from infinity_assets.scoring.labels import ABILITIES

DOMAINS = {
    "math": ("mathematics", "数学"),
    "code": ("programming", "编程"),
    "knowledge": ("general knowledge", "百科知识"),
    "chat": ("everyday life", "日常生活"),
}
"""Domains in words, English and Chinese."""


def add_metadata(seeds: pl.DataFrame) -> pl.DataFrame:
    """Add the domain and labels of seeds in words.

    Args:
        seeds: `SEEDS`.

    Returns:
        The lines with `domain` in words, `use_case` (the coarse abilities, or the domain) and `skills` (the fine
        labels, or the use case), never null. Fine labels are English even for a Chinese row.
    """
    chinese = pl.col("language").str.contains(CHINESE).fill_null(False)
    english_of, chinese_of = ({domain: names[place] for domain, names in DOMAINS.items()} for place in (0, 1))

    def describe_domain(names: dict[str, str]) -> pl.Expr:
        return pl.col("domain").replace_strict(
            names, default=pl.col("domain").fill_null(names["chat"]), return_dtype=pl.String
        )

    def join_labels(name: str, translated: bool = False) -> pl.Expr:
        labels = pl.col(name).list.eval(pl.element().replace(ABILITIES)) if translated else pl.col(name)
        joined = labels.list.drop_nulls().list.join("、" if translated else ", ")
        return pl.when(joined != "").then(joined)

    domain = pl.when(chinese).then(describe_domain(chinese_of)).otherwise(describe_domain(english_of))
    use_case = pl.coalesce(
        pl.when(chinese).then(join_labels("cate_ability", translated=True)).otherwise(join_labels("cate_ability")),
        domain,
    )
    return seeds.with_columns(domain=domain, use_case=use_case, skills=pl.coalesce(join_labels("ability"), use_case))
