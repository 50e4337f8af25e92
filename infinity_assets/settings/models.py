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
"""Validator of a range: two bounds, both inclusive, the smaller one first."""


class Section(BaseModel):
    """A section of the settings. The docstring of a field is its user documentation."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", frozen=True)


class Price(Section):
    """The price of calls, in a currency of your choice. `infinity plan`, `--budget` and the ledger tables use it."""

    prompt: NonNegativeFloat = 0.0
    """Price per million prompt tokens."""
    completion: NonNegativeFloat = 0.0
    """Price per million completion tokens."""
    hour: NonNegativeFloat = 0.0
    """Price per hour in which the engine works, for a rented machine."""


class Speed(Section):
    """The speed of an engine, if it is known; otherwise `infinity plan` measures it."""

    prompt: PositiveFloat
    """Prompt tokens a second, over all requests in flight, while nothing is written."""
    completion: PositiveFloat
    """Completion tokens a second, over all requests in flight, once the prompts have been read."""


class Weights(Section):
    """Settings that language models and reward models share: the weights, and how to load them."""

    model: str
    """A Hub id, or a folder with weights."""
    revision: str = "main"
    """Revision of the weights. Part of every request's key."""
    max_model_len: PositiveInt
    """Longest text, in tokens."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Data type of the computation. `auto` is the stored type (vLLM turns float32 into bf16), or float32 on an x86 CPU
    without AVX-512. With `float32` all engines give the same log-probabilities to 1e-3. Not part of a request's key."""
    engine: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, such as `gpu_memory_utilization`, or of transformers' `from_pretrained`. Not
    part of a request's key."""
    price: Price = Price()
    """Price of the calls."""

    @property
    def weights_id(self) -> str:
        """The attributes that decide an answer, as they stand in a request's key: `model@revision`."""
        return f"{self.model}@{self.revision}"

    @property
    def answer_id(self) -> str:
        """The attributes that decide which requests are answered: `weights_id` and context window."""
        return f"{self.weights_id}:{self.max_model_len}"


class ModelSpec(Weights):
    """A language model and the engine that runs it."""

    backend: Literal["vllm", "openai", "transformers"] = "vllm"
    """`vllm`: in this process (GPU or CPU build). `openai`: any server with OpenAI's API (`vllm serve`, a hosted one).
    `transformers`: in this process, for models that vLLM does not support; slower."""
    model: str = EMBEDDED_MODEL
    """The embedded model, a Hub id such as `Qwen/Qwen2.5-7B-Instruct`, or a folder with weights. For `openai`, the
    server's name of the model."""
    max_model_len: PositiveInt = 2048
    """Longest prompt plus answer, in tokens."""
    terms: str = Field(
        default_factory=lambda given: EMBEDDED_TERMS if given.get("model") == EMBEDDED_MODEL else "unknown"
    )
    """License or terms for the use of the output, such as `Apache-2.0`, `Llama-3.1` or `OpenAI`. By default the
    embedded model's license, and `unknown` for any other model. Rows of G carry the generator's terms. Not part of a
    request's key."""
    tensor_parallel_size: PositiveInt = 1
    """`vllm` only: number of GPUs that hold one copy of the weights together."""
    data_parallel_size: PositiveInt = 1
    """`vllm` only: number of copies of the weights, each in a process and on GPUs of its own; requests are divided
    among them."""
    when_idle: Literal["close", "sleep"] = "close"
    """`vllm` on a GPU only: behavior of an idle engine when another model needs the GPU. `close` frees all memory;
    `sleep` keeps the weights in main memory and resumes in seconds."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """`openai` only: address of the server."""
    api_key_env: str = "OPENAI_API_KEY"
    """`openai` only: environment variable that holds the key. The key itself is never stored or logged."""
    concurrency: PositiveInt = 64
    """`openai` only: most requests in flight. The number adapts to the server: it falls under overload and rises again
    afterwards."""
    requests_per_minute: PositiveInt | None = None
    """`openai` only: the server's limit on requests a minute, if it has one."""
    tokens_per_minute: PositiveInt | None = None
    """`openai` only: the server's limit on prompt and completion tokens a minute together, if it has one."""
    timeout: PositiveFloat = 600.0
    """`openai` only: seconds to wait for an answer before the request is repeated. A long answer of a large model under
    load takes minutes."""
    speed: Speed | None = None
    """Speed of the engine; null to let `infinity plan` measure it."""


class EmbedderSpec(Section):
    """A sentence-transformers model, or a static one (model2vec and the like)."""

    model: str = EMBEDDED_EMBEDDER
    """An embedded model (`all-minilm-l6-v2`; or the static `wordllama-l2-supercat-256`, thousands of texts a second on
    a CPU), a Hub id or a folder. Both embedded models know English only."""
    revision: str = "main"
    """Revision of the weights."""
    max_tokens: PositiveInt = 128
    """Texts are cut to this many tokens. The default model was trained with 256; 128 is twice as fast and rarely
    differs for near-duplicates."""
    batch_size: PositiveInt = 64
    """Texts per forward pass."""

    @property
    def weights_id(self) -> str:
        """The attributes that decide a vector."""
        return f"{self.model}@{self.revision}:{self.max_tokens}"


