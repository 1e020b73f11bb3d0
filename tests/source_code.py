"""The repository's Python files as data: their paths, syntax trees and functions, and lists of allowed exceptions."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.documents import ROOT

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*packages: str) -> list[Path]:
    """Every Python file below these directories of the repository, sorted."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """The path from the repository's root: ``app/main.py``."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file, read once in a process. Not to be changed."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions_of(tree: ast.AST) -> Iterator[Function]:
    """Functions and methods, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def classes_of(tree: ast.AST) -> Iterator[ast.ClassDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node


def length_of(function: Function) -> int:
    """In lines, from ``def`` to the end of the body."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def check_allowed(found: Mapping[str, str], allowed: Mapping[str, str], *, rule: str) -> None:
    """Fails for what was ``found`` without being ``allowed``, and for what is allowed without being found.

    Both are by name; the values say what was found, and why it is allowed.
    """
    breaches = {name: what for name, what in found.items() if name not in allowed}
    assert not breaches, f"{rule}: {breaches}"
    assert not allowed.keys() - found.keys(), f"no longer needed: {sorted(allowed.keys() - found.keys())}"
