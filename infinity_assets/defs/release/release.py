"""`release`: the files for trainers. Grain: a released row. Key: dataset, row_id."""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import polars as pl

from infinity_assets import prompts
from infinity_assets.atomic import replace_file, write_text
from infinity_assets.catalog.lake import Outcome
from infinity_assets.catalog.verdicts import find_masked_turns
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.registry import REGISTERED
from infinity_assets.defs.step import Step
from infinity_assets.report import card, charts
from infinity_assets.rows import writers
from infinity_assets.rows.frames import count_by, decide, json_detail
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets.settings import Settings, settings_hash
from infinity_assets.settings.models import Sampling

_SETS = {"inf_instruct_f": "InfInstruct-F", "inf_instruct_g": "InfInstruct-G"}


@dataset(
    group="release",
    invariants=("conservation", "unique"),
    reads=(*_SETS, "preferences", "tag_vocabulary"),
    settings=lambda s: (s, *prompts.hashes(s.prompts_dir, *prompts.names())),
    columns={"dataset": pl.String, "row_id": pl.String, "source": pl.String, "licence": pl.String, "line": pl.Int64},
    kinds=("polars", "json"),
    version="3",
)
def release(step: Step) -> Outcome:
    """InfInstruct-F and InfInstruct-G as files for trainers, in `data/release`.

    Grain: one released row. Key: dataset, row_id. The files are both sets in Infinity-Instruct's schema and as OpenAI
    messages (JSONL), preference pairs, a dataset card, the settings and checksums. Rows with a denied licence are
    left out and have a decision. No answer is released that its dataset excludes from training.
    """
    folder, denied = step.lake.data / "release", step.settings.release.denied_licences
    shutil.rmtree(folder, ignore_errors=True)
    sets, index, dropped = {}, [], []
    masked = find_masked_turns(step.lake).collect(engine="streaming")
    chinese = dict(step.read("tag_vocabulary").select("label", "label_zh").collect().iter_rows())
    for asset, name in _SETS.items():
        rows = step.read(asset).sort("row_id").collect()
        is_denied = pl.col("licence").is_in(denied)
        refused = rows.filter(is_denied)
        whole = rows.filter(~is_denied).join(masked, on="row_id", how="left", maintain_order="left")
        rows = writers.cut_masked(whole, drop=step.settings.release.masked_turns == "drop")
        masked_out = whole.join(rows, on="row_id", how="anti", maintain_order="left")
        _write_ndjson(writers.infinity_instruct(rows, chinese, ABILITIES), folder / f"{name}.jsonl")
        _write_ndjson(writers.openai_messages(rows), folder / f"{name}.messages.jsonl")
        sets[name] = rows
        line = pl.int_range(pl.len(), dtype=pl.Int64).alias("line")
        index.append(rows.select(pl.lit(name).alias("dataset"), "row_id", "source", "licence", line))
        dropped.append(decide(refused, reason="licence_denied", detail=json_detail("licence")))
        dropped.append(decide(masked_out, reason="masked_turns", detail=json_detail("masked_turns")))
    settings, pairs = step.settings, write_pairs(step.read("preferences").collect(), folder, denied)
    not_in_g = step.lake.ledger_table("decisions", "inf_instruct_g").filter(verdict="dropped")
    left_out = count_by(not_in_g, "reason").collect()
    written = card.write(sets, _models(settings), _prompts(settings), left_out, pairs, settings_hash(settings))
    write_text(written, folder / "README.md")
    write_text(settings.model_dump_json(indent=1), folder / "settings.json")
    files = sorted(folder.iterdir())
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()), folder / "SHA256SUMS")
    listing = pl.DataFrame([(f.name, f.stat().st_size) for f in files], schema=["file", "bytes"], orient="row")
    return Outcome(
        pl.concat(index),
        rows_in=sum(rows.height for rows in sets.values()) + sum(rows.height for rows in dropped),
        decisions=pl.concat(dropped),
        artefacts=sorted(folder.iterdir()),
        measures={"folder": str(folder)},
        charts={
            "files": charts.table(listing),
            "licences": charts.table(count_by(pl.concat(index), "dataset", "licence", within=1), rows=30),
        },
    )


def write_pairs(pairs: pl.DataFrame, folder: Path, denied: Collection[str]) -> int:
    """Write preference pairs in the format of Infinity-Preference, except pairs with a denied licence.

    Returns:
        The number of written pairs.
    """
    released = pairs.filter(~pl.col("licence").is_in(denied)).sort("row_id")
    _write_ndjson(writers.infinity_preference(released), folder / "InfInstruct-preferences.jsonl")
    return released.height


def _models(settings: Settings) -> pl.DataFrame:
    """Return the models by their part in the recipe (generator, judge, ...): part, model, terms, sampling."""
    models, chat = settings.models, settings.chat

    def describe_sampling(sampling: Sampling) -> str:
        return f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, at most {sampling.max_tokens} tokens"

    samples = chat.answering.samples
    best = f", the best of {samples} by {chat.answering.best_by}" if samples > 1 else ""
    greedy = "one token, by its probabilities"
    as_user = describe_sampling(chat.conversations.user_sampling)
    parts = [
        ("generator, of instructions", models.generator, describe_sampling(chat.evolution.sampling)),
        ("generator, of answers", models.generator, describe_sampling(chat.answering.sampling) + best),
        ("generator, as the user of conversations", models.generator, as_user),
        ("synthesizer, of pairs about texts", models.effective_synthesizer, ""),
        ("judge", models.judge, greedy),
        ("judge, of deficiencies", models.judge, describe_sampling(chat.diagnosis.deficiency_sampling)),
        ("tagger", models.tagger, "greedy"),
        ("scorer", models.scorer, ""),
    ]
    parts += [(f"student {one.name}", one.model, describe_sampling(one.sampling)) for one in models.students]
    lines = [(part, model.weights_id, model.terms, sampling) for part, model, sampling in parts]
    lines.append(("embedder", models.embedder.weights_id, "", ""))
    lines += [("reward", models.reward.weights_id, "", "")] if models.reward else []
    return pl.DataFrame(lines, schema=["part", "model", "terms", "sampling"], orient="row")


def _prompts(settings: Settings) -> pl.DataFrame:
    """Return all prompts: prompt, version, hash, and G ("yes" if an asset of the group `chat` depends on it)."""
    of_g = {str(part) for asset in REGISTERED.values() if asset.group == "chat" for part in asset.settings(settings)}
    lines = [
        (prompt.label, prompt.version, prompt.hash, "yes" if prompt.hash in of_g else "")
        for name in prompts.names()
        for prompt in prompts.load_all(name, settings.prompts_dir)
    ]
    return pl.DataFrame(lines, schema=["prompt", "version", "hash", "G"], orient="row")


def _write_ndjson(frame: pl.DataFrame, path: Path) -> None:
    with replace_file(path) as temporary:
        frame.write_ndjson(temporary)
