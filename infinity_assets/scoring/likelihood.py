"""What token log-probabilities say of an answer and its instruction.

    loss              mean negative log-probability of the answer's tokens given the conversation before it, in nats
    loss_alone        the same with nothing before it
    ifd               loss / loss_alone: the loss ratio of Cherry LLM (arXiv 2308.12032)
    ifd_perplexity    exp(loss - loss_alone): the perplexity ratio of Superfiltering (arXiv 2402.00530); another scale, never to be mixed
    loss_instruction  mean negative log-probability of the last request's tokens with nothing before it
    ic_ifd            loss / (loss_instruction * loss_alone): IFD without what is merely hard to read (arXiv 2412.11231), in 1/nats

An IFD of 1 and above means that the instruction does not help to predict the answer. Of a conversation of several turns the last answer is scored
under the whole history. What could not be scored is null with a reason, never 0.
"""

import polars as pl

NO_TOKENS = "no_answer_tokens"
"""The reason given where a model answered, but with no number that a loss can be made of."""


def losses(in_context: pl.DataFrame, alone: pl.DataFrame, instruction: pl.DataFrame) -> pl.DataFrame:
    """Losses and what is made of them, per row.

    Args:
        in_context: Columns row_id, sum_logprob, answer_tokens, error: the answer given the conversation before it.
        alone: The same for the answer with nothing before it.
        instruction: The same for the last request with nothing before it.

    Returns:
        One line per row of `in_context`: row_id, loss, loss_alone, ifd, ifd_perplexity, answer_tokens, likelihood_error (why ifd is null),
        loss_instruction, ic_ifd, ic_ifd_error (why ic_ifd is null).
    """
    measured = mean_loss(in_context, "loss").join(
        mean_loss(alone, "loss_alone", positive=True), on="row_id", how="left"
    )
    measured = measured.join(mean_loss(instruction, "loss_instruction", positive=True), on="row_id", how="left")
    tokens = in_context.select("row_id", pl.col("answer_tokens").cast(pl.Int64))
    ratio = pl.col("loss") / pl.col("loss_alone")
    corrected = ratio / pl.col("loss_instruction")
    reason = pl.coalesce("loss_error", "loss_alone_error")
    return measured.join(tokens, on="row_id").select(
        "row_id",
        "loss",
        "loss_alone",
        ratio.alias("ifd"),
        (pl.col("loss") - pl.col("loss_alone")).exp().alias("ifd_perplexity"),
        "answer_tokens",
        reason.alias("likelihood_error"),
        "loss_instruction",
        corrected.alias("ic_ifd"),
        pl.coalesce(reason, "loss_instruction_error").alias("ic_ifd_error"),
    )


def mean_loss(scores: pl.DataFrame, name: str, positive: bool = False) -> pl.DataFrame:
    """The mean loss per token, finite or null with its reason: row_id, `name`, `name`_error.

    Args:
        scores: Columns row_id, sum_logprob, answer_tokens, error.
        name: Of the loss.
        positive: Whether 0 is no loss either: it will be divided by.
    """
    loss = -pl.col("sum_logprob") / pl.col("answer_tokens")
    usable = loss.is_finite() & ((loss > 0) | (not positive))
    return scores.select(
        "row_id",
        pl.when(usable).then(loss).alias(name),
        pl.when(usable.fill_null(False))
        .then(None)
        .otherwise(pl.coalesce("error", pl.lit(NO_TOKENS)))
        .alias(f"{name}_error"),
    )
