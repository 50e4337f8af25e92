"""Every number of the recipe, in one place, with its source.

Read in this order, later wins: the defaults below, `infinity.yaml` in the working directory (or the file that INFINITY_SETTINGS names), and
environment variables such as INFINITY_CHAT__SEEDS__MAX_SEEDS=200 (two underscores go one level down). Defaults fit a laptop and a pool of up to some
100,000 rows; where the paper (arXiv 2506.11116) used another value on its 116 M rows, the field says so.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)
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
    """How pairs are written from raw texts (Instruction Pre-Training, arXiv 2406.14491)."""

    max_texts: NonNegativeInt = 0
    """At most this many texts of a source are taken, drawn by row id. Off unless asked for: what the embedded model writes is no data.
    (Paper: 200 M texts.)"""
    rounds: PositiveInt = 2
    """M: the texts are split into so many groups, and each round is shown what the rounds before it made of theirs. (Its code: 2 in the example.)"""
    max_new_tokens: PositiveInt = 400
    """Longest continuation, in tokens. (Its code: 400.)"""
    min_words: NonNegativeInt = 30
    """Texts of fewer words (CJK characters count) are not taken: a line has nothing to ask about. (Ours.)"""
    max_context_tokens: PositiveInt = 400
    """A text is cut to this many tokens, at the end of a sentence: so much that our examples and an earlier round stand before it in a window
    of 2,048. (Ours; its code cuts nothing, in a window of 4,096.)"""
    exemplars: bool = True
    """Three examples of our own before every prompt, in the text's language where there are some, for a model that was not tuned for the grammar.
    (Its code: none.)"""
    bos: str | None = None
    """Begin of text, as the synthesizer spells it. Null: asked of its tokenizer; `<s>` on a server."""
    eos: str | None = None
    """End of text. Null: asked of its tokenizer; `</s>` on a server."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Ingest(Section):
    """Reading the sources."""

    workers: int = Field(default_factory=lambda: min(_cores(), 16), ge=1)
    """Processes that parse files, and threads that sign and compare rows: one for each core, up to 16. A process takes some 300 MB. The rows do not
    depend on it."""
    warn_dropped: Share = 0.05
    """Sources of which more than this share of the records was dropped are named at the end of a run and by the check `understood`."""


class Near(Section):
    """Near-duplicates: MinHash with LSH, every candidate checked by its true Jaccard similarity."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Rows at least this similar are duplicates: Jaccard similarity of their shingles. Another threshold needs no text, as long as the bands find
    its rows. (Infinity-Instruct's users: 0.6 and 0.9; text-dedup, data-juicer: 0.7.)"""
    answers: Literal["alike", "any"] = "alike"
    """`alike`: the answers of two rows have to be as similar as the rows are; numbers and symbols of their prompts have to be equal, and so have
    prompts that are too short for a shingle; rows whose answer is too short for one are compared by exact hash alone. Two questions about one
    passage, or one task with two inputs, are no duplicates. `any`: the conversation as a whole decides, as in the field's other tools; on a
    pool of templates it takes half of the rows."""
    shingle: PositiveInt = 5
    """Tokens in a shingle. A token is a word, or one CJK character. (text-dedup, datatrove, data-juicer: 5 words.)"""
    bands: Annotated[int, Field(ge=1, le=256)] = 25
    """Bands of the signature: rows that share one are compared."""
    rows_per_band: Annotated[int, Field(ge=1, le=32)] = 5
    """MinHash values in a band. With 25 bands of 5, rows of similarity 0.7 share a band with probability 0.99, of 0.5 with 0.55, of 0.3 with 0.06.
    (datatrove: 14 bands of 8, 0.56 at 0.7.)"""

    @property
    def signing(self) -> str:
        """What of the rule decides the signatures: all but the threshold."""
        return self.model_dump_json(exclude={"threshold"})


