from pathlib import Path

from infinity_assets.synthesis.strategies.task_from_text import TASKS, TaskFromText
from infinity_assets_tests.synthesis.strategies.scripted import Models, seeds

PASSAGE = {"kind": "text", "seed": "Moss grows in the shade."}


def test_the_passage_follows_its_instruction(tmp_path: Path) -> None:
    models = Models(tmp_path, {"task_from_text": "Do it with this:"})
    some = seeds(*(PASSAGE for _ in range(80)))
    made = TaskFromText().write(some, models.asking, 1)
    assert set(made["text"]) == {"Do it with this:\n\nMoss grows in the shade."}
    assert set(made["operation"]) == set(TASKS)
    types = {text.partition("kind of task: ")[2].split("\n")[0] for text in models.last_turns("task_from_text")}
    assert types == {english for english, _ in TASKS.values()}
    assert set(made["row_id"]) == set(some["row_id"])


def test_a_chinese_text_is_asked_about_in_chinese(tmp_path: Path) -> None:
    models = Models(tmp_path, {"task_from_text": "请写。"})
    TaskFromText().write(seeds({**PASSAGE, "language": "zh-Hant"}), models.asking, 1)
    (turn,) = models.last_turns("task_from_text")
    assert any(f"任务的类型：{chinese}\n" in turn for _, chinese in TASKS.values())


def test_a_passage_without_an_instruction_has_no_text(tmp_path: Path) -> None:
    (line,) = TaskFromText().write(seeds(PASSAGE), Models(tmp_path, {}).asking, 1).to_dicts()
    assert (line["text"], line["error"]) == (None, "empty")
