"""The registry of selectors: by name, what each does, whose algorithm it is, and what it needs."""

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
    """What it does, in a sentence."""
    source: str
    """Whose algorithm it is."""
    needs: tuple[str, ...]
    """Columns of the frame that it reads beside row_id."""
    settings: tuple[str, ...]
    """The settings that it reads, below `foundation`."""
    function: Select
    calls: tuple[str, ...] = ()
    """Prompts of the model calls that its columns took, as the books name them."""


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
        "The rows of highest complexity times quality, none of them close to one above it.",
        "Deita, arXiv 2312.15685",
        ("complexity", "quality", "vector"),
        ("selectors.deita_similarity",),
        diverse.deita,
        ("judge_complexity", "judge_answer"),
    ),
    Selector(
        "instag",
        "The rows with the most labels, in passes: in each a row has to bring a label that the pass has not seen.",
        "InsTag, arXiv 2308.07074",
        ("ability",),
        (),
        diverse.instag,
        ("tag",),
    ),
    Selector(
        "dsir",
        "A draw by importance weight towards the domain's benchmarks, the same share of every stratum of length.",
        "DSIR, arXiv 2302.03169",
        ("log_weight", "stratum", "share", "domain"),
        ("dsir.targets", "dsir.smoothing", "dsir.length", "dsir.top_k"),
        ranked.dsir,
    ),
    Selector(
        "kcenter",
        "The row nearest to the mean, then always the row furthest from all that were taken.",
        "Gonzalez 1985; k-center greedy of Sener and Savarese, arXiv 1708.00489",
        ("vector",),
        ("selectors.kcenter_candidates",),
        diverse.kcenter,
    ),
    Selector(
        "facility",
        "Of the rows of highest IFD those that stand for all of them: greedy facility location in Euclidean distance.",
        "Superfiltering +Diversity, arXiv 2402.00530; lazy greedy of Minoux 1978",
        ("ifd", "ifd_perplexity", "vector"),
        ("selectors.facility_candidates", "selectors.ifd_scale", "selectors.max_ifd"),
        diverse.facility,
        _LIKELIHOODS,
    ),
    Selector(
        "reward",
        "The rows whose reward is highest among those of their domain and language.",
        "ours: rewards are not comparable across domains and languages",
        ("reward", "domain", "language"),
        (),
        ranked.reward,
        ("conversation",),
    ),
    Selector(
        "retrieval",
        "The rows nearest to the benchmarks' items, every topic of the benchmarks with its share.",
        "BAAI's README of 2024: a subset that follows the topic distribution of the validation sets",
        ("topic", "topic_share", "proximity"),
        ("selectors.retrieval_floor", "items_per_topic"),
        ranked.retrieval,
    ),
    Selector(
        "quality",
        "The rows that the judge scores highest, of equals those of highest IFD.",
        "LLM-as-a-judge, as AlpaGasus, arXiv 2307.08701; the second key is ours",
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
"""By name. `infinity`, the recipe for F, is made of these (`selection/composition.py`)."""


def select(name: str, frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """What a selector says of the rows.

    Args:
        name: Of the registry.
        frame: One line per row: row_id, and what the selector needs.
        size: Rows to take; fewer are taken where fewer can be ranked.
        settings: The recipe.

    Returns:
        Verdicts on every row, sorted by row id, whatever the order of the rows (`verdicts.VERDICTS`).

    Raises:
        InfinityError: There is no such selector, or a column that it needs is missing.
    """
    if name not in SELECTORS:
        raise InfinityError(f"There is no selector {name}; there are {', '.join(SELECTORS)}.")
    if missing := [column for column in SELECTORS[name].needs if column not in frame.columns]:
        raise InfinityError(f"The selector {name} needs the columns {', '.join(missing)}, which the rows lack.")
    return SELECTORS[name].function(frame, size, settings).select(list(VERDICTS))
