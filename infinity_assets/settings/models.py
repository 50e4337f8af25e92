"""Settings of models: the model for each part, the engine that runs it, and the budget of its calls."""

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


def _check_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] <= bounds[1]:  # also false if one bound is NaN
        raise ValueError(f"{bounds[0]} to {bounds[1]} is not a range: the smaller bound comes first")
    return bounds


IN_ORDER = AfterValidator(_check_order)
"""Validator of a range: two inclusive bounds, the smaller one first."""


class Section(BaseModel):
    """A section of the settings. The docstring of each field is its user documentation."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", frozen=True)


class Price(Section):
    """The price of calls, in a currency of your choice. `infinity plan`, `--budget` and the ledger tables use it."""

    prompt: NonNegativeFloat = 0.0
    """Price per million prompt tokens."""
    completion: NonNegativeFloat = 0.0
    """Price per million completion tokens."""
    hour: NonNegativeFloat = 0.0
    """Price per hour of the engine's work, for a rented machine."""


class Speed(Section):
    """The speed of an engine, if it is known. Otherwise `infinity plan` measures it."""

    prompt: PositiveFloat
    """Prompt tokens a second, over all concurrent requests, while nothing is written."""
    completion: PositiveFloat
    """Completion tokens a second, over all concurrent requests, once the prompts have been read."""


class Weights(Section):
    """Settings that language models and reward models share: the weights, and how they are loaded."""

    model: str
    """A Hub id or a folder with weights."""
    revision: str = "main"
    """Revision of the weights. Part of the request key."""
    max_model_len: PositiveInt
    """Longest text, in tokens."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Data type of the computation. `auto` is the stored type (vLLM turns float32 into bf16), or float32 on an x86 CPU
    without AVX512-BF16 and AMX, which emulates bf16. With `float32` all engines give the same log-probabilities to
    1e-3. Not part of the request key."""
    engine: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, such as `gpu_memory_utilization`, or of transformers' `from_pretrained`. Not
    part of the request key."""
    price: Price = Price()
    """Price of the model's calls."""

    @property
    def weights_id(self) -> str:
        """Name and revision of the weights, as in a request key: `model@revision`."""
        return f"{self.model}@{self.revision}"

    @property
    def answer_id(self) -> str:
        """The settings that the model's answers depend on: `weights_id` and the context window."""
        return f"{self.weights_id}:{self.max_model_len}"


class ModelSpec(Weights):
    """A language model and the engine that runs it."""

    backend: Literal["vllm", "openai", "transformers"] = "vllm"
    """`vllm`: an engine in this process (GPU or CPU build). `openai`: any server with OpenAI's API (`vllm serve`, a
    hosted one). `transformers`: an engine in this process, for models that vLLM does not support; slower."""
    model: str = EMBEDDED_MODEL
    """The embedded model, a Hub id such as `Qwen/Qwen2.5-7B-Instruct`, or a folder with weights. For `openai`, the name
    of the model on the server."""
    max_model_len: PositiveInt = 2048
    """Longest prompt and answer together, in tokens."""
    terms: str = Field(
        default_factory=lambda given: EMBEDDED_TERMS if given.get("model") == EMBEDDED_MODEL else "unknown"
    )
    """License or terms for the use of the output, such as `Apache-2.0`, `Llama-3.1` or `OpenAI`. By default the license
    of the embedded model, and `unknown` for any other model. Rows of G carry the generator's terms. Not part of the
    request key."""
    tensor_parallel_size: PositiveInt = 1
    """`vllm` only: number of GPUs over which one copy of the weights is split."""
    data_parallel_size: PositiveInt = 1
    """`vllm` only: number of copies of the weights, each in its own process and on its own GPUs. Requests are divided
    among them."""
    when_idle: Literal["close", "sleep"] = "close"
    """`vllm` on a GPU only: behavior of an idle engine when another model needs the GPU. `close` frees all memory;
    `sleep` keeps the weights in main memory and resumes in seconds."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """`openai` only: address of the server."""
    api_key_env: str = "OPENAI_API_KEY"
    """`openai` only: environment variable that holds the key. The key itself is never stored or logged."""
    concurrency: PositiveInt = 64
    """`openai` only: maximum concurrent requests. The number adapts to the server: it falls under overload and rises
    again afterwards."""
    requests_per_minute: PositiveInt | None = None
    """`openai` only: the server's limit on requests a minute; null for no limit."""
    tokens_per_minute: PositiveInt | None = None
    """`openai` only: the server's limit on prompt and completion tokens a minute together; null for no limit."""
    timeout: PositiveFloat = 600.0
    """`openai` only: seconds to wait for an answer before the request is repeated. A long answer of a large model under
    load takes minutes."""
    speed: Speed | None = None
    """Speed of the engine; null lets `infinity plan` measure it."""


class EmbedderSpec(Section):
    """An embedding model: a sentence-transformers model or a static one (model2vec and the like)."""

    model: str = EMBEDDED_EMBEDDER
    """A Hub id, a folder or an embedded model: `all-minilm-l6-v2`, or the static `wordllama-l2-supercat-256`, which
    embeds thousands of texts a second on a CPU. Both embedded models know English only."""
    revision: str = "main"
    """Revision of the weights."""
    max_tokens: PositiveInt = 128
    """Longest text, in tokens; a longer one is cut. The default model was trained with 256; 128 is twice as fast and
    rarely gives other near-duplicates."""
    batch_size: PositiveInt = 64
    """Texts per forward pass."""

    @property
    def weights_id(self) -> str:
        """The settings that a vector depends on: `model@revision:max_tokens`."""
        return f"{self.model}@{self.revision}:{self.max_tokens}"


