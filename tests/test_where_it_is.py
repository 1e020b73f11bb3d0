"""CONTRIBUTING's table from behaviour to code: each symbol exists in the file that the row names."""

import ast
import re

import pytest

from tests.documents import ROOT, read
from tests.source_code import tree_of

ROW = re.compile(r"^\| (?P<question>.+\?) \| `(?P<path>[\w/]+\.py)::(?P<symbol>[\w.]+)` \|$", re.MULTILINE)
ROWS = [(row["question"], row["path"], row["symbol"]) for row in ROW.finditer(read("CONTRIBUTING.md"))]


def symbols_of(tree: ast.Module) -> set[str]:
    """Classes, functions and constants of a module, and ``Class.method``."""
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name):
                found |= {name, *(f"{name}.{inner}" for inner in symbols_of(ast.Module(node.body, [])))}
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


@pytest.mark.parametrize(("path", "symbol"), [(path, symbol) for _, path, symbol in ROWS])
def test_a_symbol_of_the_table_exists_in_its_file(path: str, symbol: str) -> None:
    """A renamed function takes its row with it."""
    assert (ROOT / path).is_file()
    assert symbol in symbols_of(tree_of(ROOT / path))


def test_every_row_of_the_table_is_a_question_of_its_own() -> None:
    """Every line of the table has the form of a row, and no question or symbol stands twice."""
    section = read("CONTRIBUTING.md").split("## Where is it?")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert len(lines) == len(ROWS) >= 30
    assert len({question for question, _, _ in ROWS}) == len({(path, symbol) for _, path, symbol in ROWS}) == len(ROWS)
