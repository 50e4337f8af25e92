"""Selection by instruction-following difficulty."""

import polars as pl

from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(
    source="Cherry LLM, arXiv 2308.12032 (losses); Superfiltering, arXiv 2402.00530 (perplexities)",
    needs=("ifd", "ifd_perplexity"),
    settings=("selectors.ifd_scale", "selectors.max_ifd"),
    calls=("answer_in_context", "answer_alone"),
)
def ifd(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows of highest instruction-following difficulty (IFD) at which the instruction still helps."""
    column = ifd_column(settings)
    return Ranking(frame, [-pl.col(column)], ifd_conditions(settings), [column])


def ifd_column(settings: Foundation) -> str:
    """Return the name of the IFD column that the settings choose."""
    return "ifd" if settings.selectors.ifd_scale == "loss" else "ifd_perplexity"


def ifd_conditions(settings: Foundation) -> dict[str, pl.Expr]:
    """Return the conditions that exclude a row from ranking by IFD: no IFD, or an instruction that does not help."""
    score = pl.col(ifd_column(settings))
    return {"no_ifd": score.is_null(), "instruction_does_not_help": score >= settings.selectors.max_ifd}
