"""Bonito (arXiv 2402.18334): a task on a passage. The type of the task is drawn, and the request includes the passage."""

import polars as pl

from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking, choose_language
from infinity_assets.synthesis.strategy import IS_TEXT, Strategy, draw_place, to_written

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
"""Types of tasks by operation, in English and Chinese. (Bonito has 16, including types with one-word answers.)"""


class TaskFromText(Strategy):
    """A request that consists of an instruction, a blank line and the passage."""

    operations = dict.fromkeys(TASKS, "on_text")
    takes = IS_TEXT

    def prompts(self, settings: Evolution) -> tuple[str, ...]:
        """Return the name of the prompt."""
        return (PROMPT,)

    def write(self, seeds: pl.DataFrame, asking: Asking, number: int) -> pl.DataFrame:
        """Draw a type of task for each passage by row id, and write an instruction of this type."""
        place = draw_place(seeds, f"task:{number}", len(TASKS))
        operation, english, chinese = (
            pl.lit(pl.Series(names)).gather(place) for names in (list(TASKS), *zip(*TASKS.values(), strict=True))
        )
        task = choose_language(english, chinese)
        asked = seeds.rename({"seed": "text"}).with_columns(operation=operation, task=task)
        answers = asking.write(PROMPT, asked, asking.settings.chat.evolution.sampling, progress_label="tasks")
        made = asked.select("row_id", "operation", passage="text").join(answers, on="row_id")
        both = pl.concat_str("text", "passage", separator="\n\n")
        return to_written(made.with_columns(text=pl.when(pl.col("text").fill_null("") != "").then(both)))
