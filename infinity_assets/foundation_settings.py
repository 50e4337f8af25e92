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


SelectorName = Literal[
    "random", "longest", "ifd", "deita", "instag", "dsir", "kcenter", "facility", "reward", "retrieval", "quality", "seed_replay"
]
"""What can stand in a recipe (`infinity_assets/selection/selectors`)."""


class Selectors(Section):
    """Numbers of the selectors, in the recipe for F and in the arena alike."""

    ifd_scale: Literal["loss", "perplexity"] = "loss"
    """Which IFD `ifd` and `facility` go by: the ratio of losses (Cherry LLM, arXiv 2308.12032) or of perplexities (Superfiltering, arXiv
    2402.00530)."""
    max_ifd: NonNegativeFloat = 1.0
    """`ifd` and `facility` take no row at or above this: its instruction does not help to predict its answer. (Cherry LLM: 1.0; Superfiltering
    takes the band from 0.9 to 1.0.)"""
    deita_similarity: Cosine = 0.9
    """`deita` takes no row whose prompt has a higher cosine than this with one it has taken. (Deita, arXiv 2312.15685: 0.9.)"""
    kcenter_candidates: PositiveInt = 200_000
    """`kcenter` looks at no more rows than this, drawn by row id: every one has its vector in memory. (Ours.)"""
    facility_candidates: PositiveInt = 10_000
    """`facility` looks at the so many rows of highest IFD, or at twice the size if that is more: every one is compared with every other.
    (Superfiltering: the best by IFD, then diversity.)"""
    retrieval_floor: Cosine = 0.3
    """`retrieval` takes no row whose prompt is further than this cosine from every benchmark item. (Ours.)"""


class Dsir(Section):
    """Importance of a row towards a target, by hashed n-grams (DSIR, arXiv 2302.03169; docs/dsir.md has the measurements)."""

    targets: dict[Domain, tuple[str, ...]] = Field(default_factory=lambda: {"math": (), "code": ()})
    """The domains that are selected by DSIR, and by domain the names of benchmarks and of sources of the pool that are its target; none for all
    benchmarks of the domain. Where there is a training split, name that. (Paper: math GSM8K and MATH, their training prompts; code HumanEval.)"""
    features: Literal["words", "reference"] = "words"
    """`words`: case and punctuation ignored, one CJK character a token. `reference`: tokens and hashes of the package `data-selection` 1.0.2, to
    which a sentence in Chinese is one token."""
    ngram: Annotated[int, Field(ge=1, le=8)] = 2
    """n-grams of 1 to so many tokens. (data-selection: 2.)"""
    buckets: Annotated[int, Field(ge=1, le=2**24)] = 10_000
    """Hash buckets. (data-selection: 10,000.)"""
    smoothing: NonNegativeFloat = 10_000.0
    """So many n-grams of the pool's own distribution are added to the target's: a target of 164 prompts leaves most buckets empty. 0 for the
    reference's 1e-8 on probabilities, which forbids what the target happens not to hold. (Measured on held-out prompts: best for targets of 164
    and of 3,736.)"""
    length: Literal["target", "pool", "none"] = "target"
    """A weight is a sum and so depends on the length of its text. `target`: rows compete with rows of their length, and the draw has the target's
    lengths; `pool`: it has the pool's; `none`: the weights alone, as the reference has it."""
    strata: Annotated[int, Field(ge=1, le=8)] = 2
    """Strata of length to a doubling of the number of tokens: with 2, lengths that compete differ by no more than a factor of 1.4. (Ours.)"""
    top_k: bool = False
    """The largest weights, instead of a draw by them. (data-selection: off.)"""

    @property
    def counting(self) -> str:
        """What of the settings decides what is counted."""
        return self.model_dump_json(exclude={"smoothing", "length", "top_k"})

    @property
    def weighing(self) -> str:
        """What of the settings decides the weights."""
        return self.model_dump_json(exclude={"top_k"})


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

    recipe: dict[Domain, tuple[SelectorName, ...]] = Field(
        default_factory=lambda: {
            "math": ("dsir",),
            "code": ("dsir",),
            "knowledge": ("retrieval", "random"),
            "chat": ("seed_replay", "quality", "retrieval", "random"),
        }
    )
    """Who selects in a domain: the first takes what it can of the quota, the next what is left of it. (Paper: DSIR for math and code; for knowledge
    its sub-sources are filtered and nothing is ranked; chat by seeds. BAAI's README of 2024: retrieval by the topics of the evaluation sets.)"""

    @field_validator("recipe")
    @classmethod
    def _every_recipe(cls, recipe: dict[Domain, tuple[SelectorName, ...]]) -> dict[Domain, tuple[SelectorName, ...]]:
        if missing := sorted(domain for domain in DOMAINS if not recipe.get(domain)):
            raise ValueError(f"name a selector for every domain; {', '.join(missing)} missing")
        return recipe

    seed_share: Share = 0.17
    """At most this share of F are seeds of the chat phase, replayed. (Paper: 1.2 M of 7.4 M; released rows: 1,342,427 of 7,449,106, 0.18.)"""
    selectors: Selectors = Selectors()
    """Numbers of the selectors."""
    retrieval_exact_up_to: PositiveInt = 50_000
    """Up to so many items of benchmarks every prompt is compared with every item; above it hnswlib proposes the nearest and may miss it. (On two
    cores half a million prompts against 16,000 items take about a minute, and no longer than hnswlib.)"""
    items_per_topic: PositiveInt = 60
    """The items of the benchmarks of a domain make one topic for so many of them. (BAAI labels its evaluation sets; its number of topics is not
    known. Ours.)"""
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
    """A row whose prompt has a higher cosine than this with one taken before it is dropped. (Deita, arXiv 2312.15685: 0.9, of the whole row by the
    model that is trained; prompts by a static embedder are closer to one another.)"""
    candidates_per_place: Annotated[float, Field(ge=1)] = 2.0
    """Per domain, this many candidates per place of the quota, best first, reach the diversity step at first; twice as many, and so on, while
    places are left."""
    dsir: Dsir = Dsir()
    """Importance towards a target, for the domains that have one."""
