"""Log lines of the order path carry the account as a field and say the same words each time.

So an operator finds everything about one account with ``account_id=primary``, and one kind of line by its text.
"""

import ast
from collections.abc import Iterator

from tests.source_code import Function, check_allowed, functions_of, name_of, python_files, tree_of
from tests.test_words import LOG_METHODS

WITHOUT_ACCOUNT = {
    "app/orders/engine/activity_check.py::run": "one query for all accounts of the process",
    "app/orders/recovery/loss_check.py::run": "the database is that of all accounts",
    "app/orders/recovery/loss_check.py::_read_unread": "the same",
    "app/orders/recovery/loss_check.py::_remember": "the same",
}
"""``path::function`` of lines that are not about one account, with the reason."""


def log_calls(function: Function) -> Iterator[ast.Call]:
    """Each call that writes a line, on the logger itself or on a name that ``logger.bind(...)`` was assigned to."""
    loggers = {"logger", *(name for name, value in _assigned(function) if _is_bind(value))}
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr=method, value=owner)) if method in LOG_METHODS:
                if _root_of(owner) in loggers:
                    yield node


def fields_of(call: ast.Call, function: Function) -> set[str]:
    """The names that the line is bound to: keywords of ``bind``, and keys of the dictionaries that it unpacks."""
    assigned = dict(_assigned(function))
    found: set[str] = set()
    bound_before = assigned.get(_root_of(call.func))
    for node in (*ast.walk(call.func), *(ast.walk(bound_before) if bound_before else ())):
        if _is_bind(node) and isinstance(node, ast.Call):
            for keyword in node.keywords:
                found |= {keyword.arg} if keyword.arg else _keys(keyword.value, assigned)
    return found


def _root_of(expression: ast.expr) -> str:
    """The name with which a chain of attributes and calls begins: ``log`` of ``log.bind(a=1).info``."""
    while isinstance(expression, ast.Call | ast.Attribute):
        expression = expression.func if isinstance(expression, ast.Call) else expression.value
    return expression.id if isinstance(expression, ast.Name) else ""


def _keys(value: ast.expr, assigned: dict[str, ast.expr]) -> set[str]:
    if isinstance(value, ast.Name):
        value = assigned.get(value.id, value)
    keys = value.keys if isinstance(value, ast.Dict) else []
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def _assigned(function: Function) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _is_bind(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind"


def lines_in(*packages: str) -> Iterator[tuple[str, ast.Call, Function]]:
    """``path::function`` of each log line, with its call and its function."""
    for path in python_files(*packages):
        for function in functions_of(tree_of(path)):
            for call in log_calls(function):
                yield f"{name_of(path)}::{function.name}", call, function


def test_log_lines_of_the_order_path_name_their_account() -> None:
    """A line without ``account_id`` cannot be found when an account's operator asks what happened."""
    missing = {
        name: ast.unparse(call)
        for name, call, function in lines_in("app/orders")
        if "account_id" not in fields_of(call, function)
    }
    check_allowed(missing, WITHOUT_ACCOUNT, rule="a log line without account_id")


def test_log_texts_of_the_order_path_are_constant() -> None:
    """Values are fields, not parts of the sentence: the text is what an operator searches for."""
    varying = {
        name: ast.unparse(call)
        for name, call, _ in lines_in("app/orders")
        if not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and "{" not in str(call.args[0].value))
    }
    check_allowed(varying, {}, rule="a log text with values in it")


def test_bound_fields_are_found_in_every_form() -> None:
    """Keywords, an unpacked dictionary, and a logger that was bound before; other objects' methods are no log lines."""
    source = """
def f():
    fields = {"account_id": 1}
    log = logger.bind(task_id=2)
    logger.bind(**fields, action="send").warning("a")
    log.info("b")
    log.bind(reason=3).info("b")
    logger.error("c")
    other.error("d")
"""
    function = next(functions_of(ast.parse(source)))
    found = [sorted(fields_of(call, function)) for call in log_calls(function)]
    assert sorted(found) == [[], ["account_id", "action"], ["reason", "task_id"], ["task_id"]]
