"""Everything in app/ is used by app/: a function, class, constant, method or field for tests only is dead code.

Top-level names are found by the imports that use them; methods and fields by their name alone, so one that shares its
name with a used one is not noticed. Each allow-list entry has its reason, and fails when it is no longer needed.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.source_code import check_allowed, classes_of, name_of, python_files, tree_of

A_COLUMN = "a column of the stored task, which SQL compares"
STEPS = "the fault tests take the sender's steps one at a time"
ONLY_SEEN_FROM_OUTSIDE = "the feed's own count of what the socket received, by which tests see that a message arrived"
READ_ELSEWHERE = {
    "app/webhooks/checked_connection.py::CheckedConnection.connect_unix_socket": "httpcore's interface has it",
    "app/broker/port.py::FeedState.notes": ONLY_SEEN_FROM_OUTSIDE,
    "app/broker/port.py::FeedState.packets": ONLY_SEEN_FROM_OUTSIDE,
    "app/orders/engine/account_loops.py::AccountLoops.claims": STEPS,
    "app/orders/engine/account_loops.py::AccountLoops.transmission": STEPS,
    "app/orders/state/counters.py::ReadCounters.late_orders": "a fault test counts with it, as alarms are unique",
    "app/orders/state/model.py::Task.claimed_until": A_COLUMN,
    "app/orders/state/model.py::Task.replaces_filled": A_COLUMN,
    "app/commands/serve.py::_Server.capture_signals": "uvicorn calls it",
    "app/config.py::Settings.settings_customise_sources": "pydantic-settings calls it",
    "app/ops/logging.py::_ToLoguru.emit": "the logging module calls it",
}
FOUND_BY_NAME = ("build_router",)
"""Functions that ``app.main`` finds in each module of its list."""


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def uses_in(path: Path, modules: set[str]) -> Iterator[tuple[str, str]]:
    """(module, name) of each top-level name that a file uses, its own ones included."""
    tree = tree_of(path)
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in modules:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                else:
                    yield node.module, alias.name
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                yield module_of(path), name
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in aliases:
                yield aliases[owner], name


def names_defined_in(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def attributes_read_in(tree: ast.Module) -> Iterator[str]:
    """Attributes, keywords of patterns, and texts, since ``getattr`` takes the name as one."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()) | ast.Constant(value=str(name)):
                yield name
            case ast.MatchClass(kwd_attrs=names):
                yield from names


def matched_by_position_in(tree: ast.Module) -> Iterator[str]:
    """Classes whose fields a ``case`` reads by their position."""
    for node in ast.walk(tree):
        match node:
            case ast.MatchClass(cls=ast.Name(id=name), patterns=[_, *_]):
                yield name


def test_every_top_level_name_is_used() -> None:
    """By its own module or by another one of the service."""
    paths = python_files("app")
    modules = {module_of(path) for path in paths}
    used = {use for path in paths for use in uses_in(path, modules)}
    unused = {
        f"{name_of(path)}::{name}": "used by no module of app"
        for path in paths
        for name in names_defined_in(tree_of(path))
        if (module_of(path), name) not in used and name not in FOUND_BY_NAME and not name.startswith("__")
    }
    check_allowed(unused, {}, rule="unused")


def test_every_method_and_field_is_read() -> None:
    """Methods of classes, and fields of dataclasses; Protocols only repeat what others define."""
    paths = python_files("app")
    read = {name for path in paths for name in attributes_read_in(tree_of(path))}
    matched = {name for path in paths for name in matched_by_position_in(tree_of(path))}
    unread: dict[str, str] = defaultdict(str)
    for path in paths:
        for kind in classes_of(tree_of(path)):
            for name in _members(kind) if kind.name not in matched else ():
                if name not in read and not name.startswith("__"):
                    unread[f"{name_of(path)}::{kind.name}.{name}"] = "read nowhere in app"
    check_allowed(unread, READ_ELSEWHERE, rule="unused")


def _members(kind: ast.ClassDef) -> Iterator[str]:
    if any("Protocol" in ast.unparse(base) for base in kind.bases):
        return
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list)
    for node in kind.body:
        match node:
            case (
                ast.FunctionDef(decorator_list=decorators, name=name)
                | ast.AsyncFunctionDef(decorator_list=decorators, name=name)
            ):
                if not any("validator" in ast.unparse(decorator) for decorator in decorators):
                    yield name
            case ast.AnnAssign(target=ast.Name(id=name)) if is_dataclass:
                yield name