class Semantic(Section):
    """Rows that say the same in other words: pairs whose embeddings are close (SemDeDup, arXiv 2303.09540). How the numbers were found stands
    in docs/deduplication.md.
    """

    enabled: bool = False
    """Off unless asked for: half a million rows take MiniLM hours on two CPU cores, and a static model minutes."""
    embedder: EmbedderSpec | None = None
    """Gives the vectors; null for `models.embedder`."""
    max_unknown: Share = 0.1
    """A row is not judged if more than this share of its tokens is unknown to the embedder: the embedded ones
    know no Chinese."""
    floor: Cosine = 0.8
    """Pairs with at least this cosine are kept: the threshold may go down to here and nothing is embedded or compared again."""
    threshold: Cosine = 0.95
    """Two rows are duplicates if both their prompts and their answers have at least this cosine. Right for MiniLM; 0.9 for the
    static model. (NeMo Curator: 0.99; Magpie: 0.95.)"""
    facts: bool = True
    """Rows that differ in the numbers or the negations of their prompts, in a system prompt or in a short answer are no duplicates: vectors
    are blind to these."""
    neighbours: PositiveInt = 64
    """A pair is kept if it is among so many most similar of one of its rows: a bound on what a crowd costs."""
    exact_up_to: PositiveInt = 1_000_000
    """Up to so many rows all pairs are compared; above it hnswlib proposes them and may miss some."""

    @model_validator(mode="after")
    def _above_the_floor(self) -> Self:
        if self.threshold < self.floor:
            raise ValueError(f"threshold {self.threshold} lies below the floor, {self.floor}: pairs there are not kept")
        return self


class Dedup(Section):
    """De-duplication."""

    source_priority: tuple[str, ...] = ()
    """Sources whose rows survive before all others, best first. Then the higher score, then the lower row id."""
    score: str | None = None
    """An annotation with a number (`reward`, for instance): the row with the higher one survives. Rows without it come after all that have it."""
    answers_per_instruction: NonNegativeInt = 0
    """At most this many answers to the same instruction are kept, the best by the rule above; 0 keeps all."""
    near: Near = Near()
    """Near-duplicates."""
    semantic: Semantic = Semantic()
    """Rows that say the same in other words."""


Side = Literal["system", "user", "assistant"]
Part = Literal["question", "answer"]
MatchRule = Literal["exact_prompt", "ngram", "overlap"]


class Decontamination(Section):
    """What counts as a benchmark item inside a row, and what follows."""

    exact: bool = True
    """A turn that is an item's question, case and punctuation aside, is a hit. (Llama 3, arXiv 2407.21783: exact match.)"""
    exact_words: PositiveInt = 2
    """Shorter questions are not looked for in that way: many who write `continue` never saw an item. Two CJK characters count as a word. (Ours.)"""
    ngram: PositiveInt | None = 13
    """A turn that shares a run of this many tokens with an item is a hit; null for no such rule. A token is a word, or one CJK character.
    (GPT-3, arXiv 2005.14165: 13.)"""
    min_words: NonNegativeInt = 4
    """Of what is shared at least this many tokens are words of more than one letter (CJK characters count): grids of numbers are no evidence.
    An item that has fewer must share all it has, under the rule `overlap`. (Ours.)"""
    overlap: Share | None = 0.5
    """A turn whose runs of `overlap_ngram` tokens cover more than this share of an item's tokens is a hit; null for no such rule.
    (Tulu 3, arXiv 2411.15124: 0.5.)"""
    overlap_ngram: PositiveInt = 8
    """See there. (Tulu 3: 8.)"""
    overlap_tokens: PositiveInt = 13
    """So many tokens must be covered, or all that the item has: else half of a short item, such as `Write a Python function to find the`, is
    a hit on its own. (Ours; Tulu 3: as many as `overlap_ngram`.)"""
    remove: dict[MatchRule, dict[Part, tuple[Side, ...]]] = Field(
        default_factory=lambda: {
            "exact_prompt": {"question": ("system", "user")},
            "ngram": {"question": ("system", "user")},
            "overlap": {"question": ("system", "user", "assistant")},
        }
    )
    """A row is removed if a turn of these roles is a hit on that part of an item by that rule. An assistant that repeats half of a question gives
    the question away; what it shares by one run of 13 tokens is mostly code that everyone writes. (Tulu 3: user turns and questions.)"""
    report: dict[Part, tuple[Side, ...]] = Field(
        default_factory=lambda: {"question": ("system", "user", "assistant"), "answer": ("user", "assistant")}
    )
    """Hits between these are listed in `matches`, whatever follows from them."""
    flag_above: Share = 0.02
    """A source that hits more than this share of a benchmark's items is flagged. (Tulu 3: 0.02.)"""
    remove_flagged: bool = False
    """Whether all rows of a flagged source are removed."""
    paraphrases: PositiveInt = 5
    """Rows shown per item in the review list of paraphrases; they need the embeddings of `dedup.semantic`."""
    paraphrase_floor: Cosine = 0.8
    """Least cosine of a row's prompt and an item's that puts the row on the list."""
    paraphrase_threshold: Cosine | None = None
    """A row at or above this cosine is dropped; null: the list is for review only. (Tulu 3 found that no value tells a paraphrase from the
    same topic; BAAI set 0.3 by hand.)"""

    @property
    def sides(self) -> dict[Part, frozenset[Side]]:
        """By part of an item, the roles of turns that are compared with it."""
        wanted = [self.report, *self.remove.values()]
        return {part: frozenset(side for sides in wanted for side in sides.get(part, ())) for part in get_args(Part)}

    @property
    def gate(self) -> str:
        """What of it decides which rows are hits."""
        return self.model_dump_json(
            exclude={"flag_above", "remove_flagged", "paraphrases", "paraphrase_floor", "paraphrase_threshold"}
        )

    @model_validator(mode="after")
    def _above_the_floor(self) -> Self:
        if self.paraphrase_threshold is not None and self.paraphrase_threshold < self.paraphrase_floor:
            raise ValueError(
                f"paraphrase_threshold {self.paraphrase_threshold} lies below paraphrase_floor, {self.paraphrase_floor}"
            )
        return self


