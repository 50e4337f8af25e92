"""Settings of phase 2 of the recipe: seeds, evolution, answers, conversations, diagnosis and the final filter."""

from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from infinity_assets.settings.foundation import Limits, Proxy
from infinity_assets.settings.models import IN_ORDER, Cosine, Grade, Sampling, Section, Share

Criterion = Literal["long_tail", "many_labels", "hard_by_loss", "hard_to_follow", "small_loss_drop", "raw_material"]
"""Criteria for seeds (`infinity_assets/selection/seeds`)."""

_STRATEGIES = Path(__file__).parents[1] / "synthesis" / "strategies"
STRATEGY_NAMES = tuple(sorted(module.name for module in iter_modules([str(_STRATEGIES)])))
"""Strategies that write instructions from seeds: one per module of `infinity_assets/synthesis/strategies`."""

if TYPE_CHECKING:
    StrategyName = str
else:
    StrategyName = Literal[STRATEGY_NAMES]

Operator = Literal[
    "constraints", "deepen", "concretise", "reasoning", "complicate", "breadth", "difficulty", "complexity"
]
"""Operations of `evol_instruct`; each has a prompt `evolve_...`."""


class Seeds(Section):
    """Selection of seeds: criteria, a veto, and a budget spread over the topics of the rows (docs/seeds.md)."""

    max_seeds: NonNegativeInt = 64
    """Maximum number of seeds. (Paper: 1.2 M of 9 M.)"""
    raw_share: Share = 0.25
    """Largest share of `max_seeds` that may be raw material: instructions without an answer, and texts."""
    min_text_chars: NonNegativeInt = 100
    """Fewest characters of a text that is raw material: a heading offers nothing to ask about. (Ours.)"""
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)] = get_args(Criterion)
    """The criteria in force. (Paper: long tail, many abilities, loss; Subject report: labels, loss, smallest drop;
    README of 2024: IFD.)"""
    combine: Literal["any", "all"] | PositiveInt = "any"
    """Number of criteria in force that a row must meet: `any` is one, and `all` is all that its kind of row can meet; a
    larger number counts as `all`. (Not published; `any` fits the paper's 1.2 M best.)"""
    long_tail: Annotated[tuple[int, int], IN_ORDER] = (2, 12)
    """A row meets `long_tail` if one of its fine labels occurs in this many rows. (Paper: 20 to 200.)"""
    long_tail_sampled: Annotated[tuple[int, int], IN_ORDER] = (13, 40)
    """A part of the rows with a fine label in this many rows also meets `long_tail`. (Paper: 200 to 500.)"""
    long_tail_share: Share = 0.333
    """Size of the part that `long_tail_sampled` adds, drawn by row id. (Paper: a third.)"""
    min_labels: NonNegativeInt = 3
    """A row with at least this many fine labels meets `many_labels`. (Subject report: more than 4.)"""
    loss_sigma: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """A row meets `hard_by_loss` if its loss is above mean + this many standard deviations. (Subject report: 1.96.)"""
    ifd_range: Annotated[tuple[float, float], IN_ORDER] = (0.6, 1.0)
    """A row whose IFD lies in this range meets `hard_to_follow`. (DataFlow: 0.5 to 1.0.)"""
    small_drop_share: Share = 0.05
    """Share of the scored rows that meet `small_loss_drop`: their loss falls least when the scorer is trained on the
    pool, so they are hard to learn. Needs `tuned`. (Subject report: the 50,000 smallest.)"""
    veto_sigma: NonNegativeFloat | None = 1.96
    """A row is never a seed if training the scorer lowers its loss by more than mean + this many standard deviations of
    all such drops: it is soon learned by heart. Null for no veto; needs `tuned`. (Paper: rows whose loss changes a lot
    are dropped, the bound is not published.)"""
    tuned: Proxy = Proxy()
    """The scorer, trained on a sample of the pool's conversations, to measure how much training lowers a row's loss.
    Off unless `enabled`: `small_drop_share` and `veto_sigma` then have no effect."""
    grid: PositiveInt = 20
    """Number of cells on each side of the grid over the rows' vectors, which spreads the budget. (Subject report's
    code: 100, of 3 M rows; 30 for small budgets.)"""

    @model_validator(mode="after")
    def _check_criteria(self) -> Self:
        if set(self.criteria) == {"small_loss_drop"} and not self.tuned.enabled:
            raise ValueError(
                "no row is a seed: small_loss_drop is the only criterion, and it needs `tuned: {enabled: true}`"
            )
        return self