class RewardSpec(Weights):
    """A reward model: any model that transformers loads for sequence classification with one number as its output.

    An example is `Skywork/Skywork-Reward-V2-Llama-3.1-8B`.
    """

    backend: Literal["transformers", "vllm"] = "transformers"
    """Engine: `transformers`, or `vllm` on a GPU (its pooling runner)."""
    max_model_len: PositiveInt = 4096
    """Longest conversation, in tokens. A longer one gets no reward, with the reason `prompt_too_long`."""
    batch_size: PositiveInt = 16
    """Conversations per forward pass, with `transformers`."""


class Sampling(Section):
    """The sampling of a model's answers."""

    temperature: NonNegativeFloat = 0.7
    """Sampling temperature; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Probability mass of nucleus sampling. Below 1 the whole vocabulary is sorted at every token, which halves the
    speed of a small model on a CPU."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""


class Student(Section):
    """A student of the diagnosis: a model and its sampling."""

    name: str
    """Name of the student on the assets' pages."""
    model: ModelSpec = ModelSpec()
    """Model of the student."""
    sampling: Sampling = Sampling()
    """Sampling of the student."""

    @property
    def parts(self) -> tuple["str | Sampling", ...]:
        """The settings that the student's answers depend on."""
        return self.name, self.model.answer_id, self.sampling


class Models(Section):
    """The models, by part. The defaults are embedded models, so that everything runs without a GPU and the Hub."""

    generator: ModelSpec = ModelSpec()
    """The model that evolves instructions and writes answers. (Paper: not stated.)"""
    synthesizer: ModelSpec | None = None
    """The model that writes question-answer pairs about texts; null for the generator. (Instruction Pre-Training, arXiv
    2406.14491: a Mistral-7B tuned for the task, `instruction-pretrain/instruction-synthesizer`; use it with
    `from_text.exemplars` off and a window of 4,096.)"""
    tagger: ModelSpec = ModelSpec()
    """The model that writes labels. (Paper: Qwen1.5-72B.)"""
    judge: ModelSpec = ModelSpec()
    """The model that scores answers, requests and rewrites. (Paper: GPT-4.)"""
    scorer: ModelSpec = ModelSpec()
    """The model whose log-probabilities give loss and IFD. (Paper: Qwen1.5-7B; Superfiltering: GPT-2 124M.)"""
    embedder: EmbedderSpec = EmbedderSpec()
    """The model that embeds rewrites, label names and, for `dedup.semantic`, rows. (Paper: BGE.)"""
    reward: RewardSpec | None = None
    """The model that gives rewards to answers; null for no rewards. (Infinity-Instruct's rows carry rewards of
    Skywork-Reward-Llama-3.1-8B-v0.2.)"""
    students: Annotated[tuple[Student, ...], Field(min_length=1)] = (
        Student(name="greedy", sampling=Sampling(temperature=0.0, top_p=1.0, max_tokens=96)),
        Student(name="sampled", sampling=Sampling(temperature=1.0, top_p=0.95, max_tokens=96)),
    )
    """The models whose answers are diagnosed. The default is one model with two samplings: replace it for real use.
    (Paper: Mistral-7B and Llama3-8B.)"""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [student.name for student in self.students]
        if len(set(names)) < len(names):
            raise ValueError(f"the names of students must be unique: {', '.join(names)}")
        return self

    @property
    def effective_synthesizer(self) -> ModelSpec:
        """The synthesizer or, if it is null, the generator."""
        return self.synthesizer or self.generator


def list_specs(section: BaseModel) -> list[ModelSpec | EmbedderSpec | RewardSpec]:
    """List the models in a section of the settings and in its subsections, each once."""
    specs: dict[str, ModelSpec | EmbedderSpec | RewardSpec] = {}
    for _, value in section:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (ModelSpec, EmbedderSpec, RewardSpec)):
                specs[part.weights_id] = part
            elif isinstance(part, BaseModel):
                specs |= {spec.weights_id: spec for spec in list_specs(part)}
    return list(specs.values())


class Retries(Section):
    """Retries of unusable answers, by class of error.

    Failing or overloaded servers are not covered: their calls are retried for half a minute, and by the next run.
    """

    invalid: NonNegativeInt = 1
    """Retries of an answer that does not fit its JSON schema or is not one of the choices. A retry has another sampling
    seed and is never greedy."""
    empty: NonNegativeInt = 1
    """Retries of an empty answer. A retry has another sampling seed and is never greedy."""
    truncated: NonNegativeInt = 1
    """Retries of JSON that was cut at `max_tokens`, with twice as many tokens. Other cut texts are not retried: the
    stage that reads them drops them."""
    refused: NonNegativeInt = 0
    """Retries, with another sampling seed, of an answer that the server's filter, or the model by its API, refused."""
    temperature: NonNegativeFloat = 0.7
    """Lowest temperature of a retry with another sampling seed."""


class Calls(Section):
    """Model calls, on any engine. Only `retries` affects the rows."""

    retries: Retries = Retries()
    """Retries of unusable answers."""
    warn_failed: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The end of a run names every asset in which a larger share of the calls than this gave no usable answer."""
    shards_at_once: PositiveInt = 8
    """Number of shards of the chat phase that are made side by side, so that their calls at the same point form one
    batch. The rows of all of them are in memory."""
    budget_tokens: PositiveInt | None = None
    """Maximum prompt and completion tokens of a run, which stops before it exceeds them. (`infinity run --budget`)"""
    budget_cost: PositiveFloat | None = None
    """Maximum cost of a run's calls, by the prices of the models. The run stops before it exceeds it."""
