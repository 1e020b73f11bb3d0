"""How large the service's code is: ``python -m tests.structure`` prints it, ``tests/test_structure.py`` bounds it.

Lengths are in lines. A wide constructor has more than seven arguments: such a class takes a documented parts object
instead, or is on the test's list with a reason.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.source_code import classes_of, functions_of, length_of, name_of, python_files, tree_of

MAX_ARGUMENTS = 7
MAX_UNEXPLAINED_FIELDS = 8
SELF_EXPLANATORY = frozenset(
    {
        # Kite's own names: https://kite.trade/docs/connect/v3/orders/ and .../market-quotes/
        "auction_number", "autoslice", "average_price", "cancelled_quantity", "depth", "disclosed_quantity", "exchange",
        "exchange_order_id", "exchange_timestamp", "exchange_token", "expiry", "filled_quantity", "iceberg_legs",
        "iceberg_quantity", "instrument_token", "instrument_type", "last_price", "last_trade_time",
        "last_traded_quantity", "lot_size", "market_protection", "name", "ohlc", "oi_day_high", "oi_day_low",
        "order_id", "order_type", "price", "product", "quantity", "segment", "strike", "tick_size", "tradingsymbol",
        "transaction_type", "trigger_price", "validity", "validity_ttl", "variety",
        # ours, the same everywhere
        "account_id",
    }
)  # fmt: skip
"""Fields that need no explanation of their own in a value class."""
VALUE_BASES = ("BaseModel", "BaseSettings", "Struct", "NamedTuple")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lines of files or of functions. ``longest`` is ``(name, lines)``."""

    count: int
    median: int
    p90: int
    longest: tuple[str, int]

    @classmethod
    def of(cls, lines_by_name: Sequence[tuple[str, int]]) -> "Lengths":
        lengths = sorted(lines for _, lines in lines_by_name)
        return cls(
            count=len(lengths),
            median=lengths[len(lengths) // 2],
            p90=lengths[len(lengths) * 9 // 10],
            longest=max(lines_by_name, key=lambda one: one[1]),
        )


def files(*packages: str) -> list[tuple[str, int]]:
    """(path, lines) of each file."""
    return [(name_of(path), len(path.read_text(encoding="utf-8").splitlines())) for path in python_files(*packages)]


def functions(*packages: str) -> list[tuple[str, int]]:
    """(``path::name``, lines) of each function and method."""
    return [
        (f"{name_of(path)}::{function.name}", length_of(function))
        for path in python_files(*packages)
        for function in functions_of(tree_of(path))
    ]


def wide_constructors(*packages: str) -> dict[str, int]:
    """Arguments of each ``__init__`` that has more than seven, by ``path::Class``."""
    found = {}
    for path in python_files(*packages):
        for kind in classes_of(tree_of(path)):
            for method in kind.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    arguments = len(method.args.posonlyargs + method.args.args + method.args.kwonlyargs) - 1
                    if arguments > MAX_ARGUMENTS:
                        found[f"{name_of(path)}::{kind.name}"] = arguments
    return found


def unexplained_fields(*packages: str) -> dict[str, list[str]]:
    """Fields without an explanation, of value classes with more than eight fields, by ``path::Class``.

    A field is explained by a comment on its line or right above, by a text below it, by ``description=``, or by its
    name in backticks in the docstring of its class. Kite's own names need no explanation.
    """
    found = {}
    for path in python_files(*packages):
        for kind in classes_of(tree_of(path)):
            fields = _fields(kind) if _is_value_class(kind) else []
            missing = [
                name
                for name, node in fields
                if name not in SELF_EXPLANATORY and not _is_explained(name, node, kind, path)
            ]
            if len(fields) > MAX_UNEXPLAINED_FIELDS and missing:
                found[f"{name_of(path)}::{kind.name}"] = missing
    return found


def _is_value_class(kind: ast.ClassDef) -> bool:
    generated = any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list)
    return generated or any(ast.unparse(base).split(".")[-1] in VALUE_BASES for base in kind.bases)


def _fields(kind: ast.ClassDef) -> list[tuple[str, ast.AnnAssign]]:
    return [
        (node.target.id, node)
        for node in kind.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def _is_explained(name: str, node: ast.AnnAssign, kind: ast.ClassDef, path: Path) -> bool:
    lines = path.read_text(encoding="utf-8").splitlines()
    own = lines[node.lineno - 1 : node.end_lineno]
    after = kind.body[kind.body.index(node) + 1 :][:1]
    has_text_below = bool(after) and isinstance(after[0], ast.Expr) and isinstance(after[0].value, ast.Constant)
    return (
        any("  # " in line or "description=" in line for line in own)
        or lines[node.lineno - 2].lstrip().startswith("#")
        or has_text_below
        or re.search(rf"`{name}`", ast.get_docstring(kind) or "") is not None
    )


def report(package: str) -> Iterator[str]:
    """The lines that the command prints."""
    for what, lines in (("files", files(package)), ("functions", functions(package))):
        lengths = Lengths.of(lines)
        name, longest = lengths.longest
        yield (
            f"{package}: {lengths.count} {what}; lines: median {lengths.median}, p90 {lengths.p90}, "
            f"longest {longest} ({name})"
        )
    wide = wide_constructors(package)
    yield f"{package}: {len(wide)} constructors with more than {MAX_ARGUMENTS} arguments"
    yield from (f"  {name} ({arguments})" for name, arguments in wide.items())
    unexplained = unexplained_fields(package)
    yield (
        f"{package}: {len(unexplained)} value classes with more than {MAX_UNEXPLAINED_FIELDS} fields, some unexplained"
    )
    yield from (f"  {name} ({', '.join(fields)})" for name, fields in unexplained.items())


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in report("app"))
