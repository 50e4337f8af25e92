"""Script that fine-tunes a language model. `proxy.py` runs it in a separate process, so that its memory is released.

It is a plain PyTorch loop with a model of transformers. The loss is the mean over the answer tokens of a batch,
including the end of turn that the chat template adds. The optimizer is AdamW (betas 0.9 and 0.95, no weight decay) with
linear warm-up, cosine decay and gradients clipped to norm 1. The script trains all weights, or LoRA matrices (arXiv
2106.09685) and merges them into the weights. Weights and gradients are float32; on a GPU, activations are bfloat16.

The argument is a folder with `job.json` (`settings`, `base`, `out`) and `rows.jsonl` (messages). The script reports its
progress as JSON lines on standard output, and writes the model to `out` in the number format of the base model.
"""

import json
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

IGNORED_LABEL = -100


def encode(tokenizer: Any, messages: list[dict[str, str]], max_tokens: int) -> tuple[list[int], list[int]] | None:
    """Encode a conversation as tokens and labels, cut to `max_tokens`.

    Returns:
        The tokens, and as many labels: the token itself in answers and their end of turn, `IGNORED_LABEL` elsewhere.
        `None` if no token is left of the answers, or if the chat template does not render the first turns of the
        conversation as it renders them within the whole.
    """
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = []
    for place, turn in enumerate(messages):
        if turn["role"] == "assistant":
            before = tokenizer.apply_chat_template(messages[:place], tokenize=False, add_generation_prompt=True)
            after = tokenizer.apply_chat_template(messages[: place + 1], tokenize=False)
            if not text.startswith(after) or not after.startswith(before):
                return None
            spans.append((len(before), len(after)))
    options = {"add_special_tokens": False, "return_offsets_mapping": True}
    encoded = tokenizer(text, truncation=True, max_length=max_tokens, **options)
    tokens = encoded["input_ids"]
    labels = [
        token if any(start <= begin and end <= stop for start, stop in spans) and end > begin else IGNORED_LABEL
        for token, (begin, end) in zip(tokens, encoded["offset_mapping"], strict=True)
    ]
    return (tokens, labels) if any(label != IGNORED_LABEL for label in labels[1:]) else None


def iterate_batches(rows: list[Any], settings: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield the rows of each training step. Every epoch is shuffled; within a step, rows are sorted by length."""
    order = torch.Generator().manual_seed(settings["seed"])
    for _ in range(settings["epochs"]):
        places = torch.randperm(len(rows), generator=order).tolist()
        for start in range(0, len(places), settings["batch"]):
            batch = places[start : start + settings["batch"]]
            yield sorted((rows[place] for place in batch), key=lambda row: len(row[0]))


def pad_batch(rows: list[Any], device: str) -> dict[str, torch.Tensor]:
    """Pad a batch to input_ids, attention_mask and labels of shape (rows, longest row)."""

    def pad(lists: list[list[int]], filler: int) -> torch.Tensor:
        rows = [torch.tensor(values, device=device) for values in lists]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)

    return {
        "input_ids": pad([tokens for tokens, _ in rows], 0),
        "attention_mask": pad([[1] * len(tokens) for tokens, _ in rows], 0),
        "labels": pad([labels for _, labels in rows], IGNORED_LABEL),
    }


def learning_rate_at(step: int, steps: int, settings: dict[str, Any]) -> float:
    """Return the learning rate of a step, where steps are counted from 0."""
    warm = min(settings["warmup_steps"], steps - 1)
    if step < warm:
        return settings["learning_rate"] * (step + 1) / (warm + 1)
    return settings["learning_rate"] * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def main(folder: Path) -> None:
    """Train the model that the files in a folder describe."""
    warnings.simplefilter("ignore")
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    settings = job["settings"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings["seed"])
    tokenizer: Any = AutoTokenizer.from_pretrained(job["base"])
    with (folder / "rows.jsonl").open(encoding="utf-8") as lines:
        encoded = [encode(tokenizer, json.loads(line), settings["max_tokens"]) for line in lines]
    rows = [row for row in encoded if row is not None]
    if not rows:
        raise SystemExit("no row has an answer that the chat template frames within max_tokens")
    model: Any = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    stored = getattr(torch, str(json.loads((Path(job["base"]) / "config.json").read_text()).get("dtype", "float32")))
    if settings["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        rank = settings["lora_rank"]
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    model.to(device).train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
    steps = settings["epochs"] * math.ceil(len(rows) / settings["batch"])
    print(json.dumps({"rows": len(rows), "left_out": len(encoded) - len(rows), "steps": steps}), flush=True)
    for step, batch in enumerate(iterate_batches(rows, settings)):
        answers = sum(label != IGNORED_LABEL for _, targets in batch for label in targets[1:])
        loss = 0.0
        for start in range(0, len(batch), settings["micro_batch"]):
            tensors = pad_batch(batch[start : start + settings["micro_batch"]], device)
            labels = tensors.pop("labels")[:, 1:]
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                logits = model(**tensors).logits[:, :-1]
            counted = labels != IGNORED_LABEL
            loss_of = torch.nn.functional.cross_entropy
            part = loss_of(logits[counted].float(), labels[counted], reduction="sum") / answers
            part.backward()
            loss += part.item()
        rate = learning_rate_at(step, steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(json.dumps({"step": step + 1, "loss": loss, "learning_rate": rate, "tokens": answers}), flush=True)
    if settings["method"] == "lora":
        model = model.merge_and_unload()
    model.to("cpu", stored).save_pretrained(job["out"])
    tokenizer.save_pretrained(job["out"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
