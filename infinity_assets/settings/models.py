"""Which model plays which part, how it is run, and what may be spent on its calls: the part of the settings that is about models."""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

EMBEDDED_MODEL = "smollm2-135m-instruct"
EMBEDDED_TERMS = "Apache-2.0"
EMBEDDED_EMBEDDER = "all-minilm-l6-v2"
STATIC_EMBEDDER = "wordllama-l2-supercat-256"


Share = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Grade = Annotated[float, Field(ge=0, le=5)]


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] <= bounds[1]:  # nor is one of them no number
        raise ValueError(f"{bounds[0]} to {bounds[1]} is no range: the smaller bound comes first")
    return bounds


IN_ORDER = AfterValidator(_in_order)
"""Of two bounds, both inclusive."""


class Section(BaseModel):
    """A part of the settings. The text under a field is its documentation."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", frozen=True)


class Price(Section):
    """What calls cost, in a currency of your choice. `infinity plan`, `--budget` and the books count with it."""

    prompt: NonNegativeFloat = 0.0
    """Per million prompt tokens."""
    completion: NonNegativeFloat = 0.0
    """Per million completion tokens."""
    hour: NonNegativeFloat = 0.0
    """Per hour in which the engine works: a machine that is rented."""


class Speed(Section):
    """How fast an engine works, where it is known: `infinity plan` measures it otherwise."""

    prompt: PositiveFloat
    """Prompt tokens a second, all requests in flight together, while nothing is written."""
    completion: PositiveFloat
    """Completion tokens a second, all requests in flight together, once the prompts have been read."""


class Weights(Section):
    """A model by its weights, whatever it is for."""

    model: str
    """A Hub id, or a folder with weights."""
    revision: str = "main"
    """Revision of the weights: part of every request's key."""
    max_model_len: PositiveInt
    """Longest text, in tokens."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Numbers that it computes with; `auto` is what the weights are stored in (vLLM makes bf16 of float32), on an x86 CPU without AVX-512
    float32. With `float32` all engines give the same log-probabilities to 1e-3. Not part of a request's key."""
    engine: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, such as `gpu_memory_utilization`, or of transformers' `from_pretrained`. Not part of a request's key."""
    price: Price = Price()
    """What its calls cost."""

    @property
    def identity(self) -> str:
        """What of the model decides its answers, as it stands in a request's key: `model@revision`."""
        return f"{self.model}@{self.revision}"

    @property
    def reach(self) -> str:
        """What of the model decides which requests are answered: its identity and its window."""
        return f"{self.identity}:{self.max_model_len}"


class ModelSpec(Weights):
    """A language model and the engine that runs it."""

    backend: Literal["vllm", "openai", "transformers"] = "vllm"
    """`vllm`: in this process (GPU or CPU build). `openai`: any server that speaks OpenAI's API (`vllm serve`, a hosted one). `transformers`: in
    this process, for what vLLM does not support; slower."""
    model: str = EMBEDDED_MODEL
    """The embedded model, a Hub id such as `Qwen/Qwen2.5-7B-Instruct`, or a folder with weights. For `openai`, the server's model name."""
    max_model_len: PositiveInt = 2048
    """Longest prompt plus answer, in tokens."""
    terms: str = Field(
        default_factory=lambda given: EMBEDDED_TERMS if given.get("model") == EMBEDDED_MODEL else "unknown"
    )
    """The licence or the terms under which what it writes may be used, such as `Apache-2.0`, `Llama-3.1` or `OpenAI`: those of the embedded model if
    nothing is said, and `unknown` for any other. Rows of G carry the generator's. Not part of a request's key."""
    tensor_parallel_size: PositiveInt = 1
    """`vllm` only: GPUs that hold one copy of the weights together."""
    data_parallel_size: PositiveInt = 1
    """`vllm` only: copies of the weights, each in a process and on GPUs of its own; the requests are divided among them."""
    when_idle: Literal["close", "sleep"] = "close"
    """`vllm` on a GPU only. What an engine does when another model wants the GPU: `close` gives everything back, `sleep` keeps the weights in main
    memory and is back in seconds."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """`openai` only: where the server listens."""
    api_key_env: str = "OPENAI_API_KEY"
    """`openai` only: the environment variable that holds the key. The key itself is never stored or logged."""
    concurrency: PositiveInt = 64
    """`openai` only: most requests in flight. As many as the server takes: the number falls when it is overloaded and rises again after."""
    requests_per_minute: PositiveInt | None = None
    """`openai` only: the server's limit, if it has one."""
    tokens_per_minute: PositiveInt | None = None
    """`openai` only: the server's limit on prompt and completion tokens together, if it has one."""
    timeout: PositiveFloat = 600.0
    """`openai` only: seconds for one answer, after which it is asked again. A long answer of a large model under load takes minutes."""
    speed: Speed | None = None
    """How fast it is; null to let `infinity plan` measure it."""