class RewardSpec(Weights):
    """A reward model: any model that transformers loads for sequence classification with one number as its output.

    An example is `Skywork/Skywork-Reward-V2-Llama-3.1-8B`.
    """

    backend: Literal["transformers", "vllm"] = "transformers"
    """`transformers`, or `vllm`: its pooling runner, on a GPU."""
    max_model_len: PositiveInt = 4096
    """Longest conversation, in tokens. A longer one gets no reward, with the reason `prompt_too_long`."""
    batch_size: PositiveInt = 16
    """Conversations per forward pass, with `transformers`."""


class Sampling(Section):
    """The sampling of a model's answers."""

    temperature: NonNegativeFloat = 0.7
    """Sampling temperature; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling. Below 1 the whole vocabulary is sorted at every token, which halves the speed of a small model
    on a CPU."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""


class Student(Section):
    """A student of the diagnosis: a model and its sampling."""

    name: str
    """Name of the student on pages."""
    model: ModelSpec = ModelSpec()
    """Model of the student."""
    sampling: Sampling = Sampling()
    """Sampling of the student."""

    @property
    def parts(self) -> tuple["str | Sampling", ...]:
        """The attributes that decide the student's answers."""
        return self.name, self.model.answer_id, self.sampling


class Models(Section):
    """The models, by part. Each defaults to the embedded model, so that everything runs without a GPU and the Hub."""

    generator: ModelSpec = ModelSpec()
    """Evolves instructions and writes answers. (Paper: not stated.)"""
    synthesizer: ModelSpec | None = None
    """Writes question-answer pairs about texts; null for the generator. (Instruction Pre-Training, arXiv 2406.14491: a
    Mistral-7B tuned for the task, `instruction-pretrain/instruction-synthesizer`; use it with `from_text.exemplars` off
    and a window of 4,096.)"""
    tagger: ModelSpec = ModelSpec()
    """Writes labels. (Paper: Qwen1.5-72B.)"""
    judge: ModelSpec = ModelSpec()
    """Gives scores. (Paper: GPT-4.)"""
    scorer: ModelSpec = ModelSpec()
    """Gives log-probabilities for loss and IFD. (Paper: Qwen1.5-7B; Superfiltering: GPT-2 124M.)"""
    embedder: EmbedderSpec = EmbedderSpec()
    """Computes vectors. (Paper: BGE.)"""
    reward: RewardSpec | None = None
    """Gives rewards to answers; null for no rewards. (Infinity-Instruct's rows carry rewards of
    Skywork-Reward-Llama-3.1-8B-v0.2.)"""
    students: Annotated[tuple[Student, ...], Field(min_length=1)] = (
        Student(name="greedy", sampling=Sampling(temperature=0.0, top_p=1.0, max_tokens=96)),
        Student(name="sampled", sampling=Sampling(temperature=1.0, top_p=0.95, max_tokens=96)),
    )
    """The models that answer in the diagnosis. The default is one model under two settings: replace it for real use.
    (Paper: Mistral-7B and Llama3-8B.)"""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [student.name for student in self.students]
        if len(set(names)) < len(names):
            raise ValueError(f"the names of students must be unique: {', '.join(names)}")
        return self

    @property
    def effective_synthesizer(self) -> ModelSpec:
        """The synthesizer in force."""
        return self.synthesizer or self.generator


def list_specs(section: BaseModel) -> list[ModelSpec | EmbedderSpec | RewardSpec]:
    """List the models in a section of the settings and in the sections within it, each once."""
    specs: dict[str, ModelSpec | EmbedderSpec | RewardSpec] = {}
    for _, value in section:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (ModelSpec, EmbedderSpec, RewardSpec)):
                specs[part.weights_id] = part
            elif isinstance(part, BaseModel):
                specs |= {spec.weights_id: spec for spec in list_specs(part)}
    return list(specs.values())


class Retries(Section):
    """Retries of unusable answers, by class.

    Failing or overloaded servers are not covered: their calls are retried for half a minute, and by the next run.
    """

    invalid: NonNegativeInt = 1
    """Retries of an answer that does not fit its JSON schema or is not one of the choices: drawn with another seed, and
    never greedily."""
    empty: NonNegativeInt = 1
    """Retries of an empty answer, drawn in the same way."""
    truncated: NonNegativeInt = 1
    """Retries of JSON that was cut at `max_tokens`, with twice as many tokens. The stage that reads a cut text drops
    it."""
    refused: NonNegativeInt = 0
    """Retries of an answer that the server's filter, or the model by its API, refused: drawn with another seed."""
    temperature: NonNegativeFloat = 0.7
    """Lowest temperature of a retry with another seed."""


class Calls(Section):
    """Model calls, on any engine. Of these settings only `retries` affects the rows."""

    retries: Retries = Retries()
    """Retries of unusable answers."""
    warn_failed: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Assets in which more than this share of the calls gave no usable answer are named at the end of a run."""
    shards_at_once: PositiveInt = 8
    """Number of shards of the chat phase that are made side by side, so that their calls at the same point form one
    batch. Their rows are in memory."""
    budget_tokens: PositiveInt | None = None
    """A run stops before it has used more prompt and completion tokens than this. (`infinity run --budget`)"""
    budget_cost: PositiveFloat | None = None
    """A run stops before its calls have cost more than this, by the prices of the models."""
