"""Every strategy on the embedded model, for real: it is small, so what it writes is held against the form of it alone."""

import os
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from infinity_assets.chat_settings import StrategyName
from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.engine import Engine
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings import Settings
from infinity_assets.synthesis.asking import Asking
from infinity_assets.synthesis.strategies import registry
from infinity_assets_tests.synthesis.strategies.scripted import seeds

pytestmark = pytest.mark.engine

SEEDS = seeds(
    {"seed": "How do I get candle wax out of a tablecloth?", "ability": ["household"], "cate_ability": None},
    {"seed": "What is a lien, and who may put one on a house?", "seed_answer": "A claim on a thing until a debt is paid."},
    {"seed": "怎样把蜡油从桌布上去掉？", "language": "zh", "ability": ["household"]},
    {"seed": "Add up the even numbers of a list.", "seed_answer": "def evens(numbers):\n    return sum(n for n in numbers if n % 2 == 0)",
     "domain": "code", "ability": ["loops", "sums"]},
    {"seed": "A train leaves at noon at 60 km/h. When is it 150 km away?", "domain": "math", "ability": None},
    {"seed": "The wool of merino sheep is fine. A sheep gives four kilograms of it a year, and is shorn in spring.", "kind": "text"},
    {"seed": "苔藓没有根，靠叶子吸水，所以在阴湿的石头上也能生长。", "kind": "text", "language": "zh"},
)  # fmt: skip
NAMES = get_args(StrategyName)


@pytest.mark.parametrize("name", NAMES)
def test_it_writes_for_what_it_takes(
    name: StrategyName, embedded_engine: Engine, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "INFINITY_MODELS", str(models_dir))
    short = {"max_tokens": 24}
    settings = Settings(
        chat={"evolution": {"strategies": {name: 1}, "sampling": short}, "answering": {"sampling": short}},  # pyright: ignore[reportArgumentType]
    )

    def write(engines: EnginePool) -> pl.DataFrame:
        return registry.write(SEEDS, Asking(Inference(ResponseStore(tmp_path), engines), settings, "evolved"), 1)

    made = write(EnginePool(models_dir, lambda spec, folder: embedded_engine))
    assert made["row_id"].equals(SEEDS["row_id"])
    taken = SEEDS.with_columns(takes=registry.STRATEGIES[name].takes())["takes"]
    assert made["strategy"].equals(pl.Series("strategy", [name if takes else "none" for takes in taken]))
    written = made.filter(pl.col("text").fill_null("") != "")
    assert written.height >= taken.sum() / 2, made
    assert written["error"].null_count() == written.height
    assert not written["text"].str.contains(r"<\|im_(start|end)\|>|^\s|\s$").any()
    assert written["text"].n_unique() == written.height
    # What is asked a second time is in the store: there is no engine.
    assert write(EnginePool(Path("nowhere"), lambda spec, models: pytest.fail("a model was asked"))).equals(made)
