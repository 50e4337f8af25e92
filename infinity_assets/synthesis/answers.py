"""Rules that find degenerate answers, and the choice of the best of several answers. See docs/answers.md.

A training set written by a teacher tolerates wrong answers, but not degenerate ones, so the rules look at
form, completeness and language. Tests (`execution`) and scores decide if an answer is right.
"""

import re
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.rows.text import FUNCTION_WORDS, normalize_text, tokens
from infinity_assets.scoring import language
from infinity_assets.selection.rules import Rule, artefacts, first_failure, form, identity, languages, refusals
from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("answers.yaml"))

_SHORT = 80
"""Words from which an answer that declines or asks still helps. (Evol-Instruct, arXiv 2304.12244: "sorry", < 80.)"""
_MIN_DISTINCT = 0.25
"""An answer with a lower share of distinct lines or sentences is a loop. Human prose lies above 0.9."""
_MAX_LINES, _MAX_RUNS = 0.75, 0.6
"""Shares of repeated lines and runs of ten words above which an answer is a loop, as in `foundation.rules`."""
_TIMES, _TAIL = 4, 40
"""Repetitions and total characters from which one piece repeated at the end of an answer is a loop."""
_TIMES_INSIDE, _INSIDE = 6, 60
"""Repetitions and total characters from which one piece repeated anywhere in an answer is a loop."""
_LONGEST_PIECE = 300
"""Maximum characters of a repeated piece."""
_SAMPLE, _STRIDE = 8, 10
"""Characters of a sample that is searched for again, and the distance between two samples."""
_LATIN_PROSE = 120
"""Minimum characters of an answer for which two languages of one script are distinguished."""

_ECHO, _PART = 0.95, 0.7
"""Shares from which an answer repeats its request: of its words in the request, of the request's words in it."""
_FEW_WORDS, _FEW = 8, 4

REASONS = (
    "no_answer",
    "no_words",
    "truncated",
    "template_debris",
    "loop",
    "repeats_the_request",
    "wrong_language",
    "shirking",
    "identity_leak",
    "asks_back",
    "imagined_context",
    "unfinished",
    "fails_its_tests",
)
"""Classes of degenerate answers, in the order of their rules. The last one is a verdict of `execution`."""


