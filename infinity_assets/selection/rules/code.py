"""Code in answers: its amount and language, whether its Python parses, and whether it uses the network or files.

Code is the text between fences or, without fences, lines that look like code. Python is parsed with `ast`. Other
languages, and Python that does not parse, are searched for names. Only answers with code can use the network or files.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

import polars as pl

from infinity_assets.selection.rules.patterns import read_patterns, read_section

_PATTERNS = read_patterns("code")
_SIGNS = read_patterns("code_signs")
_TAGS = {tag: language for language, tags in read_section("code_tags").items() for tag in tags}
_NO_TAG = ("", "text", "txt", "plaintext", "output", "code", "plain")
_NAMES = {name: frozenset(names) for name, names in read_section("code_names").items()}
_NETWORK_PARTS = tuple(f"{name}." for name in _NAMES["network_parts"])
_SENTENCE = re.compile(_PATTERNS["sentence"])
_ATTEMPT = 200_000
"""Longest code that is parsed, in characters."""

NOTHING = 0
NAMED = 1
USED = 2


def measure(texts: pl.DataFrame) -> pl.DataFrame:
    """Compute the code measures of texts with prompt, answer (may be null) and domain."""
    answer = pl.col("answer").fill_null("")
    prompt = pl.col("prompt").fill_null("")
    fenced = answer.str.contains("```", literal=True)
    of_code_domain = pl.when(pl.col("domain") == "code")
    terms = pl.concat_str(prompt, answer, separator="\n").str.count_matches(_PATTERNS["terms"])
    frame = texts.select(
        answer.alias("answer"),
        fenced.alias("fenced"),
        code_lines=pl.when(fenced).then(_fenced_lines(answer)).otherwise(code_lines(answer)),
        prompt_code_lines=of_code_domain.then(code_lines(prompt)).otherwise(0),
        code_terms=of_code_domain.then(terms).otherwise(0),
    )
    frame = frame.with_columns(_language().alias("code_language")).with_row_index("at")
    parsed = pl.DataFrame(
        list(_parse_answers(frame.filter(pl.col("code_language") == "python"))),
        {"at": pl.UInt32, "python_parses": pl.Boolean, "note": pl.String, "network": pl.String, "files": pl.String},
        orient="row",
    )
    frame = frame.join(parsed, on="at", how="left", maintain_order="left")
    language = pl.col("code_language")
    no_python = (
        pl.when(language.is_null()).then(pl.lit("no_code")).when(language != "python").then(pl.lit("not_python"))
    )
    spans = []
    levels = []
    for subject in ("network", "files"):
        # The first use comes from the syntax tree or, if the code does not parse, from a pattern.
        of_text = pl.when(language.is_not_null()).then(_first_match(_PATTERNS[f"{subject}_use"]))
        used = pl.when(pl.col("python_parses").fill_null(False)).then(subject).otherwise(of_text)
        named = pl.when(language.is_not_null()).then(_first_match(_PATTERNS[f"{subject}_name"]))
        spans.append(pl.coalesce(used, named).alias(f"{subject}_span"))
        level = pl.when(used.is_not_null()).then(USED).when(named.is_not_null()).then(NAMED).otherwise(NOTHING)
        levels.append(level.alias(subject))
    counts = ("code_lines", "prompt_code_lines", "code_terms")
    note = pl.coalesce("note", no_python).alias("python_note")
    return frame.select(language, *counts, "python_parses", note, *levels, *spans)


def code_lines(text: pl.Expr) -> pl.Expr:
    """Count the lines that look like code or, if there are none, pieces of lines: `name(...)` and text in backticks."""
    lines = text.str.count_matches(_PATTERNS["line"])
    return pl.when(lines > 0).then(lines).otherwise(text.str.count_matches(_PATTERNS["inline"]))


def _fenced_lines(text: pl.Expr) -> pl.Expr:
    blocks = text.str.extract_all(r"(?s)```[^\n]*\n.*?(?:```|$)").list.join("\n")
    return (blocks.str.count_matches(r"(?m)^.*\S.*$") - blocks.str.count_matches(r"(?m)^[ \t]*```")).cast(pl.UInt32)


def _language() -> pl.Expr:
    """Return the language of the code in `answer`, by the tag of its first fence or else by its syntax.

    The result is `other` for code in an unknown language, and null for an answer without code.
    """
    tag = pl.col("answer").str.extract(_PATTERNS["fence"], 1).str.to_lowercase()
    tag = pl.when(pl.col("fenced") & ~tag.is_in(_NO_TAG)).then(tag.replace(_TAGS))
    by_sign = pl.coalesce(
        pl.when(pl.col("answer").str.contains(sign)).then(pl.lit(name)) for name, sign in _SIGNS.items()
    )
    return pl.when(pl.col("code_lines") > 0).then(pl.coalesce(tag, by_sign, pl.lit("other")))


def _first_match(pattern: str) -> pl.Expr:
    return pl.col("answer").str.extract(f"({pattern})", 1).str.strip_chars().str.slice(0, 80)


def _parse_answers(rows: pl.DataFrame) -> Iterator[tuple[int, bool | None, str | None, str | None, str | None]]:
    """Parse every Python answer: index, whether it parses, a note, and its first use of the network and of files."""
    for at, text, fenced in rows.select("at", "answer", "fenced").iter_rows():
        blocks = _blocks(text) if fenced else [text]
        trees = []
        fault = None
        for block in blocks:
            tree = parse(block)
            if isinstance(tree, str):
                fault = fault or tree
            else:
                trees.append(tree)
        if fault and not fenced and any(map(_SENTENCE.match, text.split("\n"))):
            yield at, None, "mixed_with_prose", None, None
        elif fault:
            yield at, False, fault, None, None
        elif not trees:
            yield at, None, "no_code", None, None
        else:
            network, files = uses(trees)
            yield at, True, None, network, files


def _blocks(text: str) -> list[str]:
    """Return the fenced blocks tagged as Python. If there are none, return all untagged blocks."""
    blocks = [(_TAGS.get(tag.lower(), tag.lower()), code) for tag, code in re.findall(_PATTERNS["fence"], text)]
    tagged = [code for tag, code in blocks if tag == "python"]
    return tagged or [code for tag, code in blocks if tag in _NO_TAG]


def parse(code: str) -> ast.Module | str:
    """Parse Python code without `>>>` prompts and common indentation. Return the syntax tree, or the error as text."""
    if len(code) > _ATTEMPT:
        return "too long to parse"
    if re.search(r"(?m)^\s*>>> ", code):
        code = "\n".join(line.lstrip()[4:] for line in code.split("\n") if line.lstrip().startswith((">>> ", "... ")))
    code = textwrap.dedent(code.expandtabs(8)).strip("\n") + "\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code)
        except SyntaxError as error:
            return f"line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return f"{type(error).__name__}"


def uses(trees: list[ast.Module]) -> tuple[str | None, str | None]:
    """Return the first use of the network and the first use of files in the code; each is `None` if there is none."""
    network = None
    files = None
    nodes = [node for tree in trees for node in ast.walk(tree)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _imported(node):
                root = name.partition(".")[0]
                if root in _NAMES["network_modules"] or f"{name}.".startswith(_NETWORK_PARTS):
                    network = network or f"import {name}"
                if root in _NAMES["file_modules"]:
                    files = files or f"import {name}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = ast.unparse(node.func)
            owner, _, last = called.rpartition(".")
            if (
                (called == "open" and "open" not in own)
                or called in _NAMES["open_functions"]
                or (owner == "os" and last in _NAMES["os_files"])
                or (owner == "os.path" and last in _NAMES["os_path_files"])
                or (owner and last in _NAMES["file_methods"] and last not in own)
            ):
                files = files or f"{called}(...)"
    return network, files


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names] if node.module and not node.level else []
