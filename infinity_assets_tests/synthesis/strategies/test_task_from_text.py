from pathlib import Path

from infinity_assets.synthesis.strategies.task_from_text import TASKS, TaskFromText
from infinity_assets_tests.synthesis.strategies.scripted import Models, seeds

PASSAGE = {"kind": "text", "seed": "Moss grows in the shade."}


def test_the_passage_stands_behind_its_instruction(tmp_path: Path) -> None:
    models = Models(tmp_path, {"task_from_text": "Do it with this:"})
    some = seeds(*(PASSAGE for _ in range(80)))
    made = TaskFromText().write(some, models.asking, 1)
    assert set(made["text"]) == {"Do it with this:\n\nMoss grows in the shade."}
    assert set(made["operation"]) == set(TASKS)
    told = {text.partition("kind of task: ")[2].split("\n")[0] for text in models.told("task_from_text")}
    assert told == {english for english, _ in TASKS.values()}
    assert set(made["row_id"]) == set(some["row_id"])


def test_a_chinese_text_is_asked_about_in_chinese(tmp_path: Path) -> None:
    models = Models(tmp_path, {"task_from_text": "请写。"})
    TaskFromText().write(seeds({**PASSAGE, "language": "zh-Hant"}), models.asking, 1)
    (told,) = models.told("task_from_text")
    assert any(f"任务的类型：{chinese}\n" in told for _, chinese in TASKS.values())


def test_nothing_is_put_before_a_passage_that_got_no_instruction(tmp_path: Path) -> None:
    (line,) = TaskFromText().write(seeds(PASSAGE), Models(tmp_path, {}).asking, 1).to_dicts()
    assert (line["text"], line["error"]) == (None, "empty")


def test_only_texts_are_taken() -> None:
    both = seeds({}, PASSAGE, {"kind": "instruction"})
    assert both.filter(TaskFromText().takes())["kind"].to_list() == ["text"]
