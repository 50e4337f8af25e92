"""The weak domain loop: each turn derives a factor per domain, by which its share may grow, from a model's scores.

The graph has no cycle, so a turn is one run, which continues from the budget of the previous run. The paper describes
the loop (train, evaluate, compare, and relax until there is no gain), but neither the size of a step nor when to stop.
Both are our own rules, which docs/loop.md explains.
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
        "turn": pl.Int64, "model": pl.String, "subject": pl.String, "score": pl.Float64, "stderr": pl.Float64,
        "reference": pl.Float64, "relaxed": pl.Boolean, "factor": pl.Float64, "why": pl.String,
    }
)  # fmt: skip
"""The outcome of one turn for one domain: mean scores over its benchmarks, and the new factor of its share."""

STATE = pl.Schema(
    {
        "domain": pl.String, "factor": pl.Float64, "turn": pl.Int64, "why": pl.String,
        "scores": pl.String, "turns": pl.List(TURN),
    }
)  # fmt: skip
"""State of the loop, one line per domain. `scores` is the fingerprint of the scores that the last turn used."""

PROXY = "proxy"
"""Subject of all proxy models. A gain is only measured between models with the same subject."""


class Standing(NamedTuple):
    """Mean scores of the model under test and of the reference model over the benchmarks of a domain."""

    score: float
    stderr: float
    reference: float
    model: str
    subject: str

    @property
    def gap(self) -> float:
        """The reference model's score minus the score of the model under test."""
        return self.reference - self.score


def fingerprint(scores: pl.DataFrame) -> str:
    """Return a hash of the scores of the model under test; an empty text if it has no scores."""
    tested = scores.filter((pl.col("role") == TESTED) & pl.col("score").is_not_null()).select(
        "benchmark", "answered", "score"
    )
    if tested.is_empty():
        return ""
    return hashlib.blake2b(repr(tested.sort("benchmark").rows()).encode(), digest_size=8).hexdigest()


def compute_standings(scores: pl.DataFrame) -> dict[str, Standing]:
    """Average the scores by domain, over benchmarks on which the model under test and the reference model have scores.

    The standard error of a benchmark with n > 1 answers is at least 1/n: twenty wrong answers do not prove that the
    next one is wrong.
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
    """Advance the loop by a turn if there are new scores, and return its state (`STATE`), sorted by domain.

    Args:
        last: State (`STATE`) in the last budget, or `None`.
        scores: Scores of schema `scores.SCORE`.
        shares: Share of each domain that is selected without the loop.
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
    """Return the maximum factor of a domain's share: the setting `bound`, or less if less selects the whole domain."""
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
