"""Answers to tasks of one right answer: what is looked for in a text, and when two are the same."""

import re
from fractions import Fraction
from typing import Literal, NamedTuple

Form = Literal["number", "math", "text"]


class Expected(NamedTuple):
    """A right answer that can be compared with."""

    form: Form
    """`number`: equal as a number. `math`: equal as a number or as LaTeX. `text`: equal but for case, punctuation and articles."""
    value: str


_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d[\d,]*)?"
_WITH_UNIT = re.compile(rf"[-+]?[$€£¥]?\s*{_NUMBER}\s*(?:%|[^\d\s=+*/^-][^\d]{{0,24}})?")
_FINAL = re.compile(
    r"(?im)^\W*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:：]?\s*(.+?)\s*$|^\W*(?:最终)?答案(?:是|为)?\s*[:：]?\s*(.+?)\s*$"
)
_SENTENCE = re.compile(r"\S+\s+\S+\s.*[.!?]|.{6,}[。！？]")
_SHORT = 40
_WORDS = 6


def expected(answer: str) -> Expected | None:
    r"""The right answer, as benchmarks give it: behind `####` (GSM8K), in the last `\boxed{}` (MATH), or all of a short one. Null for a text of
    some length: no rule can tell whether another one says the same.
    """
    text = answer.strip()
    if "####" in text:
        value = text.rpartition("####")[2].strip()
        return Expected("number", value) if number(value) is not None else Expected("text", value) if value else None
    if (inside := boxed(text)) is not None:
        return Expected("math", inside)
    if not text or "\n" in text or len(text) > _SHORT or len(text.split()) > _WORDS or _SENTENCE.fullmatch(text):
        return None
    return Expected("number", text) if _WITH_UNIT.fullmatch(text) else Expected("text", text)


def is_right(text: str, right: Expected) -> bool:
    """Whether an answer in the words of a model ends at the right answer."""
    found = final(text, right.form)
    if found is None:
        return False
    if right.form == "text":
        return _plain(found) == _plain(right.value)
    one, other = number(found), number(right.value)
    if one is not None and other is not None:
        return one == other
    return right.form == "math" and latex(found) == latex(right.value)


def final(text: str, form: Form) -> str | None:
    r"""The answer at which a text arrives: the last `\boxed{}`, else what stands behind the last `Answer:`, else the last number, or the last line
    where no number is wanted.
    """
    if (inside := boxed(text)) is not None:
        return inside
    told = [one or other for one, other in _FINAL.findall(text)]
    if told:
        said = told[-1].strip().strip("*").strip()
        if form != "number":
            return said
        if found := re.findall(_NUMBER, said):
            # "6 * 3 = 18": what is arrived at stands last; "18 apples in 2 boxes": what is asked for first.
            return found[-1] if "=" in said else found[0]
    if form == "text":
        return text.strip().rpartition("\n")[2] or None
    found = re.findall(_NUMBER, text)
    return found[-1] if found else None


def boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{}`, braces within it counted; null where there is none."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        bare = re.findall(r"\\boxed\s+(\S+?)(?=[$\s]|$)", text)  # \boxed 5
        return bare[-1] if bare else None
    depth, begin = 0, text.index("{", start)
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place].strip()
    return None


def number(text: str) -> Fraction | None:
    r"""The number that a text is, unit, currency and thousands' commas aside; null if it is none. `\frac{1}{2}` is 1/2, `50\%` is 50."""
    plain = latex(text)
    plain = re.sub(r"^([-+]?)\\frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", plain)
    found = re.fullmatch(rf"([-+]?)[$€£¥]?({_NUMBER})(?:%|[^\d=+*/^\\{{}}()-][^\d=+*/^\\{{}}()]*)?", plain)
    if not found:
        return None
    top, _, bottom = found[2].replace(",", "").partition("/")
    if bottom and not int(bottom):
        return None
    value = Fraction(top) / int(bottom or 1)
    return -value if found[1] == "-" else value


def latex(text: str) -> str:
    """LaTeX without what changes how it looks and not what it says (after the comparison of MATH, arXiv 2103.03874)."""
    text = text.strip().strip("$").strip()
    text = re.sub(r"\\(?:left|right|displaystyle|!|,|;|:|quad|qquad)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree|°", "", text)
    text = text.replace("\\%", "%").replace("\\$", "").replace("\\ ", "")
    text = re.sub(r"\\frac\s*(\d)\s*(\d)(?!\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*(\w)", r"\\sqrt{\1}", text)
    text = re.sub(r"\s+", "", text).rstrip(".")
    return re.sub(r"^[a-zA-Z](?:\([a-z]\))?=", "", text)


def _plain(text: str) -> str:
    text = re.sub(r"[^\w\s]+", " ", text.casefold())
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))