class EmbedderSpec(Section):
    """A sentence-transformers model, a static one (model2vec and the like) included."""

    model: str = EMBEDDED_EMBEDDER
    """An embedded model (`all-minilm-l6-v2`; `wordllama-l2-supercat-256`, a static one, thousands of texts a second on a CPU), a Hub id or a
    folder. Both embedded ones know English only."""
    revision: str = "main"
    """Revision of the weights."""
    max_tokens: PositiveInt = 128
    """Texts are cut to this many tokens: 256 is what the default was trained with, 128 is twice as fast and rarely differs for near-duplicates."""
    batch_size: PositiveInt = 64
    """Texts per forward pass."""

    @property
    def identity(self) -> str:
        """What of the embedder decides its vectors."""
        return f"{self.model}@{self.revision}:{self.max_tokens}"


class RewardSpec(Weights):
    """A reward model: any that transformers loads for sequence classification with one number as its output, such as
    `Skywork/Skywork-Reward-V2-Llama-3.1-8B`.
    """

    backend: Literal["transformers", "vllm"] = "transformers"
    """`vllm`: its pooling runner, on a GPU."""
    max_model_len: PositiveInt = 4096
    """Longer conversations get no reward, and `prompt_too_long` as the reason."""
    batch_size: PositiveInt = 16
    """Conversations per forward pass, with `transformers`."""


class Sampling(Section):
    """How a model's answer is drawn."""

    temperature: NonNegativeFloat = 0.7
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus. Below 1 the whole vocabulary is sorted at every token, which halves the speed of a small model on a CPU."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""


class Student(Section):
    """A student of the diagnosis: a model and how it samples."""

    name: str
    """How the pages call it."""
    model: ModelSpec = ModelSpec()
    """Its model."""
    sampling: Sampling = Sampling()
    """Its sampling."""

    @property
    def parts(self) -> tuple["str | Sampling", ...]:
        """What of the student decides its answers."""
        return self.name, self.model.reach, self.sampling


class Models(Section):
    """Which model plays which part. All parts default to the embedded model, so that everything runs with no GPU and no hub."""

    generator: ModelSpec = ModelSpec()
    """Evolves instructions and writes answers. (Paper: not stated.)"""
    synthesizer: ModelSpec | None = None
    """Writes question-answer pairs about texts; null for the generator. (Instruction Pre-Training, arXiv 2406.14491: a Mistral-7B tuned for it,
    `instruction-pretrain/instruction-synthesizer`; with that one `from_text.exemplars` off and a window of 4,096.)"""
    tagger: ModelSpec = ModelSpec()
    """Writes labels. (Paper: Qwen1.5-72B.)"""
    judge: ModelSpec = ModelSpec()
    """Gives scores. (Paper: GPT-4.)"""
    scorer: ModelSpec = ModelSpec()
    """Gives log-probabilities for loss and IFD. (Paper: Qwen1.5-7B; Superfiltering: GPT-2 124M.)"""
    embedder: EmbedderSpec = EmbedderSpec()
    """Gives vectors. (Paper: BGE.)"""
    reward: RewardSpec | None = None
    """Gives rewards to answers; null for none. (Infinity-Instruct's rows carry one of Skywork-Reward-Llama-3.1-8B-v0.2.)"""
    students: Annotated[tuple[Student, ...], Field(min_length=1)] = (
        Student(name="greedy", sampling=Sampling(temperature=0.0, top_p=1.0, max_tokens=96)),
        Student(name="sampled", sampling=Sampling(temperature=1.0, top_p=0.95, max_tokens=96)),
    )
    """Who answers in the diagnosis. (Paper: Mistral-7B and Llama3-8B.) By default one model under two settings: replace it for real use."""

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [student.name for student in self.students]
        if len(set(names)) < len(names):
            raise ValueError(f"students are told apart by their names: {', '.join(names)}")
        return self

    @property
    def of_texts(self) -> ModelSpec:
        """The synthesizer in force."""
        return self.synthesizer or self.generator


class Retries(Section):
    """How often an answer that cannot be used is asked for again, by class. Servers that fail or are overloaded are another matter: those calls
    are tried again for half a minute, and by the next run.
    """

    invalid: NonNegativeInt = 1
    """JSON that does not fit its schema, or none of the choices: drawn again with another seed, and never greedily."""
    empty: NonNegativeInt = 1
    """Nothing was written: the same."""
    truncated: NonNegativeInt = 1
    """JSON that was cut at `max_tokens`: asked with twice as many. Texts that were cut are dropped by the stage that reads them."""
    refused: NonNegativeInt = 0
    """The server's filter, or the model by its API, refused: drawn again with another seed."""
    temperature: NonNegativeFloat = 0.7
    """At least this, where an answer is drawn again."""


class Calls(Section):
    """Model calls, whoever answers them. Of all this only `retries` decides what a row gets."""

    retries: Retries = Retries()
    """What is asked again."""
    warn_failed: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Assets of which more than this share of the calls gave nothing that can be used are named at the end of a run."""
    shards_at_once: PositiveInt = 8
    """So many shards of the chat phase are made side by side, so that what they ask at the same point is one batch. Their rows are in memory."""
    budget_tokens: PositiveInt | None = None
    """A run stops before it has used more prompt and completion tokens than this. (`infinity run --budget`)"""
    budget_cost: PositiveFloat | None = None
    """A run stops before its calls have cost more than this, by the prices of the models."""