def find_degenerate(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the degenerate answers, each with its first class.

    Args:
        answers: One line per answer: row_id, text, request, finish_reason, error. Optional columns: `said`, the failure
            of its program (null if it passed or was not run), and `before`, the text of the whole conversation before
            the answer (null if that is the request alone).

    Returns:
        One line per degenerate answer: row_id, reason (one of `REASONS`), detail, as from
        `selection.rules.first_failure`.
    """
    return first_failure(_measure(answers), _rules())


def _measure(answers: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that the rules read."""
    if "said" not in answers.columns:
        answers = answers.with_columns(said=pl.lit(None, pl.String))
    if "before" not in answers.columns:
        answers = answers.with_columns(before=pl.lit(None, pl.String))
    text = pl.col("text").fill_null("")
    request = pl.col("request").fill_null("")
    words, runs = form.repeated_runs(answers["text"].fill_null(""))
    frame = answers.with_columns(
        text=text,
        request=request,
        before=pl.coalesce("before", request),
        words=pl.Series(words, dtype=pl.Int64),
        runs=pl.Series(runs, dtype=pl.Float64, nan_to_null=True),
        stammer=pl.Series([_stammer(answer or "") for answer in answers["text"]], dtype=pl.String),
    )
    frame = frame.with_columns(
        identity=identity.identity(frame.select(prompt="request", said="text")),
        answer_language=language.detect(text),
        request_language=language.detect(request),
    )
    other = languages.grade_other_language(
        frame.select(
            "answer_language",
            prompt="request",
            answer="text",
            prompt_language="request_language",
            is_translation=languages.asks_for_another(request),
            code_language=pl.when(text.str.contains("```")).then(pl.lit("code")),
        )
    )
    return frame.with_columns(other_language=other)


def _rules() -> list[Rule]:
    text = pl.col("text")
    request = pl.col("request")
    words = pl.col("words")
    sentences = text.str.extract_all(r"[^.!?。！？\n]{4,}").list.eval(pl.element().str.strip_chars())
    distinct = sentences.list.n_unique() / sentences.list.len()
    short = words < _SHORT
    repeat_wanted = _PATTERNS.contains(request, "repeat_wanted")
    answer_words = tokens(text)
    request_words = tokens(request)
    shared = answer_words.list.set_intersection(request_words).list.len()
    echo = (
        (shared >= _ECHO * answer_words.list.n_unique())
        & (shared >= _PART * request_words.list.n_unique())
        & (request_words.list.len() >= _FEW)
    )
    echo &= ~request.str.contains("\n")  # material, which the answer may repeat
    same = (request_words.list.len() >= _FEW) & (_letters(text) == _letters(request))
    declines = text.str.extract(f"({refusals.OPENING}|{refusals.SENTENCE}|{_PATTERNS['no_attempt']})", 1)
    asks = _PATTERNS.extract(text.str.slice(0, 300), "asks")
    is_a_model = _PATTERNS.extract(text, "is_a_model")
    model_acts = _PATTERNS.extract(text, "model_acts")
    leans = _PATTERNS.extract(text.str.slice(0, 300), "leans_on_text")
    agrees = _PATTERNS.contains(text, "agrees") & text.str.contains(r"[?？]\W*$")
    latin = (
        (text.str.len_chars() >= _LATIN_PROSE)
        & language.differs(pl.col("answer_language"), pl.col("request_language"))
        & ~language.scripts_differ(pl.col("answer_language"), pl.col("request_language"))
        & ~languages.asks_for_another(request)
        & (request.str.len_chars() >= _LATIN_PROSE // 4)
        & ~_PATTERNS.contains(text, "code")
    )
    marks = f"({artefacts.MARKS}|{artefacts.EXCHANGE}|{artefacts.TOOLS}|{artefacts.PLACEHOLDER})"
    debris = (artefacts.grade_debris(request, text) == artefacts.DEBRIS) | text.str.contains(
        f"{artefacts.TOOLS}|{artefacts.PLACEHOLDER}"
    )
    bare = tokens(text.str.replace_all(_PATTERNS["list_mark"], ""))
    stop = bare.list.set_difference(pl.lit(pl.Series([FUNCTION_WORDS.split()]))).list.len() == 0
    empty_words = (
        stop
        & (words < _FEW_WORDS)
        & ~_PATTERNS.contains(text, "signs_that_answer")
        & ~_PATTERNS.contains(request, "sign_wanted")
    )
    prose = 3 * text.str.count_matches(r"\p{L}") >= text.str.len_chars()
    cjk = ["zh", "ja", "ko"]
    neighbour = (
        language.differs(pl.col("answer_language"), pl.col("request_language"))
        & pl.col("answer_language").is_in(cjk)
        & pl.col("request_language").is_in(cjk)
        & ~languages.asks_for_another(request)
        & ~request.str.contains(r"[\p{Hiragana}\p{Katakana}\p{Hangul}]|[日韩]")
    )
    enough = text.str.contains(r"[\p{L}&&[^\p{Latin}]]{2}|\p{Latin}{3}")
    last_line = r"\n\s*(?:\d{1,2}[.)、．]|[-*•])\s*$"
    ends_in_code = _PATTERNS.contains(text, "code_line") & (text.str.count_matches("```") % 2 == 0)
    announces = text.str.contains(r"[:：]\s*$") & (words >= _FEW)
    unfinished = (
        (artefacts.grade_unfinished(text) == 2)
        | (text.str.contains(artefacts.MID) & ~text.str.contains(artefacts.CLOSING) & (words >= _FEW))
        | text.str.contains(last_line)
    )
    return [
        Rule("no_answer", text.str.strip_chars() == "", pl.col("error")),
        Rule("no_words", empty_words, text.str.slice(0, 60)),
        Rule("truncated", pl.col("finish_reason") == "length", pl.col("finish_reason")),
        Rule("template_debris", debris, text.str.extract(marks, 1).str.slice(0, 60)),
        Rule(
            "loop", ((sentences.list.len() >= 4) & (distinct < _MIN_DISTINCT)) & ~repeat_wanted, distinct, _MIN_DISTINCT
        ),
        Rule("loop", (form.repeated_lines(text) > _MAX_LINES) & ~repeat_wanted, form.repeated_lines(text), _MAX_LINES),
        Rule("loop", (pl.col("runs") > _MAX_RUNS) & prose & ~repeat_wanted, pl.col("runs"), _MAX_RUNS),
        Rule(
            "loop",
            pl.col("stammer").is_not_null() & ~repeat_wanted,
            pl.col("stammer"),
            f"{_TIMES} times at its end, or {_TIMES_INSIDE}",
        ),
        Rule(
            "repeats_the_request",
            (echo | same) & ~_PATTERNS.contains(text, "affirms") & ~_PATTERNS.contains(request, "copy_wanted"),
            text.str.slice(0, 60),
        ),
        Rule(
            "wrong_language",
            ((pl.col("other_language") == languages.UNASKED) & enough) | latin | neighbour,
            pl.col("answer_language"),
            pl.col("request_language"),
        ),
        Rule(
            "shirking",
            declines.is_not_null()
            & ~_PATTERNS.contains(text, "spoken")
            & short
            & ~_PATTERNS.contains(request, "apology_wanted"),
            words,
            _SHORT,
            declines,
        ),
        Rule("identity_leak", pl.col("identity") == identity.CLAIMED, text.str.extract(f"({identity.CLAIM})", 1)),
        Rule("identity_leak", is_a_model.is_not_null() & ~_PATTERNS.contains(request, "plays_one"), is_a_model),
        Rule(
            "identity_leak",
            model_acts.is_not_null() & ~_PATTERNS.contains(pl.col("before"), "about_models"),
            model_acts,
        ),
        Rule(
            "asks_back",
            (asks.is_not_null() | agrees) & short & ~_PATTERNS.contains(request, "wanted_written"),
            words,
            _SHORT,
            pl.coalesce(asks, text.str.tail(60)),
        ),
        Rule("imagined_context", leans.is_not_null() & ~_PATTERNS.contains(pl.col("before"), "brings_text"), leans),
        Rule("unfinished", (unfinished | announces) & ~ends_in_code, text.str.tail(60)),
        Rule("fails_its_tests", pl.col("said").is_not_null(), pl.col("said")),
    ]


def _letters(text: pl.Expr) -> pl.Expr:
    return normalize_text(text).str.replace_all(r"[^\p{L}\p{N}]", "")


def _stammer(text: str) -> str | None:
    """Return the piece that a text repeats without a break at its end or, more often, anywhere outside fenced code.

    Return `None` if there is no such piece. Rulers, dots and digits do not count.
    """
    prose = re.sub(r"```.*?(?:```|\Z)", "", text, flags=re.DOTALL).rstrip(" .。!！?？,，\n")
    points = np.frombuffer(prose.encode("utf-32-le", "replace"), np.uint32)
    for size in sorted(_distances(prose)):
        breaks = np.flatnonzero(np.concatenate([[True], points[size:] != points[:-size], [True]]))
        runs = np.diff(breaks) - 1 + size
        for place, least, times in ((len(runs) - 1, _TAIL, _TIMES), (int(runs.argmax()), _INSIDE, _TIMES_INSIDE)):
            piece = prose[breaks[place] : breaks[place] + size]
            if (
                runs[place] >= max(least, times * size)
                and re.search(r"[^\W\d_].*[^\W\d_]", piece, re.DOTALL)
                and len(set(piece)) > 1
            ):
                return piece.strip()[:60]
    return None


def _distances(text: str) -> set[int]:
    """Return the distances at which a sample of the text recurs, up to the length of the longest piece.

    A piece that is repeated without a break is repeated at one of these distances. Samples are taken at every tenth
    character, so that a run of 40 characters contains some.
    """
    distances = set()
    for start in range(max(0, (len(text) - _SAMPLE) % _STRIDE), len(text) - _SAMPLE, _STRIDE):
        sample = text[start : start + _SAMPLE]
        at = start
        while (at := text.find(sample, at + 1, start + _LONGEST_PIECE + _SAMPLE)) > 0:
            distances.add(at - start)
    return {size for size in distances if size * _TIMES <= len(text)}


def choose(answers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Choose the best of several answers to each instruction.

    The best usable answer is the one with the highest score. If no answer is usable, it is the one that passed the most
    rules. Ties go to the lower index.

    Args:
        answers: One line per answer: row_id (of the instruction), index, text, answer_id, reason and detail (null for a
            usable answer), score (or null), by (the source of the score).

    Returns:
        The best answer to each instruction, with `rejected`: text, score and `by` of the worst usable answer (null if
        there is no other score). And the other answers that have a text, with the reason for dropping them: their own,
        `worse_answer`, or `copy_of_another` for a text with a lower index.
    """
    place = pl.col("reason").replace_strict(
        {name: -n for n, name in enumerate(REASONS)}, default=-len(REASONS), return_dtype=pl.Int64
    )
    usable = pl.col("reason").is_null()
    ordered = answers.with_columns(usable.alias("usable"), place.alias("place")).sort(
        "row_id",
        "usable",
        "score",
        "place",
        "index",
        descending=[False, True, True, False, False],
        nulls_last=[True] * 5,
    )
    first = pl.int_range(pl.len()).over("row_id") == 0
    again = pl.int_range(pl.len()).over("row_id", "answer_id") > 0
    ordered = ordered.with_columns(first.alias("first"), again.alias("again"))
    scored = ordered.filter("usable", ~pl.col("again"), pl.col("score").is_not_null())
    worst = scored.group_by("row_id", maintain_order=True).agg(
        pl.struct(answer=pl.col("text").last(), score=pl.col("score").last(), by=pl.col("by").last()).alias("rejected"),
        (pl.col("score").first() > pl.col("score").last()).alias("differs"),
    )
    best = ordered.filter("first").join(worst, on="row_id", how="left", maintain_order="left")
    best = best.with_columns(pl.when(pl.col("differs") & pl.col("usable")).then("rejected").alias("rejected"))
    winner = best.select("row_id", best_id="answer_id", best_score="score")
    others = ordered.filter(~pl.col("first"), pl.col("text").fill_null("") != "").join(
        winner, on="row_id", maintain_order="left"
    )
    worse = pl.struct("score", "best_score", "by", winner="best_id").struct.json_encode()
    copied = pl.struct(duplicate_of="answer_id").struct.json_encode()
    others = others.with_columns(
        pl.when("again")
        .then(pl.lit("copy_of_another"))
        .otherwise(pl.coalesce("reason", pl.lit("worse_answer")))
        .alias("reason"),
        pl.when("again").then(copied).otherwise(pl.coalesce("detail", worse)).alias("detail"),
    )
    extra = ["usable", "place", "first", "again"]
    return best.drop(*extra, "differs"), others.drop(*extra, "best_id", "best_score")
