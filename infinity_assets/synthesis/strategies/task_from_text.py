"""Bonito (arXiv 2402.18334): a task of a drawn type on a passage, which becomes part of the request."""

import polars as pl

from infinity_assets.prompts import CHINESE
from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, Strategy, to_written

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
"""Types of tasks by operation, in English and Chinese. (Bonito has 16; those with one-word answers are left out.)"""


class TaskFromText(Strategy):
    """A request of an instruction, a blank line and the passage."""

    name = "task_from_text"

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the prompt."""
        return (PROMPT,)

    def takes(self) -> pl.Expr:
        """Select texts."""
        return IS_TEXT

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Draw a type of task for each passage by row id, and write an instruction for it."""
        place = (draw(f"task:{number}", seeds["row_id"]) * len(TASKS)).floor().cast(pl.Int64)
        chinese = pl.col("language").str.contains(CHINESE).fill_null(False)
        english_of, chinese_of = (pl.Series([task[side] for task in TASKS.values()]).gather(place) for side in (0, 1))
        asked = seeds.rename({"seed": "text"}).with_columns(
            pl.Series(list(TASKS)).gather(place).alias("operation"),
            task=pl.when(chinese).then(chinese_of).otherwise(english_of),
        )
        answers = asking.write(PROMPT, asked, asking.settings.chat.evolution.sampling, progress_label="tasks").rename(
            {"text": "instruction"}
        )
        both = pl.when(pl.col("instruction").fill_null("") != "").then(
            pl.concat_str("instruction", "text", separator="\n\n")
        )
        return to_written(
            asked.select("row_id", "text", "operation").join(answers, on="row_id").with_columns(text=both)
        )
