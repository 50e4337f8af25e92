"""A language model of a few thousand parameters learns the training rows, and of them only the answers."""

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
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings.foundation import Proxy
from infinity_assets.settings.models import ModelSpec
from infinity_assets.training import proxy
from infinity_assets_tests.frames import conversations

pytestmark = pytest.mark.engine

SHORT = [
    [("user", f"Say the number {n} in letters."), ("assistant", word)]
    for n, word in enumerate(["zero", "one", "two", "three"])
]
LONG = [("user", "Hi"), ("assistant", "Hello!"), ("user", "Which number?"), ("assistant", "one")]
ROWS = add_row_ids(conversations(*SHORT, LONG).to_frame())
QUICK = Proxy(epochs=30, batch=5, micro_batch=2, learning_rate=3e-2, warmup_steps=3, max_tokens=96)


@pytest.fixture(scope="module")
def train() -> ModuleType:
    """The training script, imported late, because it imports PyTorch and would slow down test collection."""
    return import_module("infinity_assets.training.train")


@pytest.fixture(scope="module")
def tokenizer_folder(models_dir: Path) -> Path:
    return local_path(ModelSpec(), models_dir)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A small Llama with seeded weights, and the embedded model's tokenizer and chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    sizes: dict = {"hidden_size": 16, "intermediate_size": 32, "vocab_size": 49152, "max_position_embeddings": 256}
    numbers: dict = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    model: Any = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **sizes, **numbers))
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_folder / name, folder)
    return folder


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, proxy.Trained, list]:
    folder, progress = tmp_path_factory.mktemp("proxies") / "first", []
    result = proxy.train(ROWS, QUICK, base, folder, lambda done, total, note: progress.append((done, total)))
    return folder, result, progress


def test_the_loss_falls(trained: tuple[Path, proxy.Trained, list]) -> None:
    folder, result, progress = trained
    assert result.curve.schema == proxy.CURVE
    assert (result.rows, result.left_out, result.curve.height) == (5, 0, 30)
    assert result.curve["loss"][-1] < 0.7 * result.curve["loss"][0]
    assert progress == [(step, 30) for step in range(1, 31)]
    config = json.loads((folder / "config.json").read_text())
    assert (config["dtype"], (folder / "tokenizer.json").is_file()) == ("bfloat16", True)


def test_the_trained_weights_are_saved(
    train: ModuleType, trained: tuple[Path, proxy.Trained, list], base: Path
) -> None:
    """The saved weights give answers a lower loss than the base."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def loss(folder: Path) -> float:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokens, labels = train.encode(tokenizer, ROWS["messages"].to_list()[1], 96) or ([], [])
        with torch.inference_mode():
            return model(input_ids=torch.tensor([tokens]), labels=torch.tensor([labels])).loss.item()

    assert loss(trained[0]) < 0.7 * loss(base)


def test_an_existing_proxy_is_not_trained_again(trained: tuple[Path, proxy.Trained, list]) -> None:
    again = proxy.train(ROWS, QUICK, Path("nowhere"), trained[0])
    assert again.curve.equals(trained[1].curve)


def train_here(
    train: ModuleType, settings: Proxy, base: Path, out: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> list[float]:
    """Train in this process and return the losses; another process would spend half its time on imports."""
    job = {"settings": settings.model_dump(), "base": str(base), "out": str(out)}
    (scratch / "job.json").write_text(json.dumps(job))
    (scratch / "rows.jsonl").write_text("".join(json.dumps(messages) + "\n" for messages in ROWS["messages"].to_list()))
    train.main(scratch)
    return [json.loads(line)["loss"] for line in capsys.readouterr().out.splitlines() if '"loss"' in line]


def test_the_micro_batch_does_not_change_the_curve(
    train: ModuleType,
    trained: tuple[Path, proxy.Trained, list],
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Equal rows and seeds give equal curves for any micro-batch."""
    whole = QUICK.model_copy(update={"micro_batch": 5, "enabled": True})
    losses = train_here(train, whole, base, tmp_path / "whole", tmp_path, capsys)
    assert losses == pytest.approx(trained[1].curve["loss"].to_list(), rel=1e-3)
    assert proxy.folder_name(ROWS, QUICK, "b") == proxy.folder_name(ROWS, whole, "b")


LORA = QUICK.model_copy(update={"method": "lora", "learning_rate": 1e-1})


def test_lora_is_merged_into_the_weights(
    train: ModuleType, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = train_here(train, LORA, base, tmp_path / "lora", tmp_path, capsys)
    assert losses[-1] < losses[0]
    assert not (tmp_path / "lora" / "adapter_config.json").exists()
    assert json.loads((tmp_path / "lora" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_lora_needs_its_package(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "find_spec", lambda name: None)
    with pytest.raises(InfinityError, match="pip install"):
        proxy.train(ROWS, LORA, base, tmp_path / "lora")


def test_only_answers_are_learned(train: ModuleType, tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder)
    for messages in ROWS["messages"].to_list():
        tokens, labels = train.encode(tokenizer, messages, 512) or ([], [])
        assert all(mark in (train.IGNORED_LABEL, token) for token, mark in zip(tokens, labels, strict=True))
        text = tokenizer.decode([token for token in labels if token != train.IGNORED_LABEL])
        assert text == "".join(f"{turn['content']}<|im_end|>\n" for turn in messages if turn["role"] == "assistant")


def test_a_row_whose_answer_is_cut_off_is_left_out(
    train: ModuleType, tokenizer_folder: Path, base: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    long = [{"role": "user", "content": "word " * 100}, {"role": "assistant", "content": "yes"}]
    assert train.encode(tokenizer, long, 64) is None
    with pytest.raises(InfinityError, match="no row has an answer"):
        proxy.train(pl.DataFrame({"messages": [long]}), LORA, base, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_every_row_is_seen_once_an_epoch(train: ModuleType) -> None:
    rows = [([number], [number]) for number in range(7)]
    settings = {"seed": 1, "epochs": 3, "batch": 3}
    seen = [number for batch in train.iterate_batches(rows, settings) for (number,), _ in batch]
    assert sorted(seen) == sorted([*range(7)] * 3)
    assert sorted(seen[:7]) == [*range(7)]
    assert [*train.iterate_batches(rows, settings)] == [*train.iterate_batches(rows, settings)]


def test_the_learning_rate_rises_and_falls(train: ModuleType) -> None:
    settings = {"warmup_steps": 10, "learning_rate": 1.0}
    rates = [train.learning_rate_at(step, 100, settings) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert (max(rates), rates[-1] < 0.01) == (1.0, True)
    assert train.learning_rate_at(0, 1, settings) == 1.0


def test_the_sample_and_the_folder_name_depend_on_the_rows() -> None:
    sample = proxy.draw_sample(ROWS, Proxy(rows=3))
    assert sample.height == 3
    assert proxy.draw_sample(ROWS.reverse(), Proxy(rows=3)).equals(sample)
    inputs = [(sample, Proxy(), "base"), (sample, Proxy(), "other"), (sample, Proxy(seed=1), "base")]
    assert len({proxy.folder_name(*arguments) for arguments in [*inputs, (ROWS, Proxy(), "base")]}) == 4
