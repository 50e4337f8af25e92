"""Labels that the tagger gives to rows, and the coarse abilities of each label.

The tagger writes free-form labels. The name (`scoring/vocabulary.py`), the coarse abilities and the Chinese name of a
label are decided once per label, not per row. The coarse abilities are the 25 categories of the figure in
Infinity-Instruct's README, and `other`.
"""

import re
from typing import Any

import polars as pl

from infinity_assets.rows.text import normalize_text

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
"""The Chinese name of each coarse ability (`cate_ability`), by its English name."""


def schema(max_labels: int) -> dict[str, Any]:
    """Return the JSON schema of the tagger's answer: up to `max_labels` labels of one to three words."""
    words = {"type": "string", "pattern": "^[a-z][a-z0-9+#]{1,15}( [a-z0-9+#]{1,15}){0,2}$"}
    return _schema_of_list("ability", words, max_labels)


def lift_schema() -> dict[str, Any]:
    """Return the JSON schema of the answer that gives a label its one or two coarse abilities."""
    return _schema_of_list("cate_ability", {"type": "string", "enum": list(ABILITIES)}, 2)


def _schema_of_list(name: str, items: dict[str, Any], most: int) -> dict[str, Any]:
    listed = {"type": "array", "items": items, "minItems": 1, "maxItems": most}
    return {"type": "object", "properties": {name: listed}, "required": [name], "additionalProperties": False}


def normalise(label: pl.Expr) -> pl.Expr:
    """Lowercase a label, replace special characters by spaces and collapse white space (InsTag, arXiv 2308.07074).

    `+` and `#` are kept, because C++ is not C.
    """
    return normalize_text(normalize_text(label).str.replace_all(r"[^\w\s+#]|_", " "))


def parse(answers: pl.DataFrame) -> pl.DataFrame:
    """Parse the tagger's answers (columns row_id, text, error). The text is a JSON object that fits `schema`, or null.

    Returns:
        One line per answer: row_id, raw_labels (list, distinct, in the model's order), tag_error.
    """
    return answers.select("row_id", raw_labels=_list_in_answer("ability"), tag_error="error")


def parse_lifted(answers: pl.DataFrame) -> pl.DataFrame:
    """Parse the coarse abilities in answers: row_id (the label), text (JSON that fits `lift_schema`, or null), error.

    Returns:
        One line per answer: label, cate_ability (distinct, in the model's order; null on an error), lift_error.
    """
    return answers.select(label="row_id", cate_ability=_list_in_answer("cate_ability"), lift_error="error")


def _list_in_answer(key: str) -> pl.Expr:
    """Return the distinct texts under a key of a JSON answer; null for an answer with an error."""
    fits = pl.when(pl.col("error").is_null()).then(pl.col("text"))
    listed = fits.str.json_decode(pl.Struct({key: pl.List(pl.String)})).struct.field(key)
    return listed.list.unique(maintain_order=True)


_NAME = r"^[\p{Han}A-Za-z0-9+#/ -]{1,20}$"
_STAMMER = re.compile(r"([^\x00-\x7f])\1|([^\x00-\x7f]{2,}).?\2")
"""A part that is repeated immediately, as small models write when they degenerate."""


def parse_chinese_names(answers: pl.DataFrame) -> pl.DataFrame:
    """Parse the Chinese names of labels in answers: row_id (the label), text, error.

    Returns:
        One line per answer: label, label_zh, name_error. `label_zh` is the first line of the text without quotes and
        full stops. It must be a Chinese name (Han characters, Latin letters and digits, at most 20 characters, no part
        repeated immediately) that no other label has. Otherwise it is null, and `name_error` is the reason:
        not_chinese, shared, or the error of the answer.
    """
    name = pl.col("text").str.strip_chars().str.extract(r"^([^\n]*)").str.strip_chars(" \t\"'“”‘’「」《》。.：:,，*")
    named = answers.select("row_id", "error", name=name)
    stammers = pl.Series([bool(text and _STAMMER.search(text)) for text in named["name"]], dtype=pl.Boolean)
    chinese = pl.col("name").str.contains(_NAME) & pl.col("name").str.contains(r"\p{Han}")
    fits = pl.col("error").is_null() & chinese & ~stammers
    shared = pl.when(fits).then("name").is_duplicated() & fits
    lacking = pl.when(~fits.fill_null(False)).then(pl.coalesce("error", pl.lit("not_chinese")))
    return named.select(
        label="row_id",
        label_zh=pl.when(fits & ~shared).then("name"),
        name_error=pl.when(shared).then(pl.lit("shared")).otherwise(lacking),
    )
