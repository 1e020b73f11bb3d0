"""Changes of Python code: comparisons, boundaries, conditions, constants, arithmetic, removed statements.

What people read (messages, log lines, docstrings) and what only type checkers read is left alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.faults.mutants.mutant import Edit, line_starts
from tests.faults.mutants.sql_clauses import LOOKS_LIKE_SQL, sql_edits

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TEXTS = frozenset({"message", "msg", "reason", "detail", "help", "description", "title", "name", "strict"})
"""Arguments that only readers see; and ``zip(strict=...)``, which checks this code and not its input."""
_LOGS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "bind"})
_NO_CODE = frozenset({"TypeVar", "NewType", "Literal", "cast", "getLogger"})
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an edit is: the qualified name of its function, and the lines of its statement."""

    function: str
    lines: tuple[int, int]


@dataclass(slots=True)
class _Finder(ast.NodeVisitor):
    """Collects the edits of one module."""

    source: str
    starts: list[int]
    found: list[tuple[Place, Edit]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lines: tuple[int, int] = (1, 1)
    within_function: bool = False

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            self.lines = _lines_of(node)
        method = getattr(self, f"visit_{type(node).__name__}", None)
        if method is not None:
            method(node)
        else:
            self.generic_visit(node)

    # --- what is left alone

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._sql(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node.name, node.body, in_function=False)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: _Function) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self._within(node.name, node.body, in_function=True)

    def _within(self, name: str, body: list[ast.stmt], *, in_function: bool) -> None:
        self.names.append(name)
        before, self.within_function = self.within_function, in_function
        for statement in body:
            self.visit(statement)
        self.names.pop()
        self.within_function = before

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and ast.unparse(node.annotation) != "TypeAlias":
            self._removal(node, [node.target])
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass", "statement removed")

    def visit_Import(self, node: ast.Import) -> None: ...

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None: ...

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in _TEXTS:
            self.visit(node.value)

    # --- statements

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if not isinstance(value, ast.Call) or _is_log(value):
            return
        self._replace(node, "pass", "statement removed")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._removal(node, node.targets)
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass", "statement removed")
        if type(node.op) in _ARITHMETIC:
            self._variant(node, lambda new: setattr(new, "op", _ARITHMETIC[type(node.op)]()), "arithmetic")
        self.visit(node.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "pass", "statement removed")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "pass", "statement removed")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._test(node.test)
        for body in (node.body, node.orelse):
            if body and isinstance(body[-1], ast.Return):
                self.lines = _lines_of(body[-1])
                self._replace(body[-1], "pass", "statement removed")
        self.lines = _lines_of(node)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if isinstance(node.test, ast.Constant):
            for statement in node.body:
                self.visit(statement)
            return
        self._test(node.test)
        self.generic_visit(node)

    def _removal(self, node: ast.stmt, targets: list[ast.expr]) -> None:
        """An attribute or an item that is not set. A name that is not set would be noticed by anything."""
        if self.names[-1:] != ["__init__"] and all(isinstance(one, (ast.Attribute, ast.Subscript)) for one in targets):
            self._replace(node, "pass", "statement removed")

    # --- expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._test(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._replace(condition, "True", "condition dropped")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for n, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                self._variant(node, lambda new, n=n, other=other: new.ops.__setitem__(n, other()), "comparison")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        self._variant(node, lambda new: setattr(new, "op", other()), "and, or")
        for n in range(len(node.values)):
            self._variant(node, lambda new, n=n: new.values.pop(n), "condition dropped")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, f"({ast.unparse(node.operand)})", "negation")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = isinstance(node.left, (ast.JoinedStr, ast.Constant)) and not _is_number(node.left)
        if type(node.op) in _ARITHMETIC and not text:
            self._variant(node, lambda new: setattr(new, "op", _ARITHMETIC[type(node.op)]()), "arithmetic")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _is_log(node) or (isinstance(node.func, ast.Name) and node.func.id in _NO_CODE):
            return
        if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            self._replace(node.func, _CALLS[node.func.id], "call")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value), "constant")
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1), "constant")
        elif isinstance(node.value, float):
            self._replace(node, str(node.value * 2 or 1.0), "constant")
        elif isinstance(node.value, str):
            self._sql(node)

    def _test(self, test: ast.expr) -> None:
        """A condition that is a value or a call is turned around; comparisons have changes of their own."""
        if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant)):
            self._replace(test, f"not ({ast.unparse(test)})", "negation")

    # --- edits

    def _sql(self, node: ast.expr) -> None:
        start, end = self._span(node)
        literal = self.source.encode()[start:end].decode()
        if not LOOKS_LIKE_SQL.search(literal):
            return
        for edit in sql_edits(literal):
            moved = Edit(start=start + edit.start, end=start + edit.end, new=edit.new, operator=edit.operator)
            self.found.append((self._place(), moved))

    def _variant(self, node: ast.AST, change: object, operator: str) -> None:
        new = copy.deepcopy(node)
        assert callable(change)
        change(new)
        if isinstance(new, ast.BoolOp) and len(new.values) == 1:
            new = new.values[0]
        text = ast.unparse(new)
        self._replace(node, text if isinstance(node, ast.stmt) else f"({text})", operator)

    def _replace(self, node: ast.AST, new: str, operator: str) -> None:
        start, end = self._span(node)
        self.found.append((self._place(), Edit(start=start, end=end, new=new, operator=operator)))

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, (ast.expr, ast.stmt))
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.lineno] + node.col_offset, self.starts[node.end_lineno] + node.end_col_offset

    def _place(self) -> Place:
        function = ".".join(self.names) if self.within_function or self.names else ""
        return Place(function=function, lines=self.lines)


def python_edits(source: str) -> Iterator[tuple[Place, Edit]]:
    """Every change of a module's source, with the place of each."""
    finder = _Finder(source, line_starts(source))
    finder.visit(ast.parse(source))
    yield from finder.found


def _lines_of(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement; of a compound one those of its head."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno or node.lineno


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _is_log(call: ast.Call) -> bool:
    """Whether a call writes a log line."""
    text = ast.unparse(call.func)
    is_log = text.startswith(("logger.", "log.")) or "_log()" in text or "logger.bind" in text
    return is_log and isinstance(call.func, ast.Attribute) and call.func.attr in _LOGS