class Elimination(Section):
    """Rules that reject rewrites (docs/elimination.md has the precision and recall of each)."""

    max_added_words: NonNegativeInt = 20
    """Maximum words by which a rewrite may exceed its seed. Code, tables and other material do not count, and two CJK
    characters count as a word. There is no limit for a seed that is a text. (Evol-Instruct: 10 to 20.)"""
    min_new_words: NonNegativeInt = 1
    """Fewest words of an in-depth rewrite that its seed does not have; one more if the rewrite is shorter than the
    seed. Plurals and words like `the` and `which` do not count."""
    max_similarity: Cosine = 0.97
    """Largest cosine of a rewrite's embedding with its seed's: above it, the rewrite adds nothing new."""
    min_similarity: Cosine = 0.3
    """Least cosine of an in-depth rewrite's embedding with its seed's: below it, the rewrite has lost the subject."""
    max_same: Share = 0.9
    """A rewrite is dropped if the judge's probability that it asks the same as its seed is above this."""
    min_gain: Share = 0.05
    """Least probability, by the judge, that an in-depth rewrite takes more to answer than its seed; others are
    dropped."""
    max_harm: Share = 0.9
    """A rewrite is dropped if the judge's probability that it asks for something harmful is above this."""
    max_copy: Annotated[float, Field(gt=0, le=1)] = 0.7
    """A rewrite is dropped if its runs of two tokens have at least this Jaccard similarity with those of an earlier
    rewrite of its shard. (Self-Instruct, arXiv 2212.10560: ROUGE-L of 0.7.)"""

    @model_validator(mode="after")
    def _check_similarities(self) -> Self:
        if self.min_similarity >= self.max_similarity:
            raise ValueError(f"no rewrite has a similarity between {self.min_similarity} and {self.max_similarity}")
        return self


class Evolution(Section):
    """Writing of instructions from seeds (docs/evolution.md)."""

    strategies: dict[StrategyName, PositiveFloat] = Field(default_factory=lambda: {"evol_instruct": 1.0}, min_length=1)
    """Strategies, with weights. Each seed goes to one of those that can use it, drawn by row id."""
    operators: Annotated[tuple[Operator, ...], Field(min_length=1)] = (
        "constraints", "deepen", "concretise", "reasoning", "complicate", "breadth",
    )  # fmt: skip
    """Operations of `evol_instruct`: each seed gets one per round, drawn by row id. (WizardLM: these. BAAI's README of
    2024: breadth, deepen, difficulty, complexity.)"""
    deficiency_share: Share = 0.5
    """Share of the seeds with a deficiency from the diagnosis for which a new instruction is written to address it."""
    retry: bool = True
    """Try a seed without a usable rewrite again in the next round, with another draw. (Evol-Instruct: it returns to the
    pool.)"""
    steps: Annotated[int, Field(ge=1, le=4)] = 2
    """Maximum consecutive steps of `self_rubrics` and `auto_evol`. (CodecLM: 4.)"""
    gap: NonNegativeFloat = 1.0
    """`self_rubrics` stops when the judge scores the generator's answer this many points above the first student's.
    (CodecLM: 3, of 10.)"""
    sampling: Sampling = Sampling(max_tokens=128)
    """Sampling of the generator when it writes an instruction."""
    json_sampling: Sampling = Sampling(max_tokens=256)
    """Sampling of the generator's intermediate results (methods, rubrics, concepts, tests), and of the judge's
    analyses."""
    accept: NonNegativeInt = 0
    """Number of accepted rewrites, over all shards, after which a round stops. It then tries no more seeds than it
    needs, and never more than `seeds.max_seeds`. 0 rewrites every seed."""
    elimination: Elimination = Elimination()
    """Rules that reject rewrites."""


