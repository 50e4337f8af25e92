"""Labelled rewrites, a file for each rule, and how well a rule does on them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import yaml

from infinity_assets import prompts
from infinity_assets.scoring import language
from infinity_assets.selection.rules import Rule
from infinity_assets.settings.chat import Elimination, Evolution
from infinity_assets.synthesis.elimination import copies, rewrite_rules
from infinity_assets.synthesis.strategies.dispatch import prompts_of

CASES = Path(__file__).parent / "cases"
TEXT_RULES = (
    "template_debris", "corpus_debris", "leaked_prompt", "answer_instead_of_request", "no_request", "identical", "language_changed", "harmful",
    "lost_material", "missing_context", "repeats_itself", "nothing_added", "too_many_words", "prompt_example", "near_copy_of_another",
)  # fmt: skip
"""Reasons that are told from the texts alone, each with a set of its name."""
MODEL_RULES = {
    "no_gain": ("gain", ["same"], ["less", "more"]),
    "lost_subject": ("lost_subject", ["eliminated"], ["passes"]),
    "answers_the_seed": ("answers_the_seed", ["eliminated"], ["passes"]),
    "same_request": ("gain", ["same"], ["less", "more"]),
    "no_gain_by_judge": ("gain", ["same", "less"], ["more"]),
    "harmful": ("harmful", ["eliminated", "unseen_eliminated"], ["passes", "unseen_passes"]),
}
"""Reasons that a model's number decides: the set, which of its parts are to be eliminated, and which are to pass."""
DEFAULTS: Mapping[str, Any] = {
    "seed_kind": "conversation", "operation": "evolve_constraints", "finish_reason": "stop", "error": None, "seed_answer": None,
    "similarity": 0.8, "seed_answer_similarity": None, "same": 0.1, "gain": 0.9, "harm": 0.0,
}  # fmt: skip
"""What a case does not say: numbers by which no rule takes it."""
NUMBERS = ("similarity", "seed_answer_similarity", "same", "gain", "harm")


class Tally(NamedTuple):
    """How a rule does on its set."""

    cases: int
    hits: int
    misses: int
    alarms: int
    """Cases of its set that it takes and should not."""

    @property
    def precision(self) -> float:
        """Share of what it takes that it should take."""
        return self.hits / (self.hits + self.alarms) if self.hits + self.alarms else 0.0

    @property
    def recall(self) -> float:
        """Share of what it should take that it takes."""
        return self.hits / (self.hits + self.misses)


@cache
def cases(name: str) -> pl.DataFrame:
    """A set: row_id, part, language of the seed, messages of the rewrite, and all that the rules read."""
    parts = yaml.safe_load((CASES / f"{name}.yaml").read_text("utf-8"))
    lines = [
        {
            **DEFAULTS,
            "row_id": f"{name}:{part}:{number:02}",
            "part": part,
            "seed": seed,
            "text": text,
            **(further[0] if further else {}),
        }
        for part, listed in parts.items()
        for number, (seed, text, *further) in enumerate(listed)
    ]
    frame = pl.DataFrame(lines, schema={column: pl.Float64 if column in NUMBERS else pl.String for column in lines[0]})
    return frame.with_columns(
        pl.concat_list(pl.struct(role=pl.lit("user"), content=pl.col("text"))).alias("messages"),
        language.detect(pl.col("seed")).alias("language"),
    )


def tally(taken: pl.Series, wanted: pl.Series) -> Tally:
    """Of booleans, one per case."""
    return Tally(len(taken), int((taken & wanted).sum()), int((~taken & wanted).sum()), int((taken & ~wanted).sum()))


@cache
def wordings() -> list[prompts.Bilingual]:
    """The prompts of all operators."""
    return [prompts.both(name) for name in prompts_of(Evolution())]


@cache
def by_reason() -> dict[str, Rule]:
    """The rules under the default settings."""
    return {rule.reason: rule for rule in rewrite_rules.rules(Elimination(), wordings())}


def taken(reason: str, frame: pl.DataFrame) -> pl.Series:
    """Which cases a rule takes, by their texts, or by numbers where there are some."""
    if reason == "prompt_example":
        return frame["row_id"].is_in(rewrite_rules.copied_examples(frame, wordings())["row_id"].implode())
    if reason == "near_copy_of_another":
        return _copies(frame)
    return frame.select(by_reason()[reason].fails.fill_null(False).alias("taken")).to_series()


def _copies(frame: pl.DataFrame) -> pl.Series:
    """Of cases that are pairs, whether the second loses to the first: each pair is a shard of its own."""
    found = []
    for row in frame.iter_rows(named=True):
        pair = pl.DataFrame({"row_id": ["a", "b"], "content": [row["seed"], row["text"]]})
        made = pair.select("row_id", messages=pl.concat_list(pl.struct(role=pl.lit("user"), content="content")))
        found.append(copies.near_copies(made, Elimination()).height > 0)
    return pl.Series(found, dtype=pl.Boolean)


class Figures(NamedTuple):
    """Of a rule that needs no model."""

    all: Tally
    """On its set."""
    unseen: Tally | None
    """On the cases of its set that were written when the rules were finished, and on which nothing was mended; null where there are none."""
    alarms: int | None
    """Rewrites that should pass, of all sets, that it takes; null for pairs."""
    good: int
    """Rewrites that should pass, of all sets."""


def text_figures() -> dict[str, Figures]:
    """By rule."""
    sets = [
        *(name for name in TEXT_RULES if name != "near_copy_of_another"),
        "lost_subject",
        "answers_the_seed",
        "gain",
    ]
    good = pl.concat([cases(name).filter(pl.col("part").str.contains("passes|more")) for name in sets])
    told = {}
    for reason in TEXT_RULES:
        own = cases(reason).with_columns(taken(reason, cases(reason)).alias("taken"))
        found = [
            tally(some["taken"], some["part"].str.ends_with("eliminated")) if some.height else None
            for some in (own, own.filter(pl.col("part").str.starts_with("unseen")))
        ]
        alarms = None if reason == "near_copy_of_another" else int(taken(reason, good).sum())
        assert found[0] is not None
        told[reason] = Figures(found[0], found[1], alarms, good.height)
    return told


def text_table(figures: Mapping[str, Figures]) -> str:
    """The figures in Markdown, as docs/elimination.md has them."""
    lines = [
        "| reason | cases | precision | recall | unseen cases | their precision | their recall | of all good rewrites, taken |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for reason, (every, unseen, alarms, good) in figures.items():
        later = f"{unseen.cases} | {unseen.precision:.2f} | {unseen.recall:.2f}" if unseen else "- | - | -"
        told = "-" if alarms is None else f"{alarms} of {good}"
        lines.append(f"| `{reason}` | {every.cases} | {every.precision:.2f} | {every.recall:.2f} | {later} | {told} |")
    return "\n".join(lines)
