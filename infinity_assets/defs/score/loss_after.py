"""`loss_after`: the loss of each answer under the weights of `tuned`. Grain: a row with a loss. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs import training
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.report import charts
from infinity_assets.scoring import likelihood

_LOSS_AFTER = pl.Schema({"row_id": pl.String, "loss_after": pl.Float64, "loss_after_error": pl.String})


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated", "scored", "tuned"),
    settings=lambda s: (*training.weights_key(s.chat.seeds.tuned, s.models.scorer), s.models.scorer.answer_id),
    columns=_LOSS_AFTER,
    kinds=("polars", "parquet", "vllm"),
)
def loss_after(step: Step) -> Outcome:
    """The loss of each answer under the fine-tuned scorer. Column `loss` of `scored` is the loss before fine-tuning.

    Grain: one row with a loss in `scored`. Key: row_id. The table is empty unless `chat.seeds.tuned.enabled` is true.
    """
    weights = training.weights_of(step.lake, "tuned") if step.settings.chat.seeds.tuned.enabled else None
    if weights is None:
        return Outcome(pl.DataFrame(schema=_LOSS_AFTER), measures={"losses": "none: `tuned` has trained no model"})
    before = step.read("scored").drop_nulls("loss").select("row_id", "loss")
    rows = step.read("decontaminated").join(before, on="row_id", how="semi", maintain_order="left").collect()
    model = training.tuned_model(step.settings.models.scorer, weights)
    requests = batch.build_answer_score_requests(step.sampled(rows), with_context=True)
    asked = step.inference().score(model, requests, "loss after training")
    table = likelihood.mean_loss(asked.frame, "loss_after").select(list(_LOSS_AFTER))
    fell = table.join(before.collect(), on="row_id").select(pl.col("loss") - pl.col("loss_after")).to_series()
    return Outcome(
        table,
        measures={
            "rows with a loss": int(table["loss_after"].count()),
            "mean fall": fell.mean(),  # type: ignore[dict-item]
        },
        charts={"fall": charts.histogram(fell, "loss before minus loss after, nats per token")},
    )
