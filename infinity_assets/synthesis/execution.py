"""Execution of the programs in answers, if the request or the answer states their expected results.

A check is a test that came with the instruction, an assertion, a doctest, or an example with literals on both sides
(`f(2) -> 4`, `f([1, 2]) returns 3`, `Input: 3` and `Output: 6`). Unless it is a test, it must be about a function that
the program defines. The sandbox (`infinity_assets/sandbox`) runs the program together with its checks. A program that
reads from the keyboard or needs a package is not run and gets no verdict.
"""

import ast
import doctest
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import polars as pl

from infinity_assets import sandbox
from infinity_assets.evaluation.tasks import extract_code
from infinity_assets.settings.foundation import Limits
from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("execution.yaml"))

VERDICTS = pl.Schema({"row_id": pl.String, "execution": pl.String, "why": pl.String, "said": pl.String})
"""Verdicts on answers that were run. `execution`: passed, failed, timeout, refused, or null if this machine cannot run
programs. `why`: the sandbox's reason, null for passed. `said`: `why` if it counts against the answer, else null."""

_FENCE = re.compile(r"```[ \t]*(\w*)[^\n]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_PYTHON = ("", "python", "py", "python3", "pycon")
_DEF = re.compile(r"(?m)^(?:async )?def (\w+)")
_MODULES = {"os", *sys.builtin_module_names}.union(
    name.partition(".")[0] for name in sandbox.read_restrictions()["modules"]
)
"""Modules that a program may import. The sandbox may be unable to read the files of any other module."""
_FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError)
"""Errors that `ast.parse` raises for a text that is not Python."""
_LONGEST = 300
"""Maximum length of an example, in characters."""

Functions: TypeAlias = dict[str, ast.FunctionDef | None]
"""The functions of a program by name. Each value is `None` if the program does not parse."""

_CHECKING = """
def _same_(got, want, digits):
    if isinstance(want, bool) or isinstance(got, bool):
        return got is want or (not isinstance(want, bool) and got == want)
    if isinstance(want, float) and isinstance(got, (int, float)):
        return got == want or (digits is not None and round(got, digits) == want)
    if type(got) is type(want) and isinstance(want, (list, tuple)):
        return len(got) == len(want) and all(_same_(one, other, digits) for one, other in zip(got, want))
    return got == want


def _printed_(run):
    import contextlib, io
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        value = run()
    return value, text.getvalue().strip()


def _check_(said, run, want, digits):
    value, text = _printed_(run)
    if not (_same_(value, want, digits) or (value is None and text in (str(want), repr(want)))):
        raise AssertionError(f"{said} gave {value!r}, not {want!r}"[:180])


def _check_session_(said, run, want):
    value, text = _printed_(run)
    shown = "\\n".join(part for part in (text, "" if value is None else repr(value)) if part)
    if " ".join(shown.split()) != " ".join(want.split()):
        raise AssertionError(f"{said} gave {shown}, not {want}"[:180])


def _check_error_(said, run, kind):
    try:
        _printed_(run)
    except Exception as error:
        if type(error).__name__ != kind:
            raise
    else:
        raise AssertionError(f"{said} raised no {kind}"[:180])
"""


class _Example(NamedTuple):
    call: str
    want: str


def build_program(request: str, answer: str, tests: str | None) -> str | None:
    """Build a program that runs to its end only if the answer passes its checks.

    Args:
        request: Text of the request.
        answer: Text of the answer.
        tests: Assertions that came with the request, or `None`.

    Returns:
        The program's text, or `None` if the answer has no program that can run, or there is nothing to check.
    """
    code, tree = _find_program(answer, bool(tests))
    if code is None or not _runs_alone(tree, bool(tests)):
        return None
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    names: dict[str, ast.FunctionDef | None] = (
        {function.name: function for function in functions} if tree else dict.fromkeys(_DEF.findall(code))
    )
    own_tests = (node for node in functions if node.name.startswith("test") and _asserts(node))
    checks = [tests] if tests else []
    checks += [f"{function.name}()" for function in own_tests if not _parameters(function)[1]]
    checks += [check for text in (request, answer) for check in _convert_doctests(text, names)]
    stated = (*_other_blocks(answer, code), *_assert_lines(request))
    checks += [statement for statement in stated if _states(parse_code(statement), names)]
    examples = [example for text in (request, answer) for example in _find_examples(text, names)]
    if functions and len(names) == 1:
        examples += [pair for text in (request, answer) for pair in _find_inputs_and_outputs(text, functions[-1])]
    checks += [_write_check(example) for example in dict.fromkeys(examples)]
    own = tree is not None and _asserts(*_toplevel_statements(tree))
    if not checks and not own:
        return None
    shown = code if own or tree is None else _remove_main_blocks(code, tree)
    return "\n\n".join([shown, _CHECKING, *dict.fromkeys(checks)]) + "\n"