class Release(Section):
    """What is written for trainers."""

    denied_licences: tuple[str, ...] = ()
    """Rows under these licences stay out of the released files, with the reason `licence_denied`."""


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="INFINITY_",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
        extra="forbid",
        frozen=True,
    )

    shards: int = Field(default=4, ge=1, le=99)
    """Shards of the row space: 4 on a laptop. (64 and more for 100 M rows.)"""
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
    """A folder with prompts of your own, which take the place of those of the same file name (`infinity prompts list`). Only calls made with
    another text are made again."""

    @property
    def semantic_embedder(self) -> EmbedderSpec:
        """The embedder of `dedup.semantic` in force."""
        return self.dedup.semantic.embedder or self.models.embedder

    def __init__(self, **values: Any) -> None:
        """Read them.

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
            raise InfinityError("; ".join(_explained(fault) for fault in error.errors()) + ".") from error
        except (ValueError, yaml.YAMLError) as error:
            raise InfinityError(
                f"The settings cannot be read: {' '.join(str(error.__cause__ or error).split())}."
            ) from error
        if self.prompts_dir is not None:
            prompts.check(self.prompts_dir)
        if self.decontamination.paraphrase_threshold is not None and not self.dedup.semantic.enabled:
            raise InfinityError(
                "Setting `decontamination.paraphrase_threshold` needs `dedup.semantic.enabled`: it goes by embeddings."
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
        """Environment over file over defaults."""
        file = Path(os.environ.get("INFINITY_SETTINGS", "infinity.yaml"))
        if "INFINITY_SETTINGS" in os.environ and not file.is_file():
            raise InfinityError(f"INFINITY_SETTINGS names {file}, which is no file.")
        if isinstance(env_settings, EnvSettingsSource):
            # INFINITY_MODELS is a folder (`models_dir`), not the section of that name.
            env_settings.env_vars = {
                name: value for name, value in env_settings.env_vars.items() if name != "infinity_models"
            }
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file)


_FOLDERS = ("INFINITY_DATA", "INFINITY_MODELS", "INFINITY_SETTINGS")
"""Variables that say where things are."""


def _names_a_setting(variable: str) -> bool:
    return variable.removeprefix("INFINITY_").split("__")[0].lower() in Settings.model_fields


def _explained(fault: Any) -> str:
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"There is no setting `{name}`: `infinity settings` lists all"
    return f"Setting `{name}` cannot be {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}"


def settings_texts(*sections: BaseModel | str | int | float) -> list[str]:
    """The sections that an asset reads, as they are hashed: JSON of a section, `repr` of a single value."""
    return [section.model_dump_json() if isinstance(section, BaseModel) else repr(section) for section in sections]


def settings_hash(*sections: BaseModel | str | int | float) -> str:
    """A short hash of the sections that an asset reads: another hash means that its result may differ."""
    return hashlib.blake2b("\n".join(settings_texts(*sections)).encode(), digest_size=6).hexdigest()


def path_of(section: BaseModel | str | int | float, within: BaseModel, path: str = "") -> str:
    """Where a section stands in the settings, such as `chat.seeds`; empty for all of them, and for what is no section of them."""
    for name in type(within).model_fields:
        value = getattr(within, name)
        if isinstance(value, BaseModel):
            here = f"{path}.{name}" if path else name
            if value is section:
                return here
            if found := path_of(section, value, here):
                return found
    return ""
