"""Release: what trainers get.

| asset | grain | key |
|---|---|---|
| release | released row | dataset, row_id |
"""

import hashlib
import shutil

import polars as pl

from infinity_assets import prompts
from infinity_assets.atomic import replacing, write_text
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import card, charts
from infinity_assets.rows import schema, writers
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets.settings import settings_hash

_SETS = {"inf_instruct_f": "InfInstruct-F", "inf_instruct_g": "InfInstruct-G"}


@dataset(
    group="release",
    reads=(*_SETS, "tag_vocabulary"),
    settings=lambda s: (s, *prompts.hashes(s.prompts_dir, *prompts.names())),
    columns={"dataset": pl.String, "row_id": pl.String, "source": pl.String, "licence": pl.String, "line": pl.Int64},
    meaning={"dataset": "InfInstruct-F or InfInstruct-G", "line": "line of the JSONL files, from 0"},
    kinds=("polars", "json"),
)
def release(step: Step) -> Outcome:
    """F and G as files for trainers in `data/release`: Infinity-Instruct's schema and OpenAI messages (JSONL), a dataset card, the settings,
    checksums.

    Grain: one released row. Rows under a denied licence stay out, with a decision.
    """
    folder, denied = step.lake.data / "release", step.settings.release.denied_licences
    shutil.rmtree(folder, ignore_errors=True)
    sets, index, dropped = {}, [], []
    chinese = dict(step.read("tag_vocabulary").select("label", "label_zh").collect().iter_rows())
    for asset, name in _SETS.items():
        rows = step.read(asset).sort("row_id").collect()
        refused = rows.filter(pl.col("licence").is_in(denied))
        rows = rows.filter(~pl.col("licence").is_in(denied))
        _write_ndjson(writers.infinity_instruct(rows, chinese, ABILITIES), folder / f"{name}.jsonl")
        _write_ndjson(writers.openai_messages(rows), folder / f"{name}.messages.jsonl")
        sets[name] = rows
        index.append(
            rows.select(pl.lit(name).alias("dataset"), "row_id", "source", "licence", pl.int_range(pl.len(), dtype=pl.Int64).alias("line"))
        )
        dropped.append(
            refused.with_columns(
                pl.lit("dropped").alias("verdict"),
                pl.lit("licence_denied").alias("reason"),
                pl.struct("licence").struct.json_encode().alias("detail"),
            ).select(list(schema.DECISIONS))
        )
    settings = step.settings
    models = {part: getattr(settings.models, part).identity for part in ("generator", "tagger", "judge", "scorer", "embedder")}
    models |= {"synthesizer": settings.models.of_texts.identity}
    models |= {f"student {student.name}": student.model.identity for student in settings.models.students}
    asked = {prompt.label: prompt.hash for name in prompts.names() for prompt in prompts.wordings(name, settings.prompts_dir)}
    write_text(card.write(sets, models, asked, settings_hash(settings)), folder / "README.md")
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
            "licences": charts.table(
                pl.concat(index).group_by("dataset", "licence").len("rows").sort("dataset", pl.col("rows") * -1), rows=30
            ),
        },
    )


def _write_ndjson(frame: pl.DataFrame, path) -> None:
    with replacing(path) as temporary:
        frame.write_ndjson(temporary)
