"""Digests of the code behind every asset: a reminder to raise an asset's version when its result may have changed.

    python -m infinity_assets_tests.defs.code_digests

An asset is made again only if something that it depends on has changed, and its code counts only through the `version=`
of its declaration. A test compares the digest of the code behind each asset with `code_digests.json` and fails if they
differ. Then decide: if the same inputs can now give other rows, raise the version; if not, leave it. In both cases run
the command above, which writes the file anew, and commit the file: this is the confirmation.

The code behind an asset is its function and everything in this project that the function refers to, directly or through
others: functions, classes, constants, and data files beside them. Comments, docstrings, formatting, and modules that only
show something do not count. Neither do settings, because an asset declares their values.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infinity_assets.defs.registry import Registered, needed_by

FILE = Path(__file__).with_suffix(".json")
_ROOT = Path(__file__).parents[2]
_PACKAGE = "infinity_assets"
_LEFT_OUT = tuple(
    f"{_PACKAGE}.{name}"
    for name in (
        *(f"defs.{name}" for name in ("dataset", "materialize", "page", "registry", "reporting", "resources", "step")),
        *("errors", "locations", "progress", "report", "settings"),
    )
)
"""Modules around an asset that do not decide its rows."""
_SHOWN = {"version", "seconds", "kinds", "group", "settings", "planned", "batched", "invariants"}
"""Arguments of `dataset` that do not decide an asset's rows, or do so through its key."""


@dataclass(frozen=True)
class Module:
    """The top level of a module."""

    name: str
    folder: Path
    statements: dict[str, ast.stmt]
    """The statement that defines a name."""
    imports: dict[str, str]
    """The dotted name behind an imported one."""


def digests() -> dict[str, dict[str, str]]:
    """Return the version and the digest of each asset, by its name without the round."""
    return {
        registered.stem: {"version": registered.version, "digest": digest_of(registered)}
        for registered in needed_by(None)
    }


def digest_of(registered: Registered) -> str:
    """Return the digest of the code behind an asset."""
    function = registered.function
    waiting, code = [(function.__module__, function.__qualname__.partition(".")[0])], dict[tuple[str, str], str]()
    while waiting:
        place = waiting.pop()
        if place in code or place[0].startswith(_LEFT_OUT) or (module := read_module(place[0])) is None:
            continue
        if (statement := module.statements.get(place[1])) is None:
            if place[1] in module.imports:  # re-exported
                waiting.append(split(module.imports[place[1]]))
            continue
        code[place] = ast.dump(statement)
        code |= {
            (place[0], file.name): hashlib.blake2b(file.read_bytes()).hexdigest()
            for file in _data_files(statement, module)
        }
        waiting += references(statement, module)
    return hashlib.blake2b(
        json.dumps(sorted((*place, text) for place, text in code.items())).encode(), digest_size=8
    ).hexdigest()


@cache
def read_module(name: str) -> Module | None:
    """Return a module of this project, without docstrings; None for another one."""
    file = _ROOT / Path(*name.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    if not name.startswith(_PACKAGE) or not file.is_file():
        return None
    tree = _Bare().visit(ast.parse(file.read_text(encoding="utf-8")))
    statements: dict[str, ast.stmt] = {}
    for statement in tree.body:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                statements[statement.name] = statement
            case ast.Assign() | ast.AnnAssign():
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
                statements |= dict.fromkeys(names, statement)
    return Module(name, file.parent, statements, dict(_imports(tree)))


class _Bare(ast.NodeTransformer):
    """Removes docstrings, and the arguments of `dataset` that do not count."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "dataset":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in _SHOWN]
        self.generic_visit(node)
        return node


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)


def references(statement: ast.stmt, module: Module) -> Iterator[tuple[str, str]]:
    """Return the names of this project that a statement refers to, as module and name."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.imports:
            behind = module.imports[node.value.id]
            if imported := read_module(behind):
                yield behind, node.attr
                if node.attr == "__name__":  # the name of a package serves to import every module in it
                    for file in sorted(imported.folder.glob("*.py")):
                        inner = read_module(f"{behind}.{file.stem}")
                        yield from ((inner.name, defined) for defined in inner.statements) if inner else ()
        elif isinstance(node, ast.Name):
            if node.id in module.statements:
                yield module.name, node.id
            elif node.id in module.imports and not read_module(module.imports[node.id]):
                yield split(module.imports[node.id])
            elif node.id == "__path__":  # a registry of the modules in its folder
                for file in sorted(module.folder.glob("[!_]*.py")):
                    if member := read_module(f"{module.name}.{file.stem}"):
                        yield from ((member.name, name) for name in member.statements)


def split(dotted: str) -> tuple[str, str]:
    """Return the module and the name in it of a dotted name."""
    module, _, name = dotted.rpartition(".")
    return module, name


def _data_files(statement: ast.stmt, module: Module) -> Iterator[Path]:
    for node in ast.walk(statement):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "." in node.value
            and "/" not in node.value
        ):
            file = module.folder / node.value
            if len(node.value) < 50 and file.suffix not in ("", ".py") and file.is_file():
                yield file


if __name__ == "__main__":
    FILE.write_text(json.dumps(digests(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{FILE.relative_to(_ROOT)} is up to date")
