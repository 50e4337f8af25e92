"""A turn of the weak-domain loop: from a model's scores to what each domain's selection is relaxed by.

The graph has no cycle: a turn is a run, which goes on from the budget of the run before. The paper says what the loop does (train, evaluate, compare,
relax, until nothing is gained) and neither by how much nor when it ends; both are settings and rules of ours, given in docs/loop.md.
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
"""What a turn found of a domain and did: the means of its benchmarks, and the factor of its share from then on."""

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
"""Where the loop stands, a line per domain. `scores` says which scores it was made from."""

PROXY = "proxy"
"""What the models of all proxies are called when gains are counted: a gain is one over another model of the same making."""


class Standing(NamedTuple):
    """A domain's scores, beside the reference's."""

    score: float
    stderr: float
    reference: float
    model: str
    subject: str

    @property
    def gap(self) -> float:
        """How far the model lags behind."""
        return self.reference - self.score


def fingerprint(scores: pl.DataFrame) -> str:
    """Which scores a budget was made from; empty for none."""
    tested = scores.filter((pl.col("role") == TESTED) & pl.col("score").is_not_null()).select(
        "benchmark", "answered", "score"
    )
    if tested.is_empty():
        return ""
    return hashlib.blake2b(repr(tested.sort("benchmark").rows()).encode(), digest_size=8).hexdigest()


def standings(scores: pl.DataFrame) -> dict[str, Standing]:
    """By domain, the mean over its benchmarks of which both the model and the reference have a score.

    The standard error is that of the mean, and never less than one item's worth: twenty wrong answers do not make the twenty-first certain.
    """
    both = scores.filter(pl.col("role") == TESTED).join(
        scores.filter(pl.col("role") == REFERENCE).select("benchmark", reference="score"), on="benchmark"
    )
    found = {}
    for (domain,), rows in both.drop_nulls(["domain", "score"]).group_by("domain"):
        items = rows["answered"].fill_null(0).clip(1).to_list()
        errors = [
            max(error or 0.0, 1 / count if count > 1 else 0.0)
            for error, count in zip(rows["stderr"], items, strict=True)
        ]
        first = rows.row(0, named=True)
        subject = (
            PROXY
            if first["model"].startswith(f"{PROXY} ")
            else first["model"]
            if first["origin"] == EVALUATOR
            else first["origin"]
        )
        found[domain] = Standing(
            math.fsum(rows["score"]) / rows.height,
            math.sqrt(math.fsum(error**2 for error in errors)) / rows.height,
            math.fsum(rows["reference"]) / rows.height,
            first["model"],
            subject,
        )
    return found


def advance(last: pl.DataFrame | None, scores: pl.DataFrame, shares: Mapping[Any, float], loop: Loop) -> pl.DataFrame:
    """The state after these scores: the last one, where they are those that it was made from, or there are none; else a turn further.

    Args:
        last: `STATE` of the last budget; null for none.
        scores: `scores.SCORE`.
        shares: The share of every domain before the loop.
        loop: The settings.

    Returns:
        `STATE`, a line per domain, by name.
    """
    before = {} if last is None else {row["domain"]: row for row in last.iter_rows(named=True)}
    made_from, known = fingerprint(scores), next((row["scores"] for row in before.values()), "")
    turn, step = max((row["turn"] for row in before.values()), default=0), made_from not in ("", known)
    found = standings(scores) if step else {}
    lines = []
    for domain in sorted(shares):
        old = before.get(domain, {"turns": [], "factor": 1.0, "why": ""})
        most = bound(shares[domain], loop)
        line = {
            **old,
            "domain": domain,
            "factor": min(old["factor"], most),
            "turn": turn + step,
            "scores": made_from or known,
        }
        if step:
            line["turns"] = [
                *old["turns"],
                _turn(turn + 1, found.get(domain), old["turns"], line["factor"], most, loop),
            ]
            line["factor"], line["why"] = line["turns"][-1]["factor"], line["turns"][-1]["why"]
        lines.append({name: line[name] for name in STATE})
    return pl.DataFrame(lines, schema=STATE)


def bound(share: float, loop: Loop) -> float:
    """The most that a share can be multiplied by: the setting, or what makes it the whole domain."""
    return max(1.0, min(loop.bound, 1 / share)) if share else 1.0


def _turn(
    turn: int, now: Standing | None, turns: Sequence[Mapping[str, Any]], factor: float, most: float, loop: Loop
) -> dict[str, Any]:
    if now is None:
        nothing = dict.fromkeys(("model", "subject", "score", "stderr", "reference"))
        return {
            "turn": turn,
            **nothing,
            "relaxed": False,
            "factor": factor,
            "why": "no benchmark of it has both a score and a reference",
        }
    relaxed = False
    alike = next((past for past in reversed(turns) if past["relaxed"] and past["subject"] == now.subject), None)
    said = f"scored {now.score:.3f} ± {now.stderr:.3f}, the reference {now.reference:.3f}"
    if now.gap <= now.stderr:
        why = f"{said}: the gap is closed"
    elif alike and now.score - alike["score"] <= math.hypot(now.stderr, alike["stderr"]):
        why = f"{said}: no gain since turn {alike['turn']} ({alike['score']:.3f})"
    elif factor >= most:
        why = f"{said}: its share is at its bound"
    elif not loop.step:
        why = f"{said}: the step is 0"
    else:
        relaxed, factor = True, min(most, factor * (1 + loop.step * now.gap / now.reference))
        why = f"{said}: relaxed"
    return {
        "turn": turn, "model": now.model, "subject": now.subject, "score": now.score, "stderr": now.stderr, "reference": now.reference,
        "relaxed": relaxed, "factor": factor, "why": why,
    }  # fmt: skip
