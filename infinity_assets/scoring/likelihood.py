"""Loss and IFD of an answer, from token log-probabilities.

    loss          mean negative log-probability of the answer's tokens given the conversation before it, in nats
    loss_alone    the same with nothing before it
    ifd           loss / loss_alone: the loss ratio of Cherry LLM (arXiv 2308.12032), not the perplexity ratio of Superfiltering

Above 1 the instruction does not help to predict the answer. Of a conversation of several turns the last answer is scored under the whole
history. What could not be scored is null with a reason, never 0.
"""

import polars as pl


def ifd(with_context: pl.DataFrame, alone: pl.DataFrame) -> pl.DataFrame:
    """Losses and IFD per row.

    Args:
        with_context: Columns row_id, sum_logprob, answer_tokens, error: the answer given the conversation before it.
        alone: The same for the answer with nothing before it.

    Returns:
        One line per row of `with_context`: row_id, loss, loss_alone, ifd, answer_tokens, likelihood_error.
    """
    joined = with_context.join(alone.select("row_id", "sum_logprob", "answer_tokens", "error"), on="row_id", how="left", suffix="_alone")
    loss = -pl.col("sum_logprob") / pl.col("answer_tokens")
    loss_alone = -pl.col("sum_logprob_alone") / pl.col("answer_tokens_alone")
    error = pl.coalesce("error", "error_alone")
    measured = joined.select(
        "row_id",
        pl.when(loss.is_finite()).then(loss).alias("loss"),
        pl.when(loss_alone.is_finite() & (loss_alone > 0)).then(loss_alone).alias("loss_alone"),
        pl.col("answer_tokens").cast(pl.Int64),
        error.alias("likelihood_error"),
    )
    ratio = pl.col("loss") / pl.col("loss_alone")
    reason = pl.when(ratio.is_null()).then(pl.coalesce("likelihood_error", pl.lit("no_answer_tokens")))
    return measured.select("row_id", "loss", "loss_alone", ratio.alias("ifd"), "answer_tokens", reason.alias("likelihood_error"))
