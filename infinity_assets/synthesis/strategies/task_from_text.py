"""Bonito (arXiv 2402.18334): a task of some type out of a passage, which becomes part of the request."""

import polars as pl

from infinity_assets.prompts import CHINESE
from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, as_written

PROMPT = "task_from_text"

TASKS = {
    "summarise": ("summarise", "写摘要"),
    "questions": ("ask several questions about it", "就内容提几个问题"),
    "extract": ("extract facts", "提取信息"),
    "title": ("find a title", "拟标题"),
    "simplify": ("simplify", "改写得更通俗"),
    "classify": ("classify it, with the classes named", "分类（写明有哪几类）"),
    "verify": ("true or false", "判断正误"),
    "explain": ("explain the terms in it", "解释其中的术语"),
    "continue": ("say what follows from it", "由它推出结论"),
}
"""Types of tasks, by operation: English and Chinese. (Bonito has 16, of which those with an answer of one word are left out here.)"""


class TaskFromText(Strategy):
    """An instruction, a blank line, the passage."""

    name = "task_from_text"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """One."""
        return (PROMPT,)

    def takes(self) -> pl.Expr:
        """Texts."""
        return IS_TEXT

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """A type of task for each passage, drawn by row id, and an instruction for it."""
        place = (draw(f"task:{number}", seeds["row_id"]) * len(TASKS)).floor().cast(pl.Int64)
        chinese = pl.col("language").str.contains(CHINESE).fill_null(False)
        english_of, chinese_of = (pl.Series([task[side] for task in TASKS.values()]).gather(place) for side in (0, 1))
        asked = seeds.rename({"seed": "text"}).with_columns(
            pl.Series(list(TASKS)).gather(place).alias("operation"),
            task=pl.when(chinese).then(chinese_of).otherwise(english_of),
        )
        said = asking.write(PROMPT, asked, asking.settings.chat.evolution.sampling, told="tasks").rename(
            {"text": "instruction"}
        )
        both = pl.when(pl.col("instruction").fill_null("") != "").then(
            pl.concat_str("instruction", "text", separator="\n\n")
        )
        return as_written(asked.select("row_id", "text", "operation").join(said, on="row_id").with_columns(text=both))
