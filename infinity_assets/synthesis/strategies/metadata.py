"""What a seed is about, in the words of its own language: domain and labels, for prompts that name them."""

import polars as pl

from infinity_assets.prompts import CHINESE
from infinity_assets.scoring.labels import ABILITIES

DOMAINS = {
    "math": ("mathematics", "数学"),
    "code": ("programming", "编程"),
    "knowledge": ("general knowledge", "百科知识"),
    "chat": ("everyday life", "日常生活"),
}
"""The domains in words, English and Chinese."""


def about(seeds: pl.DataFrame) -> pl.DataFrame:
    """The seeds with what they are about.

    Args:
        seeds: `SEEDS`.

    Returns:
        The same lines with `domain` in words, `use_case` (the coarse abilities, or the domain) and `skills` (the fine labels, or the use case), none
        of them null. Fine labels are English, also of a Chinese row.
    """
    chinese = pl.col("language").str.contains(CHINESE).fill_null(False)
    english_of, chinese_of = ({domain: names[place] for domain, names in DOMAINS.items()} for place in (0, 1))

    def in_words(of: dict[str, str]) -> pl.Expr:
        return pl.col("domain").replace_strict(
            of, default=pl.col("domain").fill_null(of["chat"]), return_dtype=pl.String
        )

    def listed(name: str, translated: bool = False) -> pl.Expr:
        labels = pl.col(name).list.eval(pl.element().replace(ABILITIES)) if translated else pl.col(name)
        joined = labels.list.drop_nulls().list.join("、" if translated else ", ")
        return pl.when(joined != "").then(joined)

    domain = pl.when(chinese).then(in_words(chinese_of)).otherwise(in_words(english_of))
    use_case = pl.coalesce(
        pl.when(chinese).then(listed("cate_ability", translated=True)).otherwise(listed("cate_ability")), domain
    )
    return seeds.with_columns(domain=domain, use_case=use_case, skills=pl.coalesce(listed("ability"), use_case))