class Answering(Section):
    """Writing of answers to instructions (docs/answers.md)."""

    sampling: Sampling = Sampling(max_tokens=320)
    """Sampling of the generator's answers."""
    samples: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of answers per instruction; the best is kept. If there are several, they also form preference pairs."""
    best_by: Literal["reward", "judge"] = "reward"
    """Model that chooses the best answer: `models.reward` or the judge. Without a reward model it is the judge."""
    execute: bool = True
    """Run an answer's Python in a sandbox if the request or the answer contains an example or a test."""
    min_margin: NonNegativeFloat = 0.0
    """The best and the worst answer form a pair of `preferences` if their scores differ by more than this, in the unit
    of `best_by`. (Infinity-Preference: the best and the worst by reward; no margin is given.)"""
    limits: Limits = Limits()
    """Limits for the programs in answers."""
    accept: NonNegativeInt = 0
    """Number of accepted answers, over all shards, after which a round stops; 0 answers every instruction."""


class Conversations(Section):
    """Extension of single exchanges to conversations, by role play (docs/conversations.md)."""

    share: Share = 0.1
    """Share of the rows that are extended, drawn by row id. (Released G: 2.3 % have several turns; BAAI's README: 2 to
    4 rounds.)"""
    turns: Annotated[tuple[PositiveInt, PositiveInt], IN_ORDER] = (2, 4)
    """Fewest and most user turns of an extended row; their number is drawn by row id."""
    user_sampling: Sampling = Sampling(max_tokens=64)
    """Sampling of the generator when it plays the user."""
    min_coherence: Share = 0.3
    """A turn is dropped, with the turns after it, if the judge's probability that it carries the conversation on is
    below this."""


class Diagnosis(Section):
    """Diagnosis of weak students, and its consequences (docs/diagnosis.md)."""

    weak_below: Grade = 3.0
    """A row is weak, and goes to the next round, if the judge scores all students below this, of 5. (Paper: no
    value.)"""
    swap: bool = True
    """Show the judge the student's and the reference answer in both orders, and average. (Lion, arXiv 2305.12870.)"""
    deficiencies: bool = True
    """Let the judge describe what the weak answers lack: the next round writes new instructions about it."""
    deficiency_sampling: Sampling = Sampling(temperature=0.0, max_tokens=64)
    """Sampling of the judge's description of a deficiency."""
    taught: Proxy = Proxy()
    """The first student, trained on the round's answers, to measure whether its gap closes. Off unless `enabled`."""
    held_out: Share = 0.3
    """Share of the weak rows kept out of the training of `taught`: its gap before and after is measured on them."""
    min_gain: float = 0.0
    """The next round does not start if the gap of `taught` closes by less than this, in points of the judge."""


class Final(Section):
    """The last filter before InfInstruct-G (docs/final_filter.md)."""

    min_answer_score: Grade = 1.5
    """A row is dropped if the judge scores its answer below this, of 5."""
    drop_quantile: Share = 0.05
    """Share of the rows of every domain and language that is dropped for low reward or, without rewards, for a low
    score by the judge."""
    min_group: PositiveInt = 20
    """Fewest rows of a domain and language from which `drop_quantile` is dropped."""
    near: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Least Jaccard similarity at which a row is a near-duplicate of a seed, of a row of F or of a better row of G."""
    denied_licences: tuple[str, ...] = ()
    """Rows under these licenses are dropped. A row has the most restrictive license of its parents."""
    denied_terms: tuple[str, ...] = ()
    """Rows written by a model with these terms (its setting `terms`) are dropped."""


class Chat(Section):
    """Synthesis of InfInstruct-G."""

    rounds: int = Field(default=1, ge=1, le=3)
    """Number of rounds of evolution. Each has its own assets in the graph."""
    seeds: Seeds = Seeds()
    """Selection of seeds."""
    evolution: Evolution = Evolution()
    """Writing of instructions from seeds."""
    answering: Answering = Answering()
    """Writing of answers."""
    conversations: Conversations = Conversations()
    """Extension of rows to conversations."""
    diagnosis: Diagnosis = Diagnosis()
    """Diagnosis of weak students."""
    final: Final = Final()
    """The last filter."""
