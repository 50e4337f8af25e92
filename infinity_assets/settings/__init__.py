"""All settings: every number of the recipe, in one place, with its source.

They are read in this order, and later values win: the defaults below, `infinity.yaml` in the working directory (or the
file named by INFINITY_SETTINGS), and environment variables such as INFINITY_CHAT__SEEDS__MAX_SEEDS=200 (two underscores
go one level down). The defaults fit a laptop and a pool of up to some 100,000 rows; if the paper (arXiv 2506.11116)
used another value on its 116 M rows, the field states it.
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
    """Most texts taken per source, drawn by row id. Off by default (0): output of the embedded model is not usable
    data. (Paper: 200 M texts.)"""
    rounds: PositiveInt = 2
    """M: number of groups into which the texts are split. Each round sees the pairs that earlier rounds wrote about
    their texts. (Its code: 2 in the example.)"""
    max_new_tokens: PositiveInt = 400
    """Longest continuation, in tokens. (Its code: 400.)"""
    min_words: NonNegativeInt = 30
    """Fewest words of a text (CJK characters count): a single line offers nothing to ask about. (Ours.)"""
    max_context_tokens: PositiveInt = 400
    """Longest text, in tokens; a longer one is cut at the end of a sentence. With our examples and an earlier round it
    then fits a window of 2,048. (Ours; its code cuts nothing, in a window of 4,096.)"""
    exemplars: bool = True
    """Put three examples of our own before every prompt, in the text's language if there are any, for a model that
    was not tuned for the grammar. (Its code: no examples.)"""
    bos: str | None = None
    """Begin-of-text token of the synthesizer. Null: taken from its tokenizer; `<s>` on a server."""
    eos: str | None = None
    """End-of-text token. Null: taken from its tokenizer; `</s>` on a server."""


class Ingest(Section):
    """Reading of the sources."""

    workers: int = Field(default_factory=lambda: min(len(os.sched_getaffinity(0)), 16), ge=1)
    """Processes that parse files, and threads that sign and compare rows: by default one per core, up to 16. A process
    takes some 300 MB. The rows do not depend on it."""
    warn_dropped: Share = 0.05
    """Share of dropped records above which a source is named at the end of a run and by the check `understood`."""


class Near(Section):
    """Near-duplicates: MinHash with LSH, where every candidate is checked by its true Jaccard similarity."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Lowest Jaccard similarity, of the shingles, of two duplicates. A change needs no second reading of the texts, as
    long as the bands find the rows. (Infinity-Instruct's users: 0.6 and 0.9; text-dedup, data-juicer: 0.7.)"""
    answers: Literal["alike", "any"] = "alike"
    """`alike`: the answers of two rows must be as similar as the rows; numbers and symbols of their prompts must be
    equal, and so must prompts too short for a shingle; rows whose answer is too short for a shingle are compared by
    exact hash alone. Two questions about one passage, or one task with two inputs, are then no duplicates. `any`: the
    conversation as a whole decides, as in the field's other tools; on a pool of templates this removes half of the
    rows."""
    shingle: PositiveInt = 5
    """Tokens in a shingle. A token is a word, or one CJK character. (text-dedup, datatrove, data-juicer: 5 words.)"""
    bands: Annotated[int, Field(ge=1, le=256)] = 25
    """Bands of the signature: rows that share one are compared."""
    rows_per_band: Annotated[int, Field(ge=1, le=32)] = 5
    """MinHash values in a band. With 25 bands of 5, rows of similarity 0.7 share a band with probability 0.99, of 0.5
    with 0.55, of 0.3 with 0.06. (datatrove: 14 bands of 8, 0.56 at 0.7.)"""

    @property
    def signing(self) -> str:
        """The settings that decide the signatures: all but the threshold."""
        return self.model_dump_json(exclude={"threshold"})


class Semantic(Section):
    """Rows with one meaning in other words, by close embeddings (SemDeDup, arXiv 2303.09540; docs/deduplication.md)."""

    enabled: bool = False
    """Off by default: half a million rows take MiniLM hours on two CPU cores, and a static model minutes."""
    embedder: EmbedderSpec | None = None
    """Model of the vectors; null for `models.embedder`."""
    max_unknown: Share = 0.1
    """A row is not judged if more than this share of its tokens is unknown to the embedder: the embedded models know no
    Chinese."""
    floor: Cosine = 0.8
    """Least cosine of the pairs that are kept. The threshold can be lowered to this value without a new embedding or
    comparison."""
    threshold: Cosine = 0.95
    """Least cosine of both the prompts and the answers of two duplicates. 0.95 is right for MiniLM, 0.9 for the static
    model. (NeMo Curator: 0.99; Magpie: 0.95.)"""
    facts: bool = True
    """Keep rows apart that differ in the numbers or the negations of their prompts, in a system prompt or in a short
    answer: vectors are blind to these."""
    neighbours: PositiveInt = 64
    """A pair is kept if it is among this many most similar pairs of one of its rows. This bounds the cost of crowds."""
    exact_up_to: PositiveInt = 1_000_000
    """Most rows for which all pairs are compared; above it hnswlib proposes the pairs and may miss some."""

    @model_validator(mode="after")
    def _above_the_floor(self) -> Self:
        if self.threshold < self.floor:
            raise ValueError(f"threshold {self.threshold} is below the floor, {self.floor}: such pairs are not kept")
        return self


class Dedup(Section):
    """De-duplication."""

    source_priority: tuple[str, ...] = ()
    """Sources whose rows survive before all others, best first. Ties go to the higher score, then to the lower row
    id."""
    score: str | None = None
    """Name of a numeric annotation (for instance `reward`): the row with the higher value survives. Rows without it
    rank last."""
    answers_per_instruction: NonNegativeInt = 0
    """Most answers kept per instruction, the best by the rule above; 0 keeps all."""
    near: Near = Near()
    """Near-duplicates."""
    semantic: Semantic = Semantic()
    """Rows with the same meaning in other words."""


Side = Literal["system", "user", "assistant"]
Part = Literal["question", "answer"]
MatchRule = Literal["exact_prompt", "ngram", "overlap"]


class Decontamination(Section):
    """The definition of a benchmark item inside a row, and the consequences of a hit."""

    exact: bool = True
    """Count a turn that equals an item's question, ignoring case and punctuation, as a hit. (Llama 3, arXiv
    2407.21783: exact match.)"""
    exact_words: PositiveInt = 2
    """Fewest words of a question that this rule looks for: many users who write `continue` never saw an item. Two CJK
    characters count as a word. (Ours.)"""
    ngram: PositiveInt | None = 13
    """A turn that shares a run of this many tokens with an item is a hit; null switches the rule off. A token is a
    word, or one CJK character. (GPT-3, arXiv 2005.14165: 13.)"""
    min_words: NonNegativeInt = 4
    """Fewest shared tokens that are words of more than one letter (CJK characters count): grids of numbers are no
    evidence. An item with fewer words must share all of them, under the rule `overlap`. (Ours.)"""
    overlap: Share | None = 0.5
    """A turn whose runs of `overlap_ngram` tokens cover more than this share of an item's tokens is a hit; null
    switches the rule off. (Tulu 3, arXiv 2411.15124: 0.5.)"""
    overlap_ngram: PositiveInt = 8
    """Shortest run, in tokens, that counts for `overlap`. (Tulu 3: 8.)"""
    overlap_tokens: PositiveInt = 13
    """Fewest tokens that `overlap` must cover; a shorter item must be covered in full. Otherwise half of a short item,
    such as `Write a Python function to find the`, would be a hit on its own. (Ours; Tulu 3: as many as
    `overlap_ngram`.)"""
    remove: dict[MatchRule, dict[Part, tuple[Side, ...]]] = {
        "exact_prompt": {"question": ("system", "user")},
        "ngram": {"question": ("system", "user")},
        "overlap": {"question": ("system", "user", "assistant")},
    }
    """By rule and part of an item, the roles of turns whose hits remove the row. An assistant that repeats half of a
    question gives the question away; a single run of 13 tokens in its turn is mostly code that everyone writes. (Tulu
    3: user turns and questions.)"""
    report: dict[Part, tuple[Side, ...]] = {
        "question": ("system", "user", "assistant"),
        "answer": ("user", "assistant"),
    }
    """By part of an item, the roles of turns whose hits are listed in `matches`, even if they remove nothing."""
    flag_above: Share = 0.02
    """Share of a benchmark's items above which a source that hits them is flagged. (Tulu 3: 0.02.)"""
    remove_flagged: bool = False
    """Remove all rows of a flagged source."""
    paraphrases: PositiveInt = 5
    """Rows per item in the review list of paraphrases, which needs the embeddings of `dedup.semantic`."""
    paraphrase_floor: Cosine = 0.8
    """Least cosine of a row's prompt and an item's prompt on the list."""
    paraphrase_threshold: Cosine | None = None
    """A row at or above this cosine is dropped; null: the list is for review only. (Tulu 3 found that no value
    separates a paraphrase from the same topic; BAAI set 0.3 by hand.)"""

    @property
    def sides(self) -> dict[Part, frozenset[Side]]:
        """By part of an item, the roles of turns that are compared with it."""
        wanted = [self.report, *self.remove.values()]
        return {part: frozenset(side for sides in wanted for side in sides.get(part, ())) for part in get_args(Part)}

    @property
    def gate(self) -> str:
        """The settings that decide which rows are hits."""
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
    """The files for trainers."""

    denied_licences: tuple[str, ...] = ()
    """Rows under these licenses stay out of the released files, with the reason `licence_denied`."""


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="INFINITY_", env_nested_delimiter="__", use_attribute_docstrings=True, extra="forbid", frozen=True
    )

    shards: int = Field(default=4, ge=1, le=99)
    """Shards of the row space: 4 on a laptop, 64 and more for 100 M rows."""
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
    """A folder with your own prompts, which replace the shipped prompts of the same file name (`infinity prompts
    list`). Only calls whose prompt text changed are made again."""

    @property
    def semantic_embedder(self) -> EmbedderSpec:
        """The embedder of `dedup.semantic` in force."""
        return self.dedup.semantic.embedder or self.models.embedder

    def __init__(self, **values: Any) -> None:
        """Read the settings.

        Raises:
            InfinityError: A value is not valid, or a name is unknown.
        """
        unknown = [
            name
            for name in os.environ
            if name.startswith("INFINITY_") and name not in _FOLDERS and not _names_a_setting(name)
        ]
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
        """Put the environment before the file, and the file before the defaults."""
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


def _names_a_setting(variable: str) -> bool:
    return variable.removeprefix("INFINITY_").split("__")[0].lower() in Settings.model_fields


def _explain(fault: Any) -> str:
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"There is no setting `{name}`: `infinity settings` lists all"
    return f"Setting `{name}` cannot be {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}"


def settings_texts(*sections: BaseModel | str | int | float) -> list[str]:
    """Return the texts that are hashed for an asset: the JSON of a section, the `repr` of a single value."""
    return [section.model_dump_json() if isinstance(section, BaseModel) else repr(section) for section in sections]


def settings_hash(*sections: BaseModel | str | int | float) -> str:
    """Return a short hash of the sections that an asset reads: if it changes, the result may differ."""
    return hashlib.blake2b("\n".join(settings_texts(*sections)).encode(), digest_size=6).hexdigest()


def path_of(section: BaseModel | str | int | float, within: BaseModel, path: str = "") -> str:
    """Return the path of a section in the settings, such as `chat.seeds`; empty for the root and for other values."""
    for name in type(within).model_fields:
        value = getattr(within, name)
        if isinstance(value, BaseModel):
            inner = f"{path}.{name}" if path else name
            if value is section:
                return inner
            if match := path_of(section, value, inner):
                return match
    return ""
