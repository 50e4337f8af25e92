"""Labelled rewrites, one file per rule, and the precision and recall of the rules on them."""

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
from infinity_assets.synthesis.dispatch import list_prompts
from infinity_assets.synthesis.elimination import copies, rewrite_rules

CASES = Path(__file__).parent / "cases"
TEXT_RULES = (
    "template_debris", "corpus_debris", "leaked_prompt", "answer_instead_of_request", "no_request", "identical",
    "language_changed", "harmful",
    "lost_material", "missing_context", "repeats_itself", "nothing_added", "too_many_words", "prompt_example",
    "near_copy_of_another",
)  # fmt: skip
"""Reasons that depend on the texts alone, each with a set of its name."""
MODEL_RULES = {
    "no_gain": ("gain", ["same"], ["less", "more"]),
    "lost_subject": ("lost_subject", ["eliminated"], ["passes"]),
    "answers_the_seed": ("answers_the_seed", ["eliminated"], ["passes"]),
    "same_request": ("gain", ["same"], ["less", "more"]),
    "no_gain_by_judge": ("gain", ["same", "less"], ["more"]),
    "harmful": ("harmful", ["eliminated", "unseen_eliminated"], ["passes", "unseen_passes"]),
}
"""Reasons that depend on a model's number: the set, its parts to eliminate, and its parts to pass."""
DEFAULTS: Mapping[str, Any] = {
    "seed_kind": "conversation", "operation": "evolve_constraints", "finish_reason": "stop", "error": None,
    "seed_answer": None,
    "similarity": 0.8, "seed_answer_similarity": None, "same": 0.1, "gain": 0.9, "harm": 0.0,
}  # fmt: skip
"""Default values of a case, which no rule rejects."""
NUMBERS = ("similarity", "seed_answer_similarity", "same", "gain", "harm")


class Tally(NamedTuple):
    """Results of a rule on its set."""

    cases: int
    hits: int
    misses: int
    alarms: int
    """Cases of the set that the rule wrongly rejects."""

    @property
    def precision(self) -> float:
        """Return the share of rejected cases that should be rejected."""
        return self.hits / (self.hits + self.alarms) if self.hits + self.alarms else 0.0

    @property
    def recall(self) -> float:
        """Return the share of cases to reject that are rejected."""
        return self.hits / (self.hits + self.misses)


@cache
def cases(name: str) -> pl.DataFrame:
    """Return a set: row_id, part, language of the seed, messages of the rewrite, and the columns of the rules."""
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
    """Count the results from booleans, one per case."""
    return Tally(len(taken), int((taken & wanted).sum()), int((~taken & wanted).sum()), int((taken & ~wanted).sum()))


@cache
def wordings() -> list[prompts.Bilingual]:
    """Return the prompts of all operators."""
    return [prompts.load_bilingual(name) for name in list_prompts(Evolution())]


@cache
def rules_by_reason() -> dict[str, Rule]:
    """Return the rules of the default settings by reason."""
    return {rule.reason: rule for rule in rewrite_rules.rules(Elimination(), wordings())}


def mark_rejected(reason: str, frame: pl.DataFrame) -> pl.Series:
    """Return one boolean per case: whether a rule rejects it."""
    if reason == "prompt_example":
        return frame["row_id"].is_in(rewrite_rules.find_copied_examples(frame, wordings())["row_id"].implode())
    if reason == "near_copy_of_another":
        return _mark_copies(frame)
    return frame.select(rules_by_reason()[reason].fails.fill_null(False).alias("taken")).to_series()


def _mark_copies(frame: pl.DataFrame) -> pl.Series:
    """Return one boolean per pair of texts: whether one is a near copy of the other. Each pair is a separate shard."""
    lost = []
    for row in frame.iter_rows(named=True):
        pair = pl.DataFrame({"row_id": ["a", "b"], "content": [row["seed"], row["text"]]})
        made = pair.select("row_id", messages=pl.concat_list(pl.struct(role=pl.lit("user"), content="content")))
        lost.append(copies.find_near_copies(made, Elimination()).height > 0)
    return pl.Series(lost, dtype=pl.Boolean)


class Figures(NamedTuple):
    """Figures of a rule that needs no model."""

    all: Tally
    """Results on the set of the rule."""
    unseen: Tally | None
    """Results on cases written after the rules, which led to no change of them; `None` if there are no such cases."""
    alarms: int | None
    """Wrongly rejected rewrites among the good rewrites of all sets; `None` for pairs."""
    good: int
    """Number of good rewrites of all sets."""


def text_figures() -> dict[str, Figures]:
    """Compute the figures by rule."""
    sets = [
        *(name for name in TEXT_RULES if name != "near_copy_of_another"),
        "lost_subject",
        "answers_the_seed",
        "gain",
    ]
    good = pl.concat([cases(name).filter(pl.col("part").str.contains("passes|more")) for name in sets])
    figures = {}
    for reason in TEXT_RULES:
        own = cases(reason).with_columns(mark_rejected(reason, cases(reason)).alias("taken"))
        tallies = [
            tally(part["taken"], part["part"].str.ends_with("eliminated")) if part.height else None
            for part in (own, own.filter(pl.col("part").str.starts_with("unseen")))
        ]
        alarms = None if reason == "near_copy_of_another" else int(mark_rejected(reason, good).sum())
        assert tallies[0] is not None
        figures[reason] = Figures(tallies[0], tallies[1], alarms, good.height)
    return figures


def text_table(figures: Mapping[str, Figures]) -> str:
    """Format the figures as the Markdown table of docs/elimination.md."""
    lines = [
        "| reason | cases | precision | recall | unseen cases | their precision | their recall | of all good rewrites, taken |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for reason, (every, unseen, alarms, good) in figures.items():
        later = f"{unseen.cases} | {unseen.precision:.2f} | {unseen.recall:.2f}" if unseen else "- | - | -"
        rejected = "-" if alarms is None else f"{alarms} of {good}"
        lines.append(
            f"| `{reason}` | {every.cases} | {every.precision:.2f} | {every.recall:.2f} | {later} | {rejected} |"
        )
    return "\n".join(lines)