def _find_program(answer: str, tested: bool) -> tuple[str | None, ast.Module | None]:
    """Return an answer's program and its syntax tree (`None` if it does not parse), or `None` twice without a program."""
    blocks = _FENCE.findall(answer)
    code = extract_code(answer)
    tag = next((tag.lower() for tag, block in blocks if block == code), "")
    if blocks and tag not in _PYTHON and not tested:
        return None, None
    tree = parse_code(code)
    if tree is None:  # a syntax error counts against the answer unless the text is prose
        return (code, None) if tested or (blocks and tag and _DEF.search(code)) else (None, None)
    defines = any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)
    return (code, tree) if tested or defines or _asserts(*_toplevel_statements(tree)) else (None, None)


def _remove_main_blocks(code: str, tree: ast.Module) -> str:
    """Remove the blocks under `if __name__ == "__main__"`, which check nothing and may wait for input."""
    lines = code.splitlines()
    for node in tree.body:
        if isinstance(node, ast.If) and "__name__" in _names(node.test):
            assert node.end_lineno
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines)


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def parse_code(code: str) -> ast.Module | None:
    """Parse Python code. Return `None` for any other text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # models write invalid escapes, which cause warnings
            return ast.parse(code)
    except _FAULTS:
        return None


def _runs_alone(tree: ast.Module | None, tested: bool) -> bool:
    """Return whether a program imports only `_MODULES` and, unless `tested`, does not read from the keyboard."""
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""] if not node.level else ["."]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "input" and not tested:
            return False
        else:
            continue
        if any(module.partition(".")[0] not in _MODULES for module in modules):
            return False
    return True


def _toplevel_statements(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]


def _asserts(*nodes: ast.AST) -> bool:
    return any(isinstance(inner, ast.Assert) for node in nodes for inner in ast.walk(node))


def _states(tree: ast.Module | None, names: Functions) -> bool:
    """Return whether code asserts something about the functions and defines none of them."""
    return (
        tree is not None and _asserts(tree) and not names.keys().isdisjoint(_names(tree)) and not _defines(tree, names)
    )


def _defines(tree: ast.Module, names: Functions) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name in names for node in ast.walk(tree))


def _other_blocks(answer: str, code: str) -> list[str]:
    return [block for tag, block in _FENCE.findall(answer) if tag.lower() in _PYTHON and block != code]


def _assert_lines(request: str) -> list[str]:
    return [line.strip().strip("`") for line in request.splitlines() if re.match(r"[\s`\-*]*assert\b", line)]


def _convert_doctests(text: str, names: Functions) -> list[str]:
    """Convert the doctests about the functions to statements that check the results, with the setup that they need."""
    try:
        # A fence becomes an empty line, because it ends the expected output.
        listed = doctest.DocTestParser().get_examples(re.sub(r"(?m)^[ \t]*(?:```.*|\"\"\"|''')[ \t]*$", "", text))
    except ValueError:
        return []
    lines = []
    checks = []
    for example in listed:
        source, want = example.source.strip(), example.want.strip()
        tree = parse_code(source)
        if tree is None or _defines(tree, names):
            return []
        called = not names.keys().isdisjoint(_names(tree))
        check = None
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
            if not any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
                lines.append(source)
        elif example.exc_msg is not None:
            kind = example.exc_msg.partition(":")[0].strip()
            check = f"_check_error_({source!r}, lambda: {source}, {kind!r})"
        elif want and _is_literal(want):
            check = _write_check(_Example(source, want))
        elif want:
            check = f"_check_session_({source!r}, lambda: {source}, {want!r})"
        if check and called and (example.exc_msg is not None or "..." not in want):
            checks.append(check)
            lines.append(check)
    return lines if checks else []


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (*_FAULTS, TypeError):
        return False
    return True


def _write_check(example: _Example) -> str:
    digits = re.findall(r"\.(\d+)", example.want)
    places = max(map(len, digits)) if digits else None
    return f"_check_({example.call!r}, lambda: {example.call}, {example.want}, {places})"


def _find_examples(text: str, names: Functions) -> Iterator[_Example]:
    """Yield the calls of the functions for which the text states the arguments and the result as literals."""
    if not names:
        return
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, names))})\(")
    for line in text.splitlines():
        if line.lstrip().startswith((">>>", "assert", "def ")):
            continue
        for match in pattern.finditer(line):
            rest = line[match.start() :][:_LONGEST]
            call = next((rest[: end + 1] for end, c in enumerate(rest) if c == ")" and _is_call(rest[: end + 1])), None)
            if call is None:
                continue
            after = rest[len(call) :].lstrip("`")
            if line[: match.start()].rstrip().endswith("print("):
                after = after[1:] if after.startswith(")") else ""
            says = re.match(_PATTERNS["says"], after, re.IGNORECASE)
            if says and (want := _leading_literal(after[says.end() :].lstrip("`"))):
                yield _Example(call, want)


def _is_call(text: str) -> bool:
    try:
        node = ast.parse(text, mode="eval").body
    except _FAULTS:
        return False
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    return all(_is_literal(ast.unparse(value)) for value in _arguments(node))


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(word.value for word in call.keywords)]


def _leading_literal(text: str) -> str | None:
    """Return the longest literal at the start of a text, or `None` if the text goes on with an expression."""
    for end in range(min(len(text), _LONGEST), 0, -1):
        part = text[:end]
        ends = not part[-1].isspace() and part[-1] not in ",.;:`"
        if ends and _is_literal(part) and re.match(_PATTERNS["after"], text[end:]):
            return part
    return None


def _parameters(function: ast.FunctionDef) -> tuple[list[str], int, int | None]:
    """Return a function's parameter names, and its minimum and maximum number of arguments (`None`: no maximum)."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    return names, len(names) - len(given.defaults), None if given.vararg else len(names)


