"""Every setting is read: one that only its own definition and its validators know would be a promise without effect."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.documents import ROOT
from tests.source_code import classes_of, functions_of, name_of, python_files, tree_of

VALIDATORS = ("field_validator", "model_validator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A class of settings, and the last part of the expressions by which its values are read."""

    path: str
    kind: str
    owners: frozenset[str]


OF_SETTINGS = frozenset({"settings", "_settings"})
DECLARED = (
    Declared(path="app/config.py", kind="Settings", owners=OF_SETTINGS),
    Declared(path="simulator/settings.py", kind="SimulatorSettings", owners=OF_SETTINGS),
    Declared(path="simulator/settings.py", kind="RateLimits", owners=frozenset({"limits", "_limits"})),
    Declared(path="simulator/settings.py", kind="ReplaySettings", owners=OF_SETTINGS | {"replay"}),
    Declared(path="embedded/settings.py", kind="RunSettings", owners=OF_SETTINGS),
)


def _fields(declared: Declared) -> list[str]:
    (kind,) = [one for one in classes_of(tree_of(ROOT / declared.path)) if one.name == declared.kind]
    return [one.target.id for one in kind.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]


def _reads(tree: ast.AST, owners: frozenset[str]) -> Iterator[str]:
    """Attributes that are read from an expression whose last part is one of ``owners``."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name, ctx=ast.Load()) if (
                owner in owners
            ):
                yield name


def _is_check(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    decorators = " ".join(ast.unparse(one) for one in function.decorator_list)
    return function.name == "__post_init__" or any(name in decorators for name in VALIDATORS)


def settings_read(declared: Declared) -> set[str]:
    """What the package reads of these settings.

    In the defining file count functions on settings, and the properties that are read elsewhere; checks do not.
    """
    package = declared.path.split("/")[0]
    read = {
        name
        for path in python_files(package)
        if name_of(path) != declared.path
        for name in _reads(tree_of(path), declared.owners)
    }
    for function in functions_of(tree_of(ROOT / declared.path)):
        is_property = any(ast.unparse(one) == "property" for one in function.decorator_list)
        if not _is_check(function) and (not is_property or function.name in read):
            read |= set(_reads(function, declared.owners | {"self"}))
    return read


@pytest.mark.parametrize("declared", DECLARED, ids=lambda one: one.kind)
def test_every_setting_has_a_reader(declared: Declared) -> None:
    """A value that an operator sets must change something."""
    fields = _fields(declared)
    assert fields
    assert set(fields) - settings_read(declared) == set()
