"""A language model of a few thousand parameters, made on the spot, learns what it is shown, and only the answers."""

import json
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.models import local_path
from infinity_assets.rows.ids import with_row_ids
from infinity_assets.settings.foundation import Proxy
from infinity_assets.settings.models import ModelSpec
from infinity_assets.training import proxy
from infinity_assets_tests.frames import conversations

pytestmark = pytest.mark.engine

ROWS = with_row_ids(
    conversations(
        *(
            [("user", f"Say the number {n} in letters."), ("assistant", word)]
            for n, word in enumerate(["zero", "one", "two", "three"])
        ),
        [("user", "Hi"), ("assistant", "Hello!"), ("user", "Which number?"), ("assistant", "one")],
    ).to_frame()
)
QUICK = Proxy(epochs=30, batch=5, micro_batch=2, learning_rate=3e-2, warmup_steps=3, max_tokens=96)


@pytest.fixture(scope="module")
def train() -> ModuleType:
    """The script. It imports PyTorch at once, which no other test should pay for while it is collected."""
    return import_module("infinity_assets.training.train")


@pytest.fixture(scope="module")
def tokenizer_folder(models_dir: Path) -> Path:
    return local_path(ModelSpec(), models_dir)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A small Llama with seeded weights, beside the embedded model's tokenizer and chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    sizes: dict = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    model: Any = LlamaForCausalLM(
        LlamaConfig(vocab_size=49152, max_position_embeddings=256, tie_word_embeddings=True, **sizes)
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_folder / name, folder)
    return folder


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, proxy.Trained, list]:
    folder, told = tmp_path_factory.mktemp("proxies") / "first", []
    made = proxy.train(ROWS, QUICK, base, folder, lambda done, total, note: told.append((done, total)))
    return folder, made, told


def test_it_learns(trained: tuple[Path, proxy.Trained, list]) -> None:
    folder, made, told = trained
    assert made.curve.schema == proxy.CURVE
    assert (made.rows, made.left_out, made.curve.height) == (5, 0, 30)
    assert made.curve["loss"][-1] < 0.7 * made.curve["loss"][0]
    assert told == [(step, 30) for step in range(1, 31)]
    config = json.loads((folder / "config.json").read_text())
    assert (config["dtype"], (folder / "tokenizer.json").is_file()) == ("bfloat16", True)


def test_the_weights_are_those_of_the_training(
    train: ModuleType, trained: tuple[Path, proxy.Trained, list], base: Path
) -> None:
    """What is written gives the answers less loss than the base does."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def loss(folder: Path) -> float:
        tokenizer, model = (
            AutoTokenizer.from_pretrained(folder),
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        )
        tokens, learned = train.encode(tokenizer, ROWS["messages"].to_list()[1], 96) or ([], [])
        with torch.inference_mode():
            return model(input_ids=torch.tensor([tokens]), labels=torch.tensor([learned])).loss.item()

    assert loss(trained[0]) < 0.7 * loss(base)


def test_what_is_there_is_not_trained_again(trained: tuple[Path, proxy.Trained, list]) -> None:
    again = proxy.train(ROWS, QUICK, Path("nowhere"), trained[0])
    assert again.curve.equals(trained[1].curve)


def curve_of(
    train: ModuleType, settings: Proxy, base: Path, out: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> list[float]:
    """The losses of a training in this process: half of what one in another takes is imports."""
    (scratch / "job.json").write_text(
        json.dumps({"settings": settings.model_dump(), "base": str(base), "out": str(out)})
    )
    (scratch / "rows.jsonl").write_text("".join(json.dumps(messages) + "\n" for messages in ROWS["messages"].to_list()))
    train.main(scratch)
    return [json.loads(line)["loss"] for line in capsys.readouterr().out.splitlines() if '"loss"' in line]


def test_batches_may_be_cut_into_smaller_ones(
    train: ModuleType,
    trained: tuple[Path, proxy.Trained, list],
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same rows and seed give the same curve, whatever memory allows at a time."""
    whole = QUICK.model_copy(update={"micro_batch": 5})
    assert curve_of(train, whole, base, tmp_path / "whole", tmp_path, capsys) == pytest.approx(
        trained[1].curve["loss"].to_list(), rel=1e-3
    )
    assert proxy.name(ROWS, QUICK, "b") == proxy.name(ROWS, whole.model_copy(update={"enabled": True}), "b")


LORA = QUICK.model_copy(update={"method": "lora", "learning_rate": 1e-1})


def test_lora_is_merged_into_the_weights(
    train: ModuleType, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = curve_of(train, LORA, base, tmp_path / "lora", tmp_path, capsys)
    assert losses[-1] < losses[0]
    assert not (tmp_path / "lora" / "adapter_config.json").exists()
    assert json.loads((tmp_path / "lora" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_lora_wants_its_package(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "find_spec", lambda name: None)
    with pytest.raises(InfinityError, match="pip install"):
        proxy.train(ROWS, LORA, base, tmp_path / "lora")


def test_only_answers_are_learned(train: ModuleType, tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for messages in ROWS["messages"].to_list():
        tokens, learned = train.encode(tokenizer, messages, 512) or ([], [])
        assert [token for token, mark in zip(tokens, learned, strict=True) if mark not in (train.IGNORED, token)] == []
        said = tokenizer.decode([token for token in learned if token != train.IGNORED])
        assert said == "".join(f"{turn['content']}<|im_end|>\n" for turn in messages if turn["role"] == "assistant")


def test_a_row_whose_answer_is_cut_off_is_left_out(
    train: ModuleType, tokenizer_folder: Path, base: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    long = [{"role": "user", "content": "word " * 100}, {"role": "assistant", "content": "yes"}]
    assert train.encode(tokenizer, long, 64) is None
    with pytest.raises(InfinityError, match="none of the rows has an answer"):
        proxy.train(pl.DataFrame({"messages": [long]}), LORA, base, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_every_row_is_seen_once_an_epoch(train: ModuleType) -> None:
    rows = [([number], [number]) for number in range(7)]
    settings = {"seed": 1, "epochs": 3, "batch": 3}
    seen = [number for batch in train.batches(rows, settings) for (number,), _ in batch]
    assert sorted(seen) == sorted([*range(7)] * 3)
    assert sorted(seen[:7]) == [*range(7)]
    assert [*train.batches(rows, settings)] == [*train.batches(rows, settings)]


def test_the_learning_rate_rises_and_falls(train: ModuleType) -> None:
    settings = {"warmup_steps": 10, "learning_rate": 1.0}
    rates = [train.rate(step, 100, settings) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert (max(rates), rates[-1] < 0.01) == (1.0, True)
    assert train.rate(0, 1, settings) == 1.0


def test_the_sample_and_the_name_follow_from_the_rows() -> None:
    some = proxy.sampled(ROWS, Proxy(rows=3))
    assert some.height == 3
    assert proxy.sampled(ROWS.reverse(), Proxy(rows=3)).equals(some)
    assert proxy.name(some, Proxy(), "base") == proxy.name(
        proxy.sampled(ROWS.reverse(), Proxy(rows=3)), Proxy(), "base"
    )
    assert len({proxy.name(some, Proxy(), "base"), proxy.name(some, Proxy(), "other"), proxy.name(some, Proxy(seed=1), "base"),
                proxy.name(ROWS, Proxy(), "base")}) == 4  # fmt: skip