def _find_inputs_and_outputs(text: str, function: ast.FunctionDef) -> Iterator[_Example]:
    """Yield the examples of the form `Input: ...`, `Output: ...`, as calls of the function with their results."""
    names, least, most = _parameters(function)
    for given, want in re.findall(_PATTERNS["in_out"], text, re.IGNORECASE):
        call, result = f"{function.name}({given.strip()})", _leading_literal(want.strip())
        if result is None or not _is_call(call):
            continue
        node = ast.parse(call, mode="eval").body
        assert isinstance(node, ast.Call)
        values = [ast.unparse(value) for value in _arguments(node)]
        if len(values) < least or (most is not None and len(values) > most):
            continue
        words = [word.arg for word in node.keywords]
        yield _Example(call if words and set(words) <= set(names) else f"{function.name}({', '.join(values)})", result)


def execute(answers: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Run the programs of the answers that can be checked.

    Args:
        answers: One line per answer: row_id, request, text, tests.
        limits: Limits of the sandbox for each program.

    Returns:
        `VERDICTS` of the answers that were run, in their order.
    """
    programs = {}
    for row_id, request, text, tests in answers.select("row_id", "request", "text", "tests").iter_rows():
        if program := build_program(request or "", text or "", tests):
            programs[row_id] = program
    lines = []
    for row_id, (status, reason, _) in zip(programs, sandbox.run(list(programs.values()), limits), strict=True):
        confined = status != "refused" or not (reason or "").startswith(sandbox.NOT_RUN)
        lines.append((row_id, status if confined else None, reason, reason if confined else None))
    return pl.DataFrame(lines, schema=VERDICTS, orient="row")
