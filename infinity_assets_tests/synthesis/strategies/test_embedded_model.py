"""Every strategy with the embedded model, which is so small that only the form of its rewrites is checked."""

from functools import partial
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.inference.batched import BatchedInference, InferenceBatch
from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings import Settings
from infinity_assets.settings.chat import STRATEGY_NAMES
from infinity_assets.settings.models import Sampling, Student
from infinity_assets.synthesis import dispatch
from infinity_assets.synthesis.prompting import Asking
from infinity_assets_tests.inference.doubles import EMBEDDED
from infinity_assets_tests.synthesis.strategies.scripted import seeds

pytestmark = pytest.mark.engine

SEEDS = seeds(
    {"seed": "How do I get candle wax out of a tablecloth?", "ability": ["household"], "cate_ability": None},
    {"seed": "怎样把蜡油从桌布上去掉？", "language": "zh", "ability": ["household"]},
    {"seed": "Add up the even numbers of a list.",
     "seed_answer": "def evens(numbers):\n    return sum(n for n in numbers if n % 2 == 0)",
     "domain": "code", "ability": ["loops", "sums"]},
    {"seed": "The wool of merino sheep is fine. A sheep gives four kilograms of it a year, and is shorn in spring.",
     "kind": "text"},
    {"seed": "苔藓没有根，靠叶子吸水，所以在阴湿的石头上也能生长。", "kind": "text", "language": "zh"},
)  # fmt: skip


def write(name: str, inference: Inference) -> pl.DataFrame:
    """Return the rows that a strategy writes for the seeds."""
    short = {"max_tokens": 32}
    once = {"retries": {"truncated": 0}}
    student = Student(name="student", model=EMBEDDED, sampling=Sampling(max_tokens=48))
    settings = Settings(
        models={"generator": EMBEDDED, "judge": EMBEDDED, "students": [student]},
        chat={
            "evolution": {"strategies": {name: 1}, "sampling": short, "json_sampling": {"max_tokens": 112}},
            "answering": {"sampling": short},
        },
        calls=once,
    )
    return dispatch.write(SEEDS, Asking(inference, settings, "evolved"), 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResponseStore:
    return ResponseStore(tmp_path_factory.mktemp("responses"))


@pytest.fixture(scope="module")
def written(engines: EnginePool, store: ResponseStore) -> dict[str, pl.DataFrame | BaseException]:
    """Return the rows or the error of each strategy. All run in one batch, which takes no longer than a single
    answer.
    """
    batch = InferenceBatch(Inference(store, engines))
    made = batch.run([partial(write, name, BatchedInference(batch, store, engines)) for name in STRATEGY_NAMES])
    return dict(zip(STRATEGY_NAMES, made, strict=True))


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_it_writes_an_instruction_for_the_seeds_that_it_takes(
    name: str,
    written: dict[str, pl.DataFrame | BaseException],
    store: ResponseStore,
    models_dir: Path,
) -> None:
    made = written[name]
    assert isinstance(made, pl.DataFrame), made
    assert made["row_id"].equals(SEEDS["row_id"])
    taken = SEEDS.with_columns(takes=dispatch.STRATEGIES[name].takes.fill_null(False))["takes"]
    assert made["strategy"].equals(pl.Series("strategy", [name if takes else "none" for takes in taken]))
    texts = made.filter(pl.col("text").fill_null("") != "")
    assert texts.height >= taken.sum() / 2, made
    assert texts["error"].null_count() == texts.height
    assert not texts["text"].str.contains(r"<\|im_(start|end)\|>|^\s|\s$").any()
    assert texts["text"].n_unique() == texts.height
    # The second run finds every response in the store and needs no engine.
    nobody = EnginePool(models_dir, lambda spec, models: pytest.fail("a model was asked"))
    assert write(name, Inference(store, nobody)).equals(made)
