"""Every error code that clients are promised stands in a test: a code that no test names may change unnoticed."""

import ast
import re

from tests.source_code import check_allowed, name_of, python_files, tree_of

CODE = re.compile(r"[A-Z][A-Z]+(_[A-Z]+)+\Z")
UNNAMED = {
    "BAD_SETTING": "the default of an error that ends the start: the operator reads its message",
    "START_FAILED": "the same",
    "BROKER_ERROR": "the default of a class that only its subclasses, with codes of their own, are raised of",
}
"""Codes that no client ever gets."""


def test_each_error_code_is_named_in_a_test() -> None:
    """As a whole word, outside of this file."""
    named = {
        word
        for path in python_files("tests")
        if path.name != "test_error_codes.py"
        for word in re.findall(r"[A-Z][A-Z_]+", path.read_text(encoding="utf-8"))
    }
    unnamed = {code: where for code, where in codes().items() if code not in named}
    check_allowed(unnamed, UNNAMED, rule="no test names the code")


def codes() -> dict[str, str]:
    """Each code, with a file that gives it: what stands after ``code=``, and defaults of error classes."""
    found: dict[str, str] = {}
    for path in python_files("app"):
        for node in ast.walk(tree_of(path)):
            is_code = isinstance(node, ast.keyword) and node.arg == "code"
            is_default = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("default_code")
            if (isinstance(node, ast.keyword) and is_code) or (isinstance(node, ast.Assign) and is_default):
                texts = [str(one.value) for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
                found.update({text: name_of(path) for text in texts if CODE.match(text)})
    return found
