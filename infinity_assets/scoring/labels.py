"""Labels: one coarse ability of a fixed list, and up to a few fine labels in the model's own words.

The list has the 25 categories of Infinity-Instruct's README figure and `other`; every one has its Chinese name, so that the two lists of
a released row always have the same length.
"""

from typing import Any

import polars as pl

from infinity_assets.rows.text import normalised

ABILITIES: dict[str, str] = {
    "natural language processing": "自然语言处理",
    "information processing": "信息处理",
    "logic and reasoning": "逻辑与推理",
    "creativity and design": "创意与设计",
    "programming": "编程与开发",
    "education and consulting": "教育与咨询",
    "mathematics": "数学能力",
    "problem solving": "问题解决",
    "data science": "数据科学",
    "life skills": "生活技能",
    "humanities and social sciences": "人文与社会科学",
    "knowledge questions": "知识问答",
    "finance and business": "金融与商业",
    "science and engineering": "科学与工程",
    "languages and cultures": "语言与文化",
    "medicine and health": "医疗与健康",
    "research": "研究",
    "communication": "沟通与社交",
    "project management": "项目管理",
    "literature and art": "文学与艺术",
    "task generation": "任务生成",
    "law": "法律",
    "psychology": "心理",
    "task completion": "任务执行",
    "safety": "安全",
    "other": "其他",
}
"""Coarse abilities (`cate_ability`), English to Chinese."""


def schema(max_labels: int) -> dict[str, Any]:
    """The JSON schema that the tagger's answer must fit: labels of up to three words."""
    return {
        "type": "object",
        "properties": {
            "ability": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[a-z][a-z0-9+#]{1,15}( [a-z0-9+#]{1,15}){0,2}$"},
                "minItems": 1,
                "maxItems": max_labels,
            },
        },
        "required": ["ability"],
        "additionalProperties": False,
    }


def normalise(label: pl.Expr) -> pl.Expr:
    """Lower case, special characters to spaces, white space collapsed (the first steps of InsTag, arXiv 2308.07074)."""
    return normalised(label.str.replace_all(r"[^\w\s+#]", " "))


def parse(answers: pl.DataFrame) -> pl.DataFrame:
    """The tagger's answers as columns.

    Args:
        answers: Columns row_id, text (a JSON object that fits `schema`, or null), error.

    Returns:
        One line per answer: row_id, cate_ability, ability (list of fine labels, distinct, in the model's order), tag_error.
    """
    # An answer with an error keeps its text, which need not be JSON.
    fits = pl.when(pl.col("error").is_null()).then(pl.col("text"))
    decoded = answers.with_columns(
        fits.str.json_decode(pl.Struct({"ability": pl.String, "labels": pl.List(pl.String)})).alias("tag")
    ).unnest("tag")
    labels = pl.col("labels").list.eval(normalise(pl.element())).list.unique(maintain_order=True)
    return decoded.select("row_id", pl.col("ability").alias("cate_ability"), labels.alias("ability"), pl.col("error").alias("tag_error"))


def vocabulary(tagged: pl.LazyFrame) -> pl.DataFrame:
    """The fine labels in use.

    Args:
        tagged: Columns cate_ability and ability, one line per row.

    Returns:
        One line per label: label, rows (how many carry it), cate_ability (the ability it occurs with most often; the alphabetically
        first on a tie), share (of all labelled rows).
    """
    pairs = tagged.filter(pl.col("ability").is_not_null()).select("cate_ability", pl.col("ability").alias("label"))
    total = pairs.select(pl.len()).collect().item()
    counts = pairs.explode("label").group_by("label", "cate_ability").len("n").sort(pl.col("n") * -1, "cate_ability")
    return (
        counts.group_by("label", maintain_order=True)
        .agg(pl.col("n").sum().cast(pl.Int64).alias("rows"), pl.col("cate_ability").first())
        .with_columns((pl.col("rows") / max(total, 1)).alias("share"))
        .sort(pl.col("rows") * -1, "label")
        .collect()
    )
