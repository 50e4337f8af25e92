"""Losses of an answer and its instruction, from the log-probabilities of their tokens.

    loss              mean negative log-probability of the answer's tokens given the conversation before it, in nats
    loss_alone        mean negative log-probability of the answer's tokens with nothing before it, in nats
    ifd               loss / loss_alone: the loss ratio of Cherry LLM (arXiv 2308.12032)
    ifd_perplexity    exp(loss - loss_alone): the perplexity ratio of Superfiltering (arXiv 2402.00530). It is not
                      comparable with `ifd`
    loss_instruction  mean negative log-probability of the last request's tokens with nothing before it, in nats
    ic_ifd            loss / (loss_instruction * loss_alone): IFD corrected for instructions that are merely hard to
                      read (arXiv 2412.11231), in 1/nats

If IFD is 1 or above, the instruction does not help to predict the answer. Only the last answer of a conversation is
scored, given all turns before it. A row that could not be scored has null with a reason, never 0.
"""

import polars as pl

NO_TOKENS = "no_answer_tokens"
"""Reason for a null loss if the model returned no usable log-probabilities."""


def losses(in_context: pl.DataFrame, alone: pl.DataFrame, instruction: pl.DataFrame) -> pl.DataFrame:
    """Compute the losses and their ratios per row.

    Args:
        in_context: Columns row_id, sum_logprob, answer_tokens, error: the answer given the conversation before it.
        alone: The same columns for the answer with nothing before it.
        instruction: The same columns for the last request with nothing before it.

    Returns:
        One line per row of `in_context`: row_id, loss, loss_alone, ifd, ifd_perplexity, answer_tokens, likelihood_error
        (the reason for a null ifd), loss_instruction, ic_ifd, ic_ifd_error (the reason for a null ic_ifd).
    """
    measured = mean_loss(in_context, "loss")
    for divisor, name in ((alone, "loss_alone"), (instruction, "loss_instruction")):
        measured = measured.join(mean_loss(divisor, name, positive=True), on="row_id", how="left")
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
    """Compute the mean loss per token, from columns row_id, sum_logprob, answer_tokens, error.

    Returns:
        Columns row_id, `name` (finite or null; above 0 if `positive`, for a divisor), `name`_error (reason for null).
    """
    loss = -pl.col("sum_logprob") / pl.col("answer_tokens")
    usable = (loss.is_finite() & ((loss > 0) | (not positive))).fill_null(False)
    reason = pl.when(~usable).then(pl.coalesce("error", pl.lit(NO_TOKENS)))
    return scores.select("row_id", pl.when(usable).then(loss).alias(name), reason.alias(f"{name}_error"))
