"""Rules that find degenerate answers, and the choice of the best of several answers. See docs/answers.md.

The rules judge form, completeness and language, because a training set written by a teacher model tolerates wrong
answers, but not degenerate ones. Tests (`execution`) and scores decide whether an answer is correct.
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
"""An answer with fewer words fails if it declines or asks back. (Evol-Instruct, arXiv 2304.12244: "sorry", < 80.)"""
_MIN_DISTINCT = 0.25
"""Minimum share of distinct sentences; an answer below it is a loop. Human prose lies above 0.9."""
_MAX_LINES, _MAX_RUNS = 0.75, 0.6
"""Maximum shares of repeated lines and of repeated runs of ten words; an answer above one of them is a loop."""
_TIMES, _TAIL = 4, 40
"""An answer is a loop if its end repeats one piece at least this often, over at least this many characters."""
_TIMES_INSIDE, _INSIDE = 6, 60
"""An answer is a loop if it repeats one piece anywhere at least this often, over at least this many characters."""
_LONGEST_PIECE = 300
"""Maximum length of a repeated piece, in characters."""
_SAMPLE, _STRIDE = 8, 10
"""Length and spacing, in characters, of the samples that `_distances` searches for."""
_LATIN_PROSE = 120
"""Minimum length of an answer, in characters, for telling two languages of one script apart."""

_ECHO, _PART = 0.95, 0.7
"""An answer repeats its request if the common words make up these shares of the answer's and the request's words."""
_FEW_WORDS, _FEW = 8, 4
_CJK = ("zh", "ja", "ko")
_NAMES_ANOTHER = r"[\p{Hiragana}\p{Katakana}\p{Hangul}]|[日韩]"
"""Pattern of a Chinese request that is about Japanese or Korean."""
_ENOUGH_LETTERS = r"[\p{L}&&[^\p{Latin}]]{2}|\p{Latin}{3}"
"""Pattern of the fewest letters by which the language of an answer is judged."""

REASONS = (
    "no_answer", "no_words", "truncated", "template_debris", "loop", "repeats_the_request", "wrong_language",
    "shirking", "identity_leak", "asks_back", "imagined_context", "unfinished", "fails_its_tests",
)  # fmt: skip
"""Classes of degenerate answers, in the order of their rules. `execution` finds the last class."""


def find_degenerate(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the degenerate answers, each with the first of `REASONS` that applies.

    Args:
        answers: One line per answer: row_id, text, request, finish_reason, error. Optional columns: `said`, the failure
            of the answer's program (null if it passed or was not run), and `before`, the text of the conversation
            before the answer (null if that is the request alone).

    Returns:
        One line per degenerate answer: row_id, reason, detail, as from `selection.rules.first_failure`.
    """
    return first_failure(_measure(answers), _rules())


