"""Fine-tunes a language model: a script, run by `proxy.py` in a process of its own, so that its memory goes back when it ends.

A plain loop of PyTorch over transformers: loss on the answers alone, as the chat template frames them, mean over the answer tokens of a batch; AdamW,
linear warm-up, cosine to 0, clipped gradients (recipe: Adam 0.9 / 0.95, no weight decay, clip 1.0). All weights, or LoRA (arXiv 2106.09685), which is
merged into them. Weights and gradients are float32 on a CPU; on a GPU what is computed in between is bf16.

It is given a folder with `job.json` (`settings`, `base`, `out`) and `rows.jsonl` (messages), writes lines of JSON to its standard output, and the
model to `out` in the numbers that the base has.
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

IGNORED = -100


def encode(tokenizer: Any, messages: list[dict[str, str]], max_tokens: int) -> tuple[list[int], list[int]] | None:
    """Tokens of a conversation and what is learned at each: itself in an answer with its end, nothing elsewhere. Null if no token of an answer is
    within the first `max_tokens`, or the template writes a beginning otherwise than the whole.
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
    coded = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, truncation=True, max_length=max_tokens
    )
    tokens = coded["input_ids"]
    learned = [
        token if any(start <= begin and end <= stop for start, stop in spans) and end > begin else IGNORED
        for token, (begin, end) in zip(tokens, coded["offset_mapping"], strict=True)
    ]
    return (tokens, learned) if any(token != IGNORED for token in learned[1:]) else None


def batches(rows: list[Any], settings: dict[str, Any]) -> Iterator[list[Any]]:
    """Rows of every step, epoch by epoch, in an order drawn by the seed; within a step by length, so that little is padding."""
    order = torch.Generator().manual_seed(settings["seed"])
    for _ in range(settings["epochs"]):
        places = torch.randperm(len(rows), generator=order).tolist()
        for start in range(0, len(places), settings["batch"]):
            yield sorted(
                (rows[place] for place in places[start : start + settings["batch"]]), key=lambda row: len(row[0])
            )


def padded(rows: list[Any], device: str) -> dict[str, torch.Tensor]:
    """A batch of tokens: input_ids, attention_mask, labels of shape (rows, longest)."""
    longest = max(len(tokens) for tokens, _ in rows)

    def filled(lists: list[list[int]], filling: int) -> torch.Tensor:
        return torch.tensor([values + [filling] * (longest - len(values)) for values in lists], device=device)

    return {
        "input_ids": filled([tokens for tokens, _ in rows], 0),
        "attention_mask": filled([[1] * len(tokens) for tokens, _ in rows], 0),
        "labels": filled([learned for _, learned in rows], IGNORED),
    }


def rate(step: int, steps: int, settings: dict[str, Any]) -> float:
    """The learning rate of a step, counted from 0."""
    warm = min(settings["warmup_steps"], steps - 1)
    if step < warm:
        return settings["learning_rate"] * (step + 1) / (warm + 1)
    return settings["learning_rate"] * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def main(folder: Path) -> None:
    """Do the job in a folder."""
    warnings.simplefilter("ignore")
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    settings, device = job["settings"], "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    with (folder / "rows.jsonl").open(encoding="utf-8") as lines:
        coded = [encode(tokenizer, json.loads(line), settings["max_tokens"]) for line in lines]
    rows = [row for row in coded if row is not None]
    if not rows:
        raise SystemExit("none of the rows has an answer that the chat template frames within max_tokens")
    model: Any = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    stored = getattr(torch, str(json.loads((Path(job["base"]) / "config.json").read_text()).get("dtype", "float32")))
    if settings["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        rank = settings["lora_rank"]
        model = get_peft_model(
            model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    model.to(device).train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
    steps = settings["epochs"] * math.ceil(len(rows) / settings["batch"])
    print(json.dumps({"rows": len(rows), "left_out": len(coded) - len(rows), "steps": steps}), flush=True)
    for step, batch in enumerate(batches(rows, settings)):
        answers = sum(token != IGNORED for _, learned in batch for token in learned[1:])
        loss = 0.0
        for start in range(0, len(batch), settings["micro_batch"]):
            tensors = padded(batch[start : start + settings["micro_batch"]], device)
            labels = tensors.pop("labels")[:, 1:]
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                logits = model(**tensors).logits[:, :-1]
            part = (
                torch.nn.functional.cross_entropy(
                    logits[labels != IGNORED].float(), labels[labels != IGNORED], reduction="sum"
                )
                / answers
            )
            part.backward()
            loss += part.item()
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, settings)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(
            json.dumps(
                {"step": step + 1, "loss": loss, "learning_rate": rate(step, steps, settings), "tokens": answers}
            ),
            flush=True,
        )
    if settings["method"] == "lora":
        model = model.merge_and_unload()
    model.to("cpu", stored).save_pretrained(job["out"])
    tokenizer.save_pretrained(job["out"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
