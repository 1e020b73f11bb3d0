"""How large files, functions and constructors may become; ``python -m tests.structure`` prints what they are.

Each entry of an allow-list has its reason, and fails when it is no longer needed.
"""

import ast
import re

from tests import structure
from tests.source_code import check_allowed, name_of, python_files, tree_of
from tests.structure import MAX_ARGUMENTS, MAX_UNEXPLAINED_FIELDS, Lengths

PACKAGES = ("app", "simulator", "embedded")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 10
MAX_MAP_LINES = 15
LONGER_MAPS = {"app/orders/__init__.py": 40}
"""Maps with a bound of their own: the orders' map has the path of an order and the glossary."""

LONG_FILES: dict[str, str] = {}
"""Files above 300 lines, with the reason."""

LONG_FUNCTIONS: dict[str, str] = {}
"""``file::function`` above 60 lines, with the reason. Routers do not count: they are lists of routes."""

WIDE_CONSTRUCTORS: dict[str, str] = {}
"""``file::Class`` whose ``__init__`` has more than seven arguments, with the reason."""

UNEXPLAINED_FIELDS: dict[str, str] = {
    "app/config.py::Settings": "each setting has its comment in .env.example, which is complete (test_config.py)",
}
"""``file::Class`` of values with more than eight fields, not all of them explained, with the reason."""


def test_files_stay_short() -> None:
    """Above 300 lines a file has more than one subject, or a reason."""
    long = {name: f"{lines} lines" for name, lines in structure.files(*PACKAGES) if lines > MAX_FILE_LINES}
    check_allowed(long, LONG_FILES, rule=f"more than {MAX_FILE_LINES} lines")


def test_functions_stay_short() -> None:
    """Above 60 lines a function has more than one step, or a reason; ``build_router`` is a list of routes."""
    long = {
        name: f"{lines} lines"
        for name, lines in structure.functions(*PACKAGES)
        if lines > MAX_FUNCTION_LINES and not name.endswith(("::build_router", "::build_cli"))
    }
    check_allowed(long, LONG_FUNCTIONS, rule=f"more than {MAX_FUNCTION_LINES} lines")


def test_the_median_function_is_small() -> None:
    """Most functions do one thing in under ten lines."""
    assert Lengths.of(structure.functions("app")).median < MEDIAN_FUNCTION_LINES


def test_constructors_take_few_arguments() -> None:
    """Above seven they take a documented parts object instead."""
    wide = {name: f"{count} arguments" for name, count in structure.wide_constructors("app").items()}
    check_allowed(wide, WIDE_CONSTRUCTORS, rule=f"more than {MAX_ARGUMENTS} arguments")


def test_every_package_has_a_map() -> None:
    """Its ``__init__`` is a docstring of at most fifteen lines that names every module and package in it."""
    found = {}
    for path in python_files("app"):
        if path.name == "__init__.py":
            text = ast.get_docstring(tree_of(path)) or ""
            inside = {
                one.stem for one in path.parent.iterdir() if one.suffix == ".py" or (one / "__init__.py").exists()
            }
            missing = sorted(name for name in inside - {"__init__"} if not re.search(rf"\b{name}\b", text))
            if missing or not 1 <= len(text.splitlines()) <= LONGER_MAPS.get(name_of(path), MAX_MAP_LINES):
                found[name_of(path)] = f"{len(text.splitlines())} lines, without {missing}"
    check_allowed(found, {}, rule=f"no map of at most {MAX_MAP_LINES} lines")


def test_big_values_explain_their_fields() -> None:
    """Above eight fields each has a comment, or its place in the docstring of the class."""
    unexplained = {name: ", ".join(fields) for name, fields in structure.unexplained_fields("app").items()}
    rule = f"more than {MAX_UNEXPLAINED_FIELDS} fields, not all explained"
    check_allowed(unexplained, UNEXPLAINED_FIELDS, rule=rule)


def test_the_migrations_are_one_chain() -> None:
    """Two after the same one would leave two heads, and no database could be brought to both."""
    after: dict[str | None, list[str]] = {}
    for path in python_files("migrations"):
        found = dict(re.findall(r'^(revision|down_revision) = "(\d+)"', path.read_text(encoding="utf-8"), re.MULTILINE))
        if "revision" in found:
            after.setdefault(found.get("down_revision"), []).append(found["revision"])
    forks = {str(before): ", ".join(names) for before, names in after.items() if len(names) > 1}
    check_allowed(forks, {}, rule="more than one migration after the same one")
    assert len(after) > 10