def _measure(answers: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that the rules read."""
    optional = {name: pl.lit(None, pl.String) for name in ("said", "before") if name not in answers.columns}
    text, request = (pl.col(name).fill_null("") for name in ("text", "request"))
    frame = answers.with_columns(**optional, text=text, request=request)
    words, runs = form.repeated_runs(frame["text"])
    frame = frame.with_columns(
        before=pl.coalesce("before", "request"),
        words=pl.Series(words, dtype=pl.Int64),
        runs=pl.Series(runs, dtype=pl.Float64, nan_to_null=True),
        stammer=pl.Series([_stammer(answer) for answer in frame["text"]], dtype=pl.String),
        identity=identity.identity(frame.select(prompt="request", said="text")),
        answer_language=language.detect(text),
        request_language=language.detect(request),
    )
    compared = frame.select(
        "answer_language",
        prompt="request",
        answer="text",
        prompt_language="request_language",
        is_translation=languages.asks_for_another(request),
        code_language=pl.when(text.str.contains("```")).then(pl.lit("code")),
    )
    return frame.with_columns(other_language=languages.grade_other_language(compared))


def _rules() -> list[Rule]:
    text, request, before, words = (pl.col(name) for name in ("text", "request", "before", "words"))
    has, extract = _PATTERNS.contains, _PATTERNS.extract
    opening = text.str.slice(0, 300)
    short = words < _SHORT
    several = words >= _FEW
    marks = f"{artefacts.TOOLS}|{artefacts.PLACEHOLDER}"
    debris = (artefacts.grade_debris(request, text) == artefacts.DEBRIS) | text.str.contains(marks)
    mark = text.str.extract(f"({artefacts.MARKS}|{artefacts.EXCHANGE}|{marks})", 1)

    bare = tokens(text.str.replace_all(_PATTERNS["list_mark"], ""))
    only_function_words = bare.list.set_difference(pl.lit(pl.Series([FUNCTION_WORDS.split()]))).list.len() == 0
    sign = has(text, "signs_that_answer") | has(request, "sign_wanted")

    once = ~has(request, "repeat_wanted")
    sentences = text.str.extract_all(r"[^.!?。！？\n]{4,}").list.eval(pl.element().str.strip_chars())
    distinct = sentences.list.n_unique() / sentences.list.len()
    monotonous = (sentences.list.len() >= 4) & (distinct < _MIN_DISTINCT)
    lines = form.repeated_lines(text)
    prose = 3 * text.str.count_matches(r"\p{L}") >= text.str.len_chars()
    stammer = pl.col("stammer")

    asked = tokens(request)
    shared = tokens(text).list.set_intersection(asked).list.len()
    echoes = (shared >= _ECHO * tokens(text).list.n_unique()) & (shared >= _PART * asked.list.n_unique())
    echoes &= ~request.str.contains("\n")  # several lines are material, which the answer may repeat
    repeats = (asked.list.len() >= _FEW) & (echoes | (_letters(text) == _letters(request)))
    copy_wanted = has(text, "affirms") | has(request, "copy_wanted")

    answered_in, asked_in = pl.col("answer_language"), pl.col("request_language")
    foreign = (pl.col("other_language") == languages.UNASKED) & text.str.contains(_ENOUGH_LETTERS)
    differs = language.differs(answered_in, asked_in) & ~languages.asks_for_another(request)
    long = (text.str.len_chars() >= _LATIN_PROSE) & (request.str.len_chars() >= _LATIN_PROSE // 4)
    one_script = ~language.scripts_differ(answered_in, asked_in) & long & ~has(text, "code")
    cjk = answered_in.is_in(_CJK) & asked_in.is_in(_CJK) & ~request.str.contains(_NAMES_ANOTHER)
    wrong_language = foreign | (differs & (one_script | cjk))

    declines = text.str.extract(f"({refusals.OPENING}|{refusals.SENTENCE}|{_PATTERNS['no_attempt']})", 1)
    may_decline = has(text, "spoken") | has(request, "apology_wanted")
    is_a_model = extract(text, "is_a_model")
    model_acts = extract(text, "model_acts")
    asks = extract(opening, "asks")
    agrees = has(text, "agrees") & text.str.contains(r"[?？]\W*$")
    leans = extract(opening, "leans_on_text")

    unfinished = (
        (artefacts.grade_unfinished(text) == 2)
        | (text.str.contains(artefacts.MID) & ~text.str.contains(artefacts.CLOSING) & several)
        | text.str.contains(r"\n\s*(?:\d{1,2}[.)、．]|[-*•])\s*$")  # a list that ends with an empty item
        | (text.str.contains(r"[:：]\s*$") & several)
    )
    ends_in_code = has(text, "code_line") & (text.str.count_matches("```") % 2 == 0)
    times = f"{_TIMES} times at its end, or {_TIMES_INSIDE}"
    end = text.str.tail(60)
    return [
        Rule("no_answer", text.str.strip_chars() == "", pl.col("error")),
        Rule("no_words", only_function_words & (words < _FEW_WORDS) & ~sign, text.str.slice(0, 60)),
        Rule("truncated", pl.col("finish_reason") == "length", pl.col("finish_reason")),
        Rule("template_debris", debris, mark.str.slice(0, 60)),
        Rule("loop", monotonous & once, distinct, _MIN_DISTINCT),
        Rule("loop", (lines > _MAX_LINES) & once, lines, _MAX_LINES),
        Rule("loop", (pl.col("runs") > _MAX_RUNS) & prose & once, pl.col("runs"), _MAX_RUNS),
        Rule("loop", stammer.is_not_null() & once, stammer, times),
        Rule("repeats_the_request", repeats & ~copy_wanted, text.str.slice(0, 60)),
        Rule("wrong_language", wrong_language, answered_in, asked_in),
        Rule("shirking", declines.is_not_null() & short & ~may_decline, words, _SHORT, declines),
        Rule("identity_leak", pl.col("identity") == identity.CLAIMED, text.str.extract(f"({identity.CLAIM})", 1)),
        Rule("identity_leak", is_a_model.is_not_null() & ~has(request, "plays_one"), is_a_model),
        Rule("identity_leak", model_acts.is_not_null() & ~has(before, "about_models"), model_acts),
        Rule(
            "asks_back",
            (asks.is_not_null() | agrees) & short & ~has(request, "wanted_written"),
            words,
            _SHORT,
            pl.coalesce(asks, end),
        ),
        Rule("imagined_context", leans.is_not_null() & ~has(before, "brings_text"), leans),
        Rule("unfinished", unfinished & ~ends_in_code, end),
        Rule("fails_its_tests", pl.col("said").is_not_null(), pl.col("said")),
    ]


def _letters(text: pl.Expr) -> pl.Expr:
    return normalize_text(text).str.replace_all(r"[^\p{L}\p{N}]", "")


def _stammer(text: str) -> str | None:
    """Return the first 60 characters of the piece that a text repeats without a break, or `None` if there is none.

    Away from the end of the text, more repetitions are required. Fenced code, rulers, dots and digits do not count.
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
    """Return the distances, in characters, at which samples of the text recur, up to `_LONGEST_PIECE`.

    A piece that is repeated without a break recurs at one of these distances. Samples start at every tenth character,
    so that a repetition of 40 characters contains several.
    """
    distances = set()
    for start in range(max(0, (len(text) - _SAMPLE) % _STRIDE), len(text) - _SAMPLE, _STRIDE):
        sample = text[start : start + _SAMPLE]
        at = start
        while (at := text.find(sample, at + 1, start + _LONGEST_PIECE + _SAMPLE)) > 0:
            distances.add(at - start)
    return {size for size in distances if size * _TIMES <= len(text)}


def choose(answers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Choose the best answer to each instruction.

    The best answer is the usable answer with the highest score. If no answer is usable, it is the one that passed the
    most rules. Ties go to the lower index.

    Args:
        answers: One line per answer: row_id (of the instruction), index (of the answer), text, answer_id, reason and
            detail of the failed rule (null for a usable answer), score (or null), by (the source of the score).

    Returns:
        First, the best answer to each instruction, with `rejected`: answer, score and `by` of the usable answer with the
        lowest score, null if no score is lower than the best. Second, the other answers that have a text, with the
        reason for dropping each: its failed rule, `worse_answer`, or `copy_of_another` if it equals a better one.
    """
    rank = {name: -n for n, name in enumerate(REASONS)}
    ordered = answers.with_columns(
        usable=pl.col("reason").is_null(),
        place=pl.col("reason").replace_strict(rank, default=-len(REASONS), return_dtype=pl.Int64),
    ).sort(
        "row_id", "usable", "score", "place", "index",
        descending=[False, True, True, False, False], nulls_last=[True] * 5,
    )  # fmt: skip
    first = pl.int_range(pl.len()).over("row_id") == 0
    again = pl.int_range(pl.len()).over("row_id", "answer_id") > 0
    ordered = ordered.with_columns(first=first, again=again)
    scored = ordered.filter("usable", ~pl.col("again"), pl.col("score").is_not_null())
    worst = scored.group_by("row_id", maintain_order=True).agg(
        rejected=pl.struct(answer=pl.col("text").last(), score=pl.col("score").last(), by=pl.col("by").last()),
        differs=pl.col("score").first() > pl.col("score").last(),
    )
    best = ordered.filter("first").join(worst, on="row_id", how="left", maintain_order="left")
    best = best.with_columns(rejected=pl.when(pl.col("differs") & pl.col("usable")).then("rejected"))
    winner = best.select("row_id", best_id="answer_id", best_score="score")
    others = ordered.filter(~pl.col("first"), pl.col("text").fill_null("") != "")
    others = others.join(winner, on="row_id", maintain_order="left")
    worse = pl.struct("score", "best_score", "by", winner="best_id").struct.json_encode()
    copied = pl.struct(duplicate_of="answer_id").struct.json_encode()
    others = others.with_columns(
        reason=pl.when("again")
        .then(pl.lit("copy_of_another"))
        .otherwise(pl.coalesce("reason", pl.lit("worse_answer"))),
        detail=pl.when("again").then(copied).otherwise(pl.coalesce("detail", worse)),
    )
    extra = ["usable", "place", "first", "again"]
    return best.drop(*extra, "differs"), others.drop(*extra, "best_id", "best_score")
