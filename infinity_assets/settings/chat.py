"""Seeds, evolution, answers, conversations, diagnosis and the final filter: the part of the settings that phase 2 of the recipe is made of."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from infinity_assets.settings.foundation import Limits, Proxy
from infinity_assets.settings.models import IN_ORDER, Cosine, Grade, Sampling, Section, Share

Criterion = Literal["long_tail", "many_labels", "hard_by_loss", "hard_to_follow", "small_loss_drop", "raw_material"]
"""What can speak for a seed (`infinity_assets/selection/seeds`)."""

StrategyName = Literal[
    "evol_instruct", "auto_evol", "self_rubrics", "magpie", "task_from_text", "self_code_align", "syllabus"
]
"""Who makes instructions of seeds (`infinity_assets/synthesis/strategies`)."""

Operator = Literal[
    "constraints", "deepen", "concretise", "reasoning", "complicate", "breadth", "difficulty", "complexity"
]
"""How `evol_instruct` rewrites: a prompt `evolve_...` each."""


class Seeds(Section):
    """How seeds are picked from the pool: criteria, a veto, then a budget that is spread over what the rows are about. docs/seeds.md."""

    max_seeds: NonNegativeInt = 64
    """Seeds handed to evolution. (Paper: 1.2 M of 9 M.)"""
    raw_share: Share = 0.25
    """At most this share of the seeds is raw material: instructions without an answer, and texts."""
    min_text_chars: NonNegativeInt = 100
    """A text of fewer characters is no raw material: a heading has nothing to ask about. (Ours.)"""
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)] = (
        "long_tail",
        "many_labels",
        "hard_by_loss",
        "hard_to_follow",
        "small_loss_drop",
        "raw_material",
    )
    """The criteria in force. (Paper: long tail, many abilities, loss; Subject report: labels, loss, smallest drop; README of 2024: IFD.)"""
    combine: Literal["any", "all"] | PositiveInt = "any"
    """How many of the criteria in force a row has to meet: one, all that can hold for its kind, or so many, but no more than can hold. (Not
    published; a union fits the paper's 1.2 M best.)"""
    long_tail: Annotated[tuple[int, int], IN_ORDER] = (2, 12)
    """A row with a fine label whose frequency lies in this range is a seed. (Paper: 20 to 200.)"""
    long_tail_sampled: Annotated[tuple[int, int], IN_ORDER] = (13, 40)
    """So is a part of those with a label in this range. (Paper: 200 to 500.)"""
    long_tail_share: Share = 0.333
    """That part, by row id. (Paper: a third.)"""
    min_labels: NonNegativeInt = 3
    """A row with at least this many fine labels is a seed. (Subject report: more than 4.)"""
    loss_sigma: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """A row whose answer loss is above mean + this many standard deviations is a seed. (Subject report: 1.96.)"""
    ifd_range: Annotated[tuple[float, float], IN_ORDER] = (0.6, 1.0)
    """A row whose IFD lies in this range is hard to follow, and a seed. (DataFlow: 0.5 to 1.0.)"""
    small_drop_share: Share = 0.05
    """The share of the scored rows whose loss falls least when the scorer is trained on the pool: they are hard to learn, and seeds. Needs `tuned`.
    (Subject report: the 50,000 smallest.)"""
    veto_sigma: NonNegativeFloat | None = 1.96
    """A row whose loss falls by more than mean + this many standard deviations of the fall when the scorer is trained is no seed, whatever speaks for
    it: it is soon learnt by heart. Null for no veto; needs `tuned`. (Paper: rows whose loss changes a lot are dropped, the bound is not
    published.)"""
    tuned: Proxy = Proxy()
    """The scorer, trained on a sample of the pool's conversations, that tells how much of a row's loss training takes away. Off unless `enabled`: the
    two settings above then do nothing."""
    grid: PositiveInt = 20
    """Cells on each side of the grid over the rows' vectors, by which the budget goes round. (Subject report's code: 100, of 3 M rows; 30 for small
    budgets.)"""

    @model_validator(mode="after")
    def _something_can_hold(self) -> Self:
        if set(self.criteria) == {"small_loss_drop"} and not self.tuned.enabled:
            raise ValueError(
                "no row is a seed: small_loss_drop is the only criterion, and it needs `tuned: {enabled: true}`"
            )
        return self


class Elimination(Section):
    """Which rewrites are thrown away. docs/elimination.md has the precision and recall of each rule."""

    max_added_words: NonNegativeInt = 20
    """A rewrite may be this many words longer than its seed; code, tables and other material do not count, two CJK characters are a word, and a seed
    that is a text has no bound. (Evol-Instruct: 10 to 20.)"""
    min_new_words: NonNegativeInt = 1
    """An in-depth rewrite has to bring so many words that its seed has not, and one more if it is shorter than the seed; plurals and words like `the`
    and `which` are none."""
    max_similarity: Cosine = 0.97
    """A rewrite whose embedding is closer than this to its seed brings nothing new."""
    min_similarity: Cosine = 0.3
    """A rewrite whose embedding is further than this from its seed has lost the subject."""
    max_same: Share = 0.9
    """A rewrite is dropped if the judge's probability that it asks the same as its seed is above this."""
    min_gain: Share = 0.05
    """A rewrite is dropped if the judge's probability that answering it takes more than answering its seed is below this."""
    max_harm: Share = 0.9
    """A rewrite is dropped if the judge's probability that it asks for something harmful is above this."""
    max_copy: Annotated[float, Field(gt=0, le=1)] = 0.7
    """A rewrite is dropped if its shingles, runs of two tokens, have at least this Jaccard similarity with those of an earlier rewrite of the
    shard. (Self-Instruct, arXiv 2212.10560: ROUGE-L of 0.7.)"""

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.min_similarity >= self.max_similarity:
            raise ValueError(f"no rewrite has a similarity between {self.min_similarity} and {self.max_similarity}")
        return self


class Evolution(Section):
    """How instructions are made of seeds. docs/evolution.md."""

    strategies: dict[StrategyName, PositiveFloat] = Field(default_factory=lambda: {"evol_instruct": 1.0}, min_length=1)
    """Who makes them, with weights: each seed goes to one, drawn by row id among those that can use it."""
    operators: Annotated[tuple[Operator, ...], Field(min_length=1)] = (
        "constraints", "deepen", "concretise", "reasoning", "complicate", "breadth",
    )  # fmt: skip
    """Of `evol_instruct`: one is drawn per seed and round. (WizardLM: these. BAAI's README of 2024: breadth, deepen, difficulty, complexity.)"""
    deficiency_share: Share = 0.5
    """Of the seeds whose deficiency was told in the diagnosis, the share from which a new instruction is written to that deficiency."""
    retry: bool = True
    """Whether a seed from which nothing came is tried again in the next round, with another draw. (Evol-Instruct: it returns to the pool.)"""
    steps: Annotated[int, Field(ge=1, le=4)] = 2
    """Most steps in a row of `self_rubrics` and `auto_evol`. (CodecLM: 4.)"""
    gap: NonNegativeFloat = 1.0
    """`self_rubrics` stops where the judge scores the generator's answer so much above the first student's. (CodecLM: 3, of 10.)"""
    sampling: Sampling = Sampling(max_tokens=128)
    """Of the generator, where it writes an instruction."""
    json_sampling: Sampling = Sampling(max_tokens=256)
    """Where it writes something on the way: methods, rubrics, concepts, tests; and of the judge, where it analyses."""
    accept: NonNegativeInt = 0
    """Stop a round when so many rewrites are accepted, over all shards, and try no more seeds than that takes; `seeds.max_seeds` is the most that
    may be tried. 0 rewrites every seed."""
    elimination: Elimination = Elimination()
    """Which are thrown away."""


class Answering(Section):
    """How instructions are answered. docs/answers.md."""

    sampling: Sampling = Sampling(max_tokens=320)
    """Of the generator."""
    samples: Annotated[int, Field(ge=1, le=64)] = 1
    """Answers that are drawn; the best is kept. Above 1 they make preference pairs, too."""
    best_by: Literal["reward", "judge"] = "reward"
    """Which is the best: by `models.reward`, or by the judge. Without a reward model it is the judge."""
    execute: bool = True
    """Whether Python in an answer is run in a sandbox, where the request or the answer brings an example or a test."""
    min_margin: NonNegativeFloat = 0.0
    """Two answers are a pair of `preferences` if the scores of the best and the worst are further apart than this, in the unit of what chose the
    best. (Infinity-Preference: the best and the worst by reward, no bound is told.)"""
    limits: Limits = Limits()
    """For these programs."""
    accept: NonNegativeInt = 0
    """Stop a round when so many answers are accepted, over all shards; 0 answers every instruction."""


class Conversations(Section):
    """How single exchanges become conversations by role play. docs/conversations.md."""

    share: Share = 0.1
    """Share of the rows that are talked on about, drawn by row id. (Released G: 2.3 % have several turns; BAAI's README: 2 to 4 rounds.)"""
    turns: Annotated[tuple[PositiveInt, PositiveInt], IN_ORDER] = (2, 4)
    """Fewest and most user turns, drawn by row id."""
    user_sampling: Sampling = Sampling(max_tokens=64)
    """Of who plays the user (the generator)."""
    min_coherence: Share = 0.3
    """A turn is thrown away, with what follows, if the judge's probability that it carries the conversation on is below this."""


class Diagnosis(Section):
    """When a student counts as weak, and what follows. docs/diagnosis.md."""

    weak_below: Grade = 3.0
    """Every student scored below this, of 5, by the judge: the row goes to the next round. (Paper: not published.)"""
    swap: bool = True
    """Whether the judge sees student's and reference's answer in both orders and the mean counts. (Lion, arXiv 2305.12870.)"""
    deficiencies: bool = True
    """Whether the judge says in words what the weak answers lack: new instructions are written from that in the next round."""
    deficiency_sampling: Sampling = Sampling(temperature=0.0, max_tokens=64)
    """Of what it says."""
    taught: Proxy = Proxy()
    """A student that is trained on the round's answers, to see whether the gap closed. Off unless `enabled`."""
    held_out: Share = 0.3
    """Share of the weak rows that it is not shown: the gap before and after is measured on them."""
    min_gain: float = 0.0
    """The next round is not begun if the gap closed by less than this, in points of the judge. Needs `taught`."""


class Final(Section):
    """The last filter before InfInstruct-G. docs/final_filter.md."""

    min_answer_score: Grade = 1.5
    """Rows whose answer the judge scores below this, of 5, are dropped."""
    drop_quantile: Share = 0.05
    """Of every domain and language, this share of lowest reward is dropped; by the judge's score where there is no reward."""
    min_group: PositiveInt = 20
    """In groups of fewer rows none is dropped for its place."""
    near: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Jaccard similarity from which on a row is a near-duplicate of a seed, of a row of F or of a better row of G."""
    denied_licences: tuple[str, ...] = ()
    """Rows under these licences, which are the most restrictive of their parents', are dropped."""
    denied_terms: tuple[str, ...] = ()
    """Rows written by a model under these terms (`terms` of the model) are dropped."""


class Chat(Section):
    """InfInstruct-G."""

    rounds: int = Field(default=1, ge=1, le=3)
    """Rounds of evolution, unrolled in the graph."""
    seeds: Seeds = Seeds()
    """Which rows become seeds."""
    evolution: Evolution = Evolution()
    """How instructions are made of them."""
    answering: Answering = Answering()
    """How they are answered."""
    conversations: Conversations = Conversations()
    """How some become conversations."""
    diagnosis: Diagnosis = Diagnosis()
    """How weak rows are found."""
    final: Final = Final()
    """What G keeps."""
