"""Comparison of a model's answer with the right answer of a task."""

import re
from fractions import Fraction
from typing import Literal, NamedTuple

Form = Literal["number", "math", "text"]


class Expected(NamedTuple):
    """A right answer that can be compared with a model's answer."""

    form: Form
    """Comparison: `number` as numbers; `math` as numbers or LaTeX; `text` without case, punctuation and articles."""
    value: str


_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d[\d,]*)?"
_WITH_UNIT = re.compile(rf"[-+]?[$€£¥]?\s*{_NUMBER}\s*(?:%|[^\d\s=+*/^-][^\d]{{0,24}})?")
_FINAL = re.compile(
    r"(?im)^\W*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:：]?\s*(.+?)\s*$|^\W*(?:最终)?答案(?:是|为)?\s*[:：]?\s*(.+?)\s*$"
)
_SENTENCE = re.compile(r"\S+\s+\S+\s.*[.!?]|.{6,}[。！？]")
_SHORT = 40
_WORDS = 6


def parse_expected(answer: str) -> Expected | None:
    r"""Parse a benchmark's right answer: the text after `####` (GSM8K), the last `\boxed{}` (MATH), or a short text.

    Return `None` for a longer text, because no rule can decide whether another text has the same meaning.
    """
    text = answer.strip()
    if "####" in text:
        value = text.rpartition("####")[2].strip()
        return (
            Expected("number", value) if parse_number(value) is not None else Expected("text", value) if value else None
        )
    if (inside := extract_boxed(text)) is not None:
        return Expected("math", inside)
    if not text or "\n" in text or len(text) > _SHORT or len(text.split()) > _WORDS or _SENTENCE.fullmatch(text):
        return None
    return Expected("number", text) if _WITH_UNIT.fullmatch(text) else Expected("text", text)


def is_right(text: str, right: Expected) -> bool:
    """Return whether a model's text arrives at the right answer."""
    answer = extract_final(text, right.form)
    if answer is None:
        return False
    if right.form == "text":
        return _normalize(answer) == _normalize(right.value)
    one, other = parse_number(answer), parse_number(right.value)
    if one is not None and other is not None:
        return one == other
    return right.form == "math" and normalize_latex(answer) == normalize_latex(right.value)


def extract_final(text: str, form: Form) -> str | None:
    r"""Extract the final answer from a model's text; `None` if there is none.

    It is the content of the last `\boxed{}`, else the text after the last `Answer:`, else the last number (or, for the
    form `text`, the last line).
    """
    if (inside := extract_boxed(text)) is not None:
        return inside
    marked = [one or other for one, other in _FINAL.findall(text)]
    if marked:
        answer = marked[-1].strip().strip("*").strip()
        if form != "number":
            return answer
        if numbers := re.findall(_NUMBER, answer):
            # The result is last in "6 * 3 = 18" and first in "18 apples in 2 boxes".
            return numbers[-1] if "=" in answer else numbers[0]
    if form == "text":
        return text.strip().rpartition("\n")[2] or None
    numbers = re.findall(_NUMBER, text)
    return numbers[-1] if numbers else None


def extract_boxed(text: str) -> str | None:
    r"""Extract the content of the last `\boxed{}`, which may contain braces; `None` if there is no box."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        bare = re.findall(r"\\boxed\s+(\S+?)(?=[$\s]|$)", text)  # \boxed 5
        return bare[-1] if bare else None
    depth = 0
    begin = text.index("{", start)
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place].strip()
    return None


def parse_number(text: str) -> Fraction | None:
    r"""Parse a text as a number and ignore its unit, currency and thousands separators; `None` if it is not a number.

    `\frac{1}{2}` is 1/2, and `50\%` is 50.
    """
    plain = normalize_latex(text)
    plain = re.sub(r"^([-+]?)\\frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", plain)
    match = re.fullmatch(rf"([-+]?)[$€£¥]?({_NUMBER})(?:%|[^\d=+*/^\\{{}}()-][^\d=+*/^\\{{}}()]*)?", plain)
    if not match:
        return None
    top, _, bottom = match[2].replace(",", "").partition("/")
    if bottom and not int(bottom):
        return None
    value = Fraction(top) / int(bottom or 1)
    return -value if match[1] == "-" else value


def normalize_latex(text: str) -> str:
    """Remove differences of layout, units and notation from LaTeX (after MATH's own comparison, arXiv 2103.03874)."""
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


def _normalize(text: str) -> str:
    text = re.sub(r"[^\w\s]+", " ", text.casefold())
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))
