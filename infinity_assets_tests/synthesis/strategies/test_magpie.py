from pathlib import Path

import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.inference.requests import CompleteRequest
from infinity_assets.inference.weights.tokens import UserTurn
from infinity_assets.settings import Settings
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies import magpie
from infinity_assets.synthesis.strategies.magpie import Magpie
from infinity_assets_tests.synthesis.strategies.scripted import Models, seeds

CHATML = UserTurn("<|im_start|>system\nTHE_SYSTEM_PROMPT<|im_end|>\n<|im_start|>user\n", ("<|im_end|>",))


def test_the_prompt_ends_where_the_user_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(magpie, "read_user_turn", lambda spec, folder: CHATML)
    models = Models(tmp_path, {"magpie": " What is a lien?\n"})
    some = seeds(
        {},
        {"language": "zh", "domain": "math", "cate_ability": ["mathematics"], "ability": ["fractions"]},
        {"ability": None},
    )
    made = Magpie().write(some, models.asking, 1)
    assert set(made["text"]) == {"What is a lien?"}
    requests = sorted((r for r in models.engine.asked if isinstance(r, CompleteRequest)), key=lambda r: r.row_id)
    english, chinese, unlabelled = (request.text for request in requests)
    assert english.startswith("<|im_start|>system\nYou are an assistant that helps people with everyday life.")
    assert english.endswith("to do with: contracts. The user writes in English.<|im_end|>\n<|im_start|>user\n")
    assert "在数学方面" in chinese
    assert "fractions" in chinese
    assert "to do with: law." in unlabelled
    assert {request.stop for request in requests} == {("<|im_end|>",)}
    assert len({request.seed for request in requests}) == 3, "equal prompts have different sampling seeds"


def test_a_model_on_a_server_is_refused_in_one_sentence(tmp_path: Path) -> None:
    served = Settings(models={"generator": {"backend": "openai", "model": "far-away"}})
    with pytest.raises(InfinityError, match=r"`magpie` needs .* far-away runs on a server") as error:
        Magpie().write(seeds({}), Asking(Models(tmp_path, {}).asking.inference, served, "evolved"), 1)
    assert "\n" not in str(error.value)
