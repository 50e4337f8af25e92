"""The registry of selectors: name, description, source and requirements of each."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.selection.selectors import diverse, ranked
from infinity_assets.selection.selectors.verdicts import VERDICTS
from infinity_assets.settings import Foundation

Select = Callable[[pl.DataFrame, int, Foundation], pl.DataFrame]


@dataclass(frozen=True)
class Selector:
    """A way to take rows."""

    name: str
    about: str
    """One sentence on its behavior."""
    source: str
    """The publication of its algorithm."""
    needs: tuple[str, ...]
    """Columns of the frame that it reads besides row_id."""
    settings: tuple[str, ...]
    """The settings that it reads, below `foundation`."""
    function: Select
    calls: tuple[str, ...] = ()
    """Prompts of the model calls behind its columns, by their names in the ledger tables."""


_LIKELIHOODS = ("answer_in_context", "answer_alone")

_ALL = (
    Selector("random", "A draw by row id.", "the baseline", (), (), ranked.random),
    Selector(
        "longest",
        "The rows with the longest answers.",
        "Long Is More for Alignment, arXiv 2402.04833",
        ("answer_chars",),
        (),
        ranked.longest,
    ),
    Selector(
        "ifd",
        "The rows of highest instruction-following difficulty below the bound at which the instruction does not help.",
        "Cherry LLM, arXiv 2308.12032 (losses); Superfiltering, arXiv 2402.00530 (perplexities)",
        ("ifd", "ifd_perplexity"),
        ("selectors.ifd_scale", "selectors.max_ifd"),
        ranked.ifd,
        _LIKELIHOODS,
    ),
    Selector(
        "deita",
        "The rows of highest complexity times quality, without rows close to a higher one.",
        "Deita, arXiv 2312.15685",
        ("complexity", "quality", "vector"),
        ("selectors.deita_similarity",),
        diverse.deita,
        ("judge_complexity", "judge_answer"),
    ),
    Selector(
        "instag",
        "The rows with the most labels, in passes; within a pass each row has to add a new label.",
        "InsTag, arXiv 2308.07074",
        ("ability",),
        (),
        diverse.instag,
        ("tag",),
    ),
    Selector(
        "dsir",
        "A draw by importance weight towards the domain's benchmarks, by the share of every stratum of length.",
        "DSIR, arXiv 2302.03169",
        ("log_weight", "stratum", "share", "domain"),
        ("dsir.targets", "dsir.smoothing", "dsir.length", "dsir.top_k"),
        ranked.dsir,
    ),
    Selector(
        "kcenter",
        "The row nearest to the mean, then repeatedly the row furthest from all rows taken.",
        "Gonzalez 1985; k-center greedy of Sener and Savarese, arXiv 1708.00489",
        ("vector",),
        ("selectors.kcenter_candidates",),
        diverse.kcenter,
    ),
    Selector(
        "facility",
        "The most representative rows among those of highest IFD: greedy facility location in Euclidean distance.",
        "Superfiltering +Diversity, arXiv 2402.00530; lazy greedy of Minoux 1978",
        ("ifd", "ifd_perplexity", "vector"),
        ("selectors.facility_candidates", "selectors.ifd_scale", "selectors.max_ifd"),
        diverse.facility,
        _LIKELIHOODS,
    ),
    Selector(
        "reward",
        "The rows of highest reward within their domain and language.",
        "ours: rewards are not comparable across domains and languages",
        ("reward", "domain", "language"),
        (),
        ranked.reward,
        ("conversation",),
    ),
    Selector(
        "retrieval",
        "The rows nearest to the benchmarks' items, with a share for every topic of the benchmarks.",
        "BAAI's README of 2024: a subset that follows the topic distribution of the validation sets",
        ("topic", "topic_share", "proximity"),
        ("selectors.retrieval_floor", "items_per_topic"),
        ranked.retrieval,
    ),
    Selector(
        "quality",
        "The rows that the judge scores highest; ties go to the highest IFD.",
        "LLM-as-a-judge as in AlpaGasus, arXiv 2307.08701; the second key is ours",
        ("quality", "ifd"),
        (),
        ranked.quality,
        ("judge_answer", *_LIKELIHOODS),
    ),
    Selector(
        "seed_replay",
        "The rows that the chat phase takes as seeds.",
        "Infinity Instruct, arXiv 2506.11116: 1.2 M seeds are replayed in F",
        ("is_seed",),
        ("seed_share",),
        ranked.seed_replay,
    ),
)

SELECTORS: dict[str, Selector] = {selector.name: selector for selector in _ALL}
"""Selectors by name. `infinity`, the recipe for F, combines them (`selection/composition.py`)."""


def select(name: str, frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Run a selector.

    Args:
        name: Name in the registry.
        frame: One line per row: row_id, and the columns that the selector needs, in any order of the rows.
        size: Rows to take; fewer if fewer can be ranked.
        settings: The recipe.

    Returns:
        Verdicts on every row, sorted by row id (`verdicts.VERDICTS`).

    Raises:
        InfinityError: The selector does not exist, or a column that it needs is missing.
    """
    if name not in SELECTORS:
        raise InfinityError(f"There is no selector {name}; there are {', '.join(SELECTORS)}.")
    if missing := [column for column in SELECTORS[name].needs if column not in frame.columns]:
        raise InfinityError(f"The selector {name} needs the columns {', '.join(missing)}, which the rows lack.")
    return SELECTORS[name].function(frame, size, settings).select(list(VERDICTS))
