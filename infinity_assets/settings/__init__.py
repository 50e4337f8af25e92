"""All settings: every number of the recipe, in one place, with its source.

They are read from three places, and later values win: the defaults below, `infinity.yaml` in the working directory (or
the file named by INFINITY_SETTINGS), and environment variables such as INFINITY_CHAT__SEEDS__MAX_SEEDS=200 (two
underscores go one level down). The defaults fit a laptop and a pool of up to some 100,000 rows. If the paper (arXiv
2506.11116) used another value on its 116 M rows, the field states it.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.settings.chat import Chat
from infinity_assets.settings.foundation import Foundation, Labels, Scoring
from infinity_assets.settings.models import Calls, Cosine, EmbedderSpec, Models, Section, Share


class FromText(Section):
    """Synthesis of question-answer pairs from raw texts (Instruction Pre-Training, arXiv 2406.14491)."""

    max_texts: NonNegativeInt = 0
    """Maximum texts per source, drawn by row id. The default, 0, switches the synthesis off: the embedded model's
    output is not usable data. (Paper: 200 M texts.)"""
    rounds: PositiveInt = 2
    """Number of groups into which the texts are split, one per round. A prompt shows texts of earlier rounds, with the
    pairs written about them, as examples. (Called M in Instruction Pre-Training; 2 in its example.)"""
    max_new_tokens: PositiveInt = 400
    """Longest output of the model for a text, in tokens. (Instruction Pre-Training's code: 400.)"""
    min_words: NonNegativeInt = 30
    """Fewest words of a text; a CJK character counts as a word. A single line offers nothing to ask about. (Ours.)"""
    max_context_tokens: PositiveInt = 400
    """Longest text, in tokens; a longer one is cut at the end of a sentence. At 400, our examples and an earlier round
    also fit a window of 2,048. (Ours; Instruction Pre-Training's code cuts nothing, in a window of 4,096.)"""
    exemplars: bool = True
    """Put three fixed examples before every text, in its language if there are any. A model that was not tuned for the
    format needs them. (Ours; Instruction Pre-Training's code has none.)"""
    bos: str | None = None
    """Begin-of-text token of the synthesizer. Null: the token of its tokenizer, or `<s>` for a model on a server."""
    eos: str | None = None
    """End-of-text token of the synthesizer. Null: the token of its tokenizer, or `</s>` for a model on a server."""


class Ingest(Section):
    """Reading of the sources."""

    workers: int = Field(default_factory=lambda: min(len(os.sched_getaffinity(0)), 16), ge=1)
    """Number of processes that parse files, and of threads that process rows: by default one per core, up to 16. A
    process takes some 300 MB. The rows do not depend on this number."""
    warn_dropped: Share = 0.05
    """Share of dropped records above which the end of a run and the check `understood` name a source."""
    guess: Literal["off", "ask", "sure"] = "sure"
    """Reading of records of unknown layout. `sure`: by a guess for the whole source, if the names of its fields and
    their values each say the same of the request and the answer; the annotation `guessed_fields` marks such rows.
    `ask`: not at all, but the preview shows the guess. `off`: not at all."""


class Near(Section):
    """Near-duplicates: MinHash with LSH proposes pairs, and the true Jaccard similarity of their shingles decides."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Lowest Jaccard similarity of the shingles of two near-duplicates. After a change, the texts are not read again,
    but the bands must find such pairs. (Infinity-Instruct's users: 0.6 and 0.9; text-dedup, data-juicer: 0.7.)"""
    answers: Literal["alike", "any"] = "alike"
    """`alike`: two rows are near-duplicates only if their answers are as similar as the rows, the numbers and symbols
    of their prompts are equal, and so are prompts that are too short for a shingle. Rows whose answer is too short for
    a shingle are compared by exact hash alone. Two questions about one passage, or one task with two inputs, are then
    no duplicates. `any`: the whole conversation decides, as in other tools; on a pool of templates this removes half of
    the rows."""
    shingle: PositiveInt = 5
    """Tokens in a shingle. A token is a word or one CJK character. (text-dedup, datatrove, data-juicer: 5 words.)"""
    bands: Annotated[int, Field(ge=1, le=256)] = 25
    """Number of bands in the MinHash signature of a row. Rows that agree in a band are compared."""
    rows_per_band: Annotated[int, Field(ge=1, le=32)] = 5
    """MinHash values in a band. With 25 bands of 5, two rows agree in a band with probability 0.99 at similarity 0.7,
    0.55 at 0.5, and 0.06 at 0.3. (datatrove: 14 bands of 8, 0.56 at 0.7.)"""

    @property
    def signing(self) -> str:
        """The settings that decide the signatures, as JSON: all but the threshold."""
        return self.model_dump_json(exclude={"threshold"})


class Semantic(Section):
    """Rows of the same meaning in other words, by embeddings (SemDeDup, arXiv 2303.09540; docs/deduplication.md)."""

    enabled: bool = False
    """Remove these rows. Off by default: half a million take MiniLM hours on two CPU cores, a static model minutes."""
    embedder: EmbedderSpec | None = None
    """Embedding model; null for `models.embedder`."""
    max_unknown: Share = 0.1
    """A row is not compared if the embedder does not know more than this share of its tokens: the embedded models know
    no Chinese."""
    floor: Cosine = 0.8
    """Least cosine of the pairs that are stored. `threshold` can be lowered to this value without new embeddings or
    comparisons."""
    threshold: Cosine = 0.95
    """Least cosine of two duplicates, between their prompts and between their answers. 0.95 is right for MiniLM, 0.9
    for the static model. (NeMo Curator: 0.99; Magpie: 0.95.)"""
    facts: bool = True
    """Keep two rows apart that differ in the numbers or the negations of their prompts, in a system prompt or in a
    short answer: embeddings are blind to these."""
    neighbours: PositiveInt = 64
    """Store a pair only if it is among this many best pairs of one of its rows. This bounds the cost of big groups."""
    exact_up_to: PositiveInt = 1_000_000
    """Maximum rows for which all pairs are compared; above it hnswlib proposes the pairs and may miss some."""

    @model_validator(mode="after")
    def _above_the_floor(self) -> Self:
        if self.threshold < self.floor:
            raise ValueError(f"threshold {self.threshold} is below the floor, {self.floor}: such pairs are not kept")
        return self


class Dedup(Section):
    """De-duplication."""

    source_priority: tuple[str, ...] = ()
    """Sources whose rows survive before all others, best first. If this does not decide, the row with the higher score
    survives, then the one with the lower row id."""
    score: str | None = None
    """Name of a numeric annotation (for instance `reward`): the row with the higher value survives. Rows without it
    rank last."""
    answers_per_instruction: NonNegativeInt = 0
    """Maximum answers kept per instruction, best first by `source_priority`, `score` and row id; 0 keeps all."""
    near: Near = Near()
    """Near-duplicates."""
    semantic: Semantic = Semantic()
    """Rows of the same meaning in other words."""


Side = Literal["system", "user", "assistant"]
Part = Literal["question", "answer"]
MatchRule = Literal["exact_prompt", "ngram", "overlap"]


class Decontamination(Section):
    """The search for benchmark items in rows, and the consequences of a hit."""

    exact: bool = True
    """A turn that equals an item's question, ignoring case and punctuation, is a hit. So is a short question among words
    that people put around one, such as `Question:` and `Answer briefly.` (Llama 3, arXiv 2407.21783: exact match.)"""
    exact_words: PositiveInt = 2
    """Fewest words of a question that `exact` looks for: many users who write `continue` never saw an item. Two CJK
    characters count as a word. (Ours.)"""
    ngram: PositiveInt | None = 13
    """A turn that shares a run of this many tokens with an item is a hit; null switches the rule off. A token is a
    word, or one CJK character. (GPT-3, arXiv 2005.14165: 13.)"""
    min_words: NonNegativeInt = 4
    """Fewest words of more than one letter among the shared tokens (a CJK character counts as a word): grids of numbers
    are no evidence. An item with fewer words is a hit only if `overlap` finds all of them. (Ours.)"""
    overlap: Share | None = 0.5
    """A turn is a hit if its runs of `overlap_ngram` tokens cover more than this share of an item's tokens; null
    switches the rule off. (Tulu 3, arXiv 2411.15124: 0.5.)"""
    overlap_ngram: PositiveInt = 8
    """Shortest run, in tokens, that counts for `overlap`. (Tulu 3: 8.)"""
    overlap_tokens: PositiveInt = 13
    """Fewest tokens of an item that `overlap` must cover; a shorter item must be covered in full. Otherwise half of a
    short item, such as `Write a Python function to find the`, would be a hit. (Ours; Tulu 3: as many as
    `overlap_ngram`.)"""
    remove: dict[MatchRule, dict[Part, tuple[Side, ...]]] = {
        "exact_prompt": {"question": ("system", "user")},
        "ngram": {"question": ("system", "user")},
        "overlap": {"question": ("system", "user", "assistant")},
    }
    """Roles of the turns whose hits remove the row, by rule and by part of the item. An assistant that repeats half of
    a question gives the question away; a single run of 13 tokens in its turn is mostly code that everyone writes. (Tulu
    3: user turns and questions.)"""
    report: dict[Part, tuple[Side, ...]] = {
        "question": ("system", "user", "assistant"),
        "answer": ("user", "assistant"),
    }
    """Roles of the turns whose hits are listed in `matches`, by part of the item, even if they remove nothing."""
    flag_above: Share = 0.02
    """A source is flagged if it hits more than this share of a benchmark's items. (Tulu 3: 0.02.)"""
    remove_flagged: bool = False
    """Remove all rows of a flagged source."""
    paraphrases: PositiveInt = 5
    """Rows per item in the review list of paraphrases. The list needs the embeddings of `dedup.semantic`."""
    paraphrase_floor: Cosine = 0.8
    """Least cosine between a row's prompt and an item's prompt in the review list of paraphrases."""
    paraphrase_threshold: Cosine | None = None
    """A row whose prompt has at least this cosine to an item's prompt is dropped. Null: the list is for review only.
    (Tulu 3 found that no value separates a paraphrase from the same topic; BAAI set 0.3 by hand.)"""

    @property
    def sides(self) -> dict[Part, frozenset[Side]]:
        """Roles of the turns that are compared with an item, by part of the item."""
        wanted = [self.report, *self.remove.values()]
        return {part: frozenset(side for sides in wanted for side in sides.get(part, ())) for part in get_args(Part)}

    @property
    def gate(self) -> str:
        """The settings that decide which rows are hits, as JSON."""
        return self.model_dump_json(
            exclude={"flag_above", "remove_flagged", "paraphrases", "paraphrase_floor", "paraphrase_threshold"}
        )

    @model_validator(mode="after")
    def _above_the_floor(self) -> Self:
        if self.paraphrase_threshold is not None and self.paraphrase_threshold < self.paraphrase_floor:
            raise ValueError(
                f"paraphrase_threshold {self.paraphrase_threshold} is below paraphrase_floor, {self.paraphrase_floor}"
            )
        return self


class Release(Section):
    """The released files, for training."""

    denied_licences: tuple[str, ...] = ()
    """Rows under these licenses stay out of the released files, with the reason `licence_denied`."""
    masked_turns: Literal["cut", "drop"] = "cut"
    """Rows with an answer that its dataset excludes from training: `cut` ends them before its request, and leaves them
    out, with the reason `masked_turns`, if no answer remains; `drop` leaves all of them out."""


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="INFINITY_", env_nested_delimiter="__", use_attribute_docstrings=True, extra="forbid", frozen=True
    )

    shards: int = Field(default=4, ge=1, le=99)
    """Number of shards: 4 on a laptop, 64 and more for 100 M rows."""
    ingest: Ingest = Ingest()
    models: Models = Models()
    calls: Calls = Calls()
    from_text: FromText = FromText()
    dedup: Dedup = Dedup()
    decontamination: Decontamination = Decontamination()
    scoring: Scoring = Scoring()
    labels: Labels = Labels()
    foundation: Foundation = Foundation()
    chat: Chat = Chat()
    release: Release = Release()
    prompts_dir: Path | None = None
    """Folder with your own prompts. Each file replaces the shipped prompt of the same file name (`infinity prompts
    list`). Only calls whose prompt text changed are made again."""

    @property
    def semantic_embedder(self) -> EmbedderSpec:
        """The embedder that `dedup.semantic` uses."""
        return self.dedup.semantic.embedder or self.models.embedder

    def __init__(self, **values: Any) -> None:
        """Read the settings.

        Raises:
            InfinityError: A value is not valid, a name is unknown, or a file cannot be read.
        """
        variables = {name for name in os.environ if name.startswith("INFINITY_")} - set(_FOLDERS)
        fields = type(self).model_fields
        unknown = {name for name in variables if name.removeprefix("INFINITY_").split("__")[0].lower() not in fields}
        if unknown:
            raise InfinityError(f"There is no setting {', '.join(sorted(unknown))}: `infinity settings` lists all.")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InfinityError("; ".join(_explain(fault) for fault in error.errors()) + ".") from error
        except (ValueError, yaml.YAMLError) as error:
            cause = " ".join(str(error.__cause__ or error).split())
            raise InfinityError(f"The settings cannot be read: {cause}.") from error
        if self.prompts_dir is not None:
            prompts.check_folder(self.prompts_dir)
        if self.decontamination.paraphrase_threshold is not None and not self.dedup.semantic.enabled:
            raise InfinityError(
                "Setting `decontamination.paraphrase_threshold` needs `dedup.semantic.enabled`: it compares embeddings."
            )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the settings file, and the file the defaults."""
        file = Path(os.environ.get("INFINITY_SETTINGS", "infinity.yaml"))
        if "INFINITY_SETTINGS" in os.environ and not file.is_file():
            raise InfinityError(f"INFINITY_SETTINGS names {file}, which is not a file.")
        if isinstance(env_settings, EnvSettingsSource):
            # INFINITY_MODELS is a folder (`models_dir`), not the section of that name.
            env_settings.env_vars = {
                name: value for name, value in env_settings.env_vars.items() if name != "infinity_models"
            }
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file)


_FOLDERS = ("INFINITY_DATA", "INFINITY_MODELS", "INFINITY_SETTINGS")
"""Environment variables that name folders or files."""


def _explain(fault: Any) -> str:
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"There is no setting `{name}`: `infinity settings` lists all"
    return f"Setting `{name}` cannot be {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}"


def settings_texts(*sections: BaseModel | str | int | float) -> list[str]:
    """Return the texts that are hashed for an asset's settings: the JSON of a section, the `repr` of a single value."""
    return [section.model_dump_json() if isinstance(section, BaseModel) else repr(section) for section in sections]


def settings_hash(*sections: BaseModel | str | int | float) -> str:
    """Return a hash (12 hexadecimal digits) of the settings that an asset reads. If it changes, the rows may change."""
    return hashlib.blake2b("\n".join(settings_texts(*sections)).encode(), digest_size=6).hexdigest()


def path_of(section: BaseModel | str | int | float, within: BaseModel, path: str = "") -> str:
    """Return the path of a section in the settings, such as `chat.seeds`; empty for the root and for single values."""
    for name in type(within).model_fields:
        value = getattr(within, name)
        if isinstance(value, BaseModel):
            inner = f"{path}.{name}" if path else name
            if value is section:
                return inner
            if match := path_of(section, value, inner):
                return match
    return ""
