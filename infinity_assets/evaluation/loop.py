"""A turn of the weak domain loop: from a model's scores to the factors that relax each domain's selection.

The graph has no cycle: a turn is a run that continues from the budget of the run before. The paper describes the loop
(train, evaluate, compare, relax, until nothing is gained), but neither the size of a step nor when to stop; both are
our own settings and rules, see docs/loop.md.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from infinity_assets.evaluation.scores import EVALUATOR, REFERENCE, TESTED
from infinity_assets.settings.foundation import Loop

TURN = pl.Struct(
    {
        "turn": pl.Int64,
        "model": pl.String,
        "subject": pl.String,
        "score": pl.Float64,
        "stderr": pl.Float64,
        "reference": pl.Float64,
        "relaxed": pl.Boolean,
        "factor": pl.Float64,
        "why": pl.String,
    }
)
"""A turn of a domain: the means over its benchmarks, and the resulting factor of its share."""

STATE = pl.Schema(
    {
        "domain": pl.String,
        "factor": pl.Float64,
        "turn": pl.Int64,
        "why": pl.String,
        "scores": pl.String,
        "turns": pl.List(TURN),
    }
)
"""State of the loop, one line per domain. `scores` is the fingerprint of the scores of its last turn."""

PROXY = "proxy"
"""Common subject of all proxy models: gains are only counted between models of one subject."""


class Standing(NamedTuple):
    """Scores of a model and of the reference model on a domain."""

    score: float
    stderr: float
    reference: float
    model: str
    subject: str

    @property
    def gap(self) -> float:
        """Return the reference model's score minus the score of the model under test."""
        return self.reference - self.score


def fingerprint(scores: pl.DataFrame) -> str:
    """Return the fingerprint of the scores behind a budget; empty if there are none."""
    tested = scores.filter((pl.col("role") == TESTED) & pl.col("score").is_not_null()).select(
        "benchmark", "answered", "score"
    )
    if tested.is_empty():
        return ""
    return hashlib.blake2b(repr(tested.sort("benchmark").rows()).encode(), digest_size=8).hexdigest()


def compute_standings(scores: pl.DataFrame) -> dict[str, Standing]:
    """Average the scores by domain, over the benchmarks with a score of the model and the reference model.

    The standard error of a benchmark is at least one item's share: twenty wrong answers do not make the next one
    certain.
    """
    both = scores.filter(pl.col("role") == TESTED).join(
        scores.filter(pl.col("role") == REFERENCE).select("benchmark", reference="score"), on="benchmark"
    )
    by_domain = {}
    for (domain,), rows in both.drop_nulls(["domain", "score"]).group_by("domain"):
        items = rows["answered"].fill_null(0).clip(1).to_list()
        errors = [
            max(error or 0.0, 1 / count if count > 1 else 0.0)
            for error, count in zip(rows["stderr"], items, strict=True)
        ]
        first = rows.row(0, named=True)
        subject = first["model"] if first["origin"] == EVALUATOR else first["origin"]
        if first["model"].startswith(f"{PROXY} "):
            subject = PROXY
        by_domain[domain] = Standing(
            math.fsum(rows["score"]) / rows.height,
            math.sqrt(math.fsum(error**2 for error in errors)) / rows.height,
            math.fsum(rows["reference"]) / rows.height,
            first["model"],
            subject,
        )
    return by_domain


def advance(last: pl.DataFrame | None, scores: pl.DataFrame, shares: Mapping[Any, float], loop: Loop) -> pl.DataFrame:
    """Advance the loop by a turn if there are new scores, and return `STATE`, one line per domain, by name.

    Args:
        last: `STATE` of the last budget, or `None`.
        scores: `scores.SCORE`.
        shares: Share of every domain before the loop.
        loop: Settings of the loop.
    """
    before = {} if last is None else {row["domain"]: row for row in last.iter_rows(named=True)}
    made_from = fingerprint(scores)
    known = next((row["scores"] for row in before.values()), "")
    turn = max((row["turn"] for row in before.values()), default=0)
    step = made_from not in ("", known)
    current = compute_standings(scores) if step else {}
    lines = []
    for domain in sorted(shares):
        old = before.get(domain, {"turns": [], "factor": 1.0, "why": ""})
        most = bound(shares[domain], loop)
        factor = min(old["factor"], most)
        line = {**old, "domain": domain, "factor": factor, "turn": turn + step, "scores": made_from or known}
        if step:
            taken = _take_turn(turn + 1, current.get(domain), old["turns"], factor, most, loop)
            line |= {"turns": [*old["turns"], taken], "factor": taken["factor"], "why": taken["why"]}
        lines.append({name: line[name] for name in STATE})
    return pl.DataFrame(lines, schema=STATE)


def bound(share: float, loop: Loop) -> float:
    """Return the maximum factor of a share: the setting, or the factor that selects the whole domain."""
    return max(1.0, min(loop.bound, 1 / share)) if share else 1.0


def _take_turn(
    turn: int, standing: Standing | None, turns: Sequence[Mapping[str, Any]], factor: float, most: float, loop: Loop
) -> dict[str, Any]:
    if standing is None:
        nothing = dict.fromkeys(("model", "subject", "score", "stderr", "reference"))
        why = "no benchmark of it has both a score and a reference"
        return {"turn": turn, **nothing, "relaxed": False, "factor": factor, "why": why}
    relaxed = False
    alike = next((past for past in reversed(turns) if past["relaxed"] and past["subject"] == standing.subject), None)
    summary = f"scored {standing.score:.3f} ± {standing.stderr:.3f}, the reference {standing.reference:.3f}"
    if standing.gap <= standing.stderr:
        why = f"{summary}: the gap is closed"
    elif alike and standing.score - alike["score"] <= math.hypot(standing.stderr, alike["stderr"]):
        why = f"{summary}: no gain since turn {alike['turn']} ({alike['score']:.3f})"
    elif factor >= most:
        why = f"{summary}: its share is at its bound"
    elif not loop.step:
        why = f"{summary}: the step is 0"
    else:
        relaxed, factor = True, min(most, factor * (1 + loop.step * standing.gap / standing.reference))
        why = f"{summary}: relaxed"
    return {"turn": turn, **standing._asdict(), "relaxed": relaxed, "factor": factor, "why": why}
