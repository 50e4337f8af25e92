"""Scores, labels and the selection of InfInstruct-F: the part of the settings that phase 1 of the recipe is made of."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from infinity_assets.model_settings import STATIC_EMBEDDER, Cosine, EmbedderSpec, Grade, Section, Share
from infinity_assets.rows.schema import DOMAINS, Domain

Score = Literal["ifd", "ic_ifd", "quality", "complexity", "reward"]


class Scoring(Section):
    """Labels and scores by models."""

    max_rows: NonNegativeInt = 5000
    """At most this many rows of the pool get model-made labels and scores: a sample by row id, the same share of each shard. The rest are null
    with the reason `not_sampled`. 0 means all. On two CPU cores the embedded model does about 2 rows a second, all scores together."""
    scores: tuple[Score, ...] = ("ifd", "ic_ifd", "quality", "complexity", "reward")
    """Scores that are made: each costs a call per row, `ifd` two, and `ic_ifd` one more. The others are null with the reason `not_wanted`.
    `reward` needs `models.reward` too."""
    max_chars: PositiveInt = 1500
    """A turn is cut to this many characters where a model reads it to label or judge it."""
    max_labels: PositiveInt = 3
    """Fine labels asked for per row. (Released rows: about 3.)"""
    embedder: EmbedderSpec = EmbedderSpec(model=STATIC_EMBEDDER, max_tokens=512)
    """Gives the vector of every row's prompt, for labels that are spread, for diversity and for retrieval. By default a static model: it takes
    minutes where MiniLM takes hours, and knows English only. (Paper: BGE. Deita: the model that is trained.)"""
    max_unknown: Share = 0.1
    """A prompt has no vector if more than this share of its tokens is unknown to the embedder."""


class Labels(Section):
    """How open labels become a vocabulary (InsTag, arXiv 2308.07074), and how rows that no model labelled get theirs. docs/labels.md."""

    vocabulary: str | None = None
    """Name of a frozen vocabulary (`infinity labels freeze`): rows are labelled against it, and labels that it cannot place are kept as candidates
    for the next. Null: the vocabulary follows the data."""
    min_rows: PositiveInt = 2
    """A label that fewer rows carry is not trusted. Fits a sample of some thousand rows. (InsTag: 20, of 306,044 rows.)"""
    min_cosine: Cosine = 0.9
    """Names whose embeddings have at least this cosine are one label, and so is what such pairs connect. By `models.embedder`.
    (InsTag: DBSCAN over PhraseBERT at a distance of 0.05.)"""
    min_support: PositiveInt = 10
    """A label becomes another one that it implies if at least so many rows carry both. (InsTag: 40.)"""
    min_confidence: Share = 0.99
    """And at least this share of the rows that carry the one carry the other, too. (InsTag: 0.99.)"""
    spread: bool = True
    """Whether rows that the tagger did not label take the labels of their nearest labelled neighbours, by the vectors of `scoring.embedder`."""
    neighbours: PositiveInt = 5
    """Neighbours that vote. (Ours.)"""
    spread_cosine: Cosine = 0.8
    """Least cosine of a neighbour. The page of `labelled` shows by band how well neighbours' labels agree with the tagger's: from here on more of the
    fine labels do than do not. (Ours, measured: docs/labels.md.)"""
    vote: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A label is taken if neighbours with this share of all votes carry it; a vote weighs as much as its cosine. (Ours.)"""
    exact_up_to: PositiveInt = 100_000
    """Up to so many labelled rows all are compared with a row; above it hnswlib looks for its neighbours, and may miss some."""

    @property
    def of_forms(self) -> str:
        """What of it decides which label a form is."""
        return self.model_dump_json(include={"vocabulary", "min_rows", "min_cosine", "min_support", "min_confidence"})

    @property
    def of_rows(self) -> str:
        """What of it decides which labels a row has."""
        return self.model_dump_json(include={"spread", "neighbours", "spread_cosine", "vote", "exact_up_to"})


class Foundation(Section):
    """How InfInstruct-F is selected from the pool."""

    keep_share: dict[Domain, Share] = Field(default_factory=lambda: {"math": 0.6, "code": 0.6, "knowledge": 0.5, "chat": 0.5})
    """Share of a domain's rows that F may hold. (Paper, of 116.4 M: math 0.119, code 0.21, knowledge 0.037, chat by seeds.)"""

    @field_validator("keep_share")
    @classmethod
    def _every_domain(cls, shares: dict[Domain, float]) -> dict[Domain, float]:
        if missing := sorted(set(DOMAINS) - set(shares)):
            raise ValueError(f"name a share for every domain; {', '.join(missing)} missing")
        return shares

    max_rows: NonNegativeInt = 20_000
    """Upper bound on F, spread over the domains in proportion."""
    min_answer_chars: NonNegativeInt = 2
    """Shorter answers are dropped: they teach nothing. (A number is an answer.)"""
    max_answer_chars: PositiveInt = 20_000
    """Longer answers are dropped."""
    max_ifd: NonNegativeFloat = 1.0
    """Rows whose instruction does not help to predict the answer (IFD at or above this) are dropped. (Cherry LLM, arXiv 2308.12032: 1.0.)"""
    min_quality: Grade = 1.5
    """Rows that the judge scores below this, of 5, are dropped."""
    max_similarity: Cosine = 0.95
    """A row whose embedding has a higher cosine than this with one ranked above it is dropped. (Deita, arXiv 2312.15685: 0.9.)"""
    candidates_per_place: Annotated[float, Field(ge=1)] = 2.0
    """Per domain, this many candidates per place of the quota, best first, reach the diversity step: only they are embedded."""
    dsir_buckets: PositiveInt = 10_000
    """Hash buckets of DSIR (arXiv 2302.03169)."""
    dsir_smoothing: NonNegativeFloat = 1000.0
    """So many n-grams of the pool's own distribution are added to the target's: a target of 40 prompts leaves most buckets empty.
    (Reference package: 1e-8 on probabilities, which forbids what the target happens not to hold.)"""
    dsir_domains: tuple[Domain, ...] = ("math", "code")
    """Domains selected by DSIR, with that domain's benchmarks as the target. (Paper: math against GSM8K + MATH, code against HumanEval.)"""
