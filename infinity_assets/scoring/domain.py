"""The domain of a row by rule, for sources that do not name one: code, math, knowledge or chat.

Code and mathematics leave marks in the text; a short factual question reads as knowledge; what is left is chat.
"""

import polars as pl

_CODE = (
    r"```|\bdef \w+\(|\bclass \w+[:(]|#include|\bpublic static\b|\bconsole\.log\(|\bSELECT\b.+\bFROM\b|\bfunction \w*\("
    r"|(?i:\b(python|javascript|java|c\+\+|sql|html|css|regex|algorithm|bash script)\b)|编程|代码|函数"
)
_MATH = (
    r"\$[^$]*[\\=^_][^$]*\$|\\frac|\\boxed|<<[^>]*=[^>]*>>"
    r"|(?i:\b(solve|equation|calculate|how many|how much|percent|probability|triangle|integer)\b)|计算|方程|多少"
)
_FACT = (
    r"(?i)^\W*(what|who|when|where|which|why|explain|describe|define|name|list|how (?:does|do|did|is|are|was|were)|is|are|does|did|can)\b"
    r"|什么是|是什么|为什么|解释|哪|谁"
)


def classify(prompt: pl.Expr, answer: pl.Expr) -> pl.Expr:
    """The domain, from the user turns and the answer (which may be null)."""
    both = pl.concat_str([prompt, answer.fill_null("")], separator="\n")
    digits = prompt.str.count_matches(r"\d+")
    return (
        pl.when(both.str.contains(_CODE))
        .then(pl.lit("code"))
        .when(prompt.str.contains(_MATH) & ((digits >= 2) | prompt.str.contains(r"\\frac|\\boxed|\$")))
        .then(pl.lit("math"))
        .when(prompt.str.contains(_FACT))
        .then(pl.lit("knowledge"))
        .otherwise(pl.lit("chat"))
    )
