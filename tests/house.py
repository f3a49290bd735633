"""Reads the package's source as syntax trees, for the tests that hold the house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "headstart"


@dataclass(frozen=True)
class Module:
    """One source file of the package: its dotted name, its path and its tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder or file right below the package: "engine", "api"; "" for `__init__`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""


def parse(name: str, source: str) -> Module:
    """A module from source, for planted cases."""
    return Module(name, PACKAGE / (name.replace(".", "/") + ".py"), ast.parse(source))


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package, in the order of their names."""
    return tuple(
        Module(_name(path), path, ast.parse(path.read_text("utf-8")))
        for path in sorted(PACKAGE.rglob("*.py"))
    )


@cache
def names() -> frozenset[str]:
    """Dotted names of all modules of the package."""
    return frozenset(module.name for module in modules())


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import of ours, in functions and TYPE_CHECKING too.

    `from headstart.core import plan` is an import of `headstart.core.plan`; `from headstart import X`
    is one of `headstart` itself where X is no module. A constant handed to `import_module` counts.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            inner = [f"{base}.{alias.name}" for alias in node.names]
            found = [name if name in names() else base for name in inner]
        elif isinstance(node, ast.Call) and called(node).endswith("import_module"):
            found = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        else:
            continue
        for name in dict.fromkeys(found):
            if name == "headstart" or str(name).startswith("headstart."):
                yield node.lineno, name


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.path.name == "__init__.py"
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + (1 if package else 0)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def called(node: ast.Call) -> str:
    """What a call calls, as written: "torch.load"."""
    return ast.unparse(node.func)


def calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value of a keyword argument, or None."""
    return next((k.value for k in call.keywords if k.arg == name), None)


def strings(module: Module) -> Iterator[ast.Constant]:
    """All string constants but docstrings."""
    prose = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose.add(id(node.value))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def functions(module: Module) -> Iterator[tuple[str, int, int]]:
    """(name, line, lines) of every function."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1
