"""Changes of an SQL statement: each condition dropped, each boundary shifted, each assignment, order and lock removed.

No SQL parser: statements are read as tokens and parentheses, which is enough for the few forms in which ours are
written. A change that is no valid SQL is noticed by the first test that runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests.faults.mutants.mutant import Edit

LOOKS_LIKE_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT INTO|DELETE FROM|EXISTS|WHERE|FOR UPDATE|AND|OR)\b")
_TOKEN = re.compile(
    r"--[^\n]*|%\(\w+\)s|%s|\{[^{}]*\}|'[^']*'|<=|>=|<>|=>|::|\|\||->>|->|[=<>(),;]|[\w.]+|\"+|[^\s]", re.ASCII
)
_ENDS = frozenset(
    {"GROUP", "ORDER", "LIMIT", "RETURNING", "FOR", "FROM", "SET", "THEN", "ELSE", "END", "UNION", "VALUES", "JOIN"}
    | {"LEFT", "INNER", "CROSS", "WHERE", "ON", "DO", "HAVING", "USING", "WHEN", "WINDOW", ",", ")", ";", '"', '"""'}
)
_BEGINS = frozenset({"WHERE", "ON", "HAVING", "WHEN"})
_STATEMENTS = frozenset({"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"})
_CLOCKS = frozenset({"clock_timestamp", "now"})
_SHIFTED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


_Span: TypeAlias = Sequence[_Token]


def sql_edits(literal: str) -> Iterator[Edit]:
    """Every change of a string literal with SQL in it; offsets are in bytes from the literal's begin."""
    tokens = [
        _Token(found[0], *_in_bytes(literal, found.start(), found.end()))
        for found in _TOKEN.finditer(literal)
        if not found[0].startswith("--")
    ]
    seen = set()
    for edit in _all_edits(tokens):
        old = literal.encode()[edit.start : edit.end].decode()
        # A piece that reaches over two literals that Python joins cannot be replaced as one.
        if '"' not in old and old != edit.new and (edit.start, edit.end, edit.new) not in seen:
            seen.add((edit.start, edit.end, edit.new))
            yield edit


def _in_bytes(text: str, start: int, end: int) -> tuple[int, int]:
    return len(text[:start].encode()), len(text[:end].encode())


def _all_edits(tokens: _Span) -> Iterator[Edit]:
    quotes = next((n for n, token in enumerate(tokens) if token.text.endswith('"')), -1)
    first = tokens[quotes + 1 : quotes + 2]
    if first and first[0].text not in _STATEMENTS:  # a condition that other statements include
        yield from _conditions(_until_end(tokens, quotes + 1))
    for n, token in enumerate(tokens):
        following = tokens[n + 1].text if n + 1 < len(tokens) else ""
        if (token.text in _BEGINS and following != "CONFLICT") or (
            token.text in {"THEN", "ELSE"} and following in {"NOT", "EXISTS"}
        ):
            yield from _conditions(_until_end(tokens, n + 1))
        elif token.text == "SET":
            yield from _assignments(tokens, n + 1)
        elif token.text == "BY" and tokens[n - 1].text == "ORDER":
            yield from _orders(tokens, n + 1)
        elif token.text == "FOR" and following in {"UPDATE", "SHARE"}:
            end = tokens[n + 3] if [one.text for one in tokens[n + 2 : n + 4]] == ["SKIP", "LOCKED"] else tokens[n + 1]
            yield Edit(start=token.start, end=end.end, new="", operator="lock removed")
        elif token.text in _SHIFTED and not _is_moment(tokens, n):
            yield Edit(start=token.start, end=token.end, new=_SHIFTED[token.text], operator="boundary shifted")


def _begins_condition(word: str, following: str) -> bool:
    return (word in _BEGINS and following != "CONFLICT") or (
        word in {"THEN", "ELSE"} and following in {"NOT", "EXISTS"}
    )


def _is_moment(tokens: _Span, at: int) -> bool:
    """Whether a clock is compared with: the one moment in which both boundaries differ is never met."""
    return any(token.text in _CLOCKS for token in tokens[max(0, at - 3) : at + 3])


def _until_end(tokens: _Span, begin: int, ends: frozenset[str] = _ENDS) -> _Span:
    """The tokens from ``begin`` to the end of the clause, at the same depth of parentheses."""
    depth = 0
    for n in range(begin, len(tokens)):
        text = tokens[n].text
        is_distinct_from = text == "FROM" and tokens[n - 1].text == "DISTINCT"
        if depth == 0 and text in ends and not is_distinct_from and not (text == "," and "," not in ends):
            return tokens[begin:n]
        depth += {"(": 1, ")": -1, "CASE": 1, "END": -1}.get(text, 0)
    return tokens[begin:]


def _split(span: _Span, word: str) -> list[_Span]:
    """The parts between ``word`` at the outer level. The AND of a BETWEEN is no connective."""
    parts, depth, begin, between = [], 0, 0, False
    for n, token in enumerate(span):
        depth += {"(": 1, ")": -1, "CASE": 1, "END": -1}.get(token.text, 0)
        if depth == 0 and token.text == "BETWEEN":
            between = True
        elif depth == 0 and token.text == "AND" and between:
            between = False
        elif depth == 0 and token.text == word:
            parts.append(span[begin:n])
            begin = n + 1
    return [part for part in [*parts, span[begin:]] if part]


def _conditions(span: _Span) -> Iterator[Edit]:
    """Each condition of a boolean expression dropped: one of several that must hold is true, of alternatives false."""
    alternatives = _split(span, "OR")
    if len(alternatives) > 1:
        for part in alternatives:
            yield _dropped(part, "false")
            yield from _parts(part, whole=False)
    else:
        yield from _parts(span, whole=True)


def _parts(span: _Span, *, whole: bool) -> Iterator[Edit]:
    """Each of several conditions that must all hold; one that stands alone is dropped only where it is the ``whole``.

    (An alternative that is true makes all of them true, which is the drop of all.)
    """
    parts = _split(span, "AND")
    for part in parts:
        is_case = part[0].text == "CASE" and part[-1].text == "END"  # its branches are changed one by one
        if not is_case and (whole or len(parts) > 1):
            yield _dropped(part, "true")
        inner = part[1:] if part[0].text == "NOT" else part
        # parentheses around a condition, but neither a subquery nor a row of values
        within = inner[1:-1] if inner[:1] and inner[0].text == "(" and inner[-1].text == ")" else []
        if within and len(_until_end(inner, 1)) == len(within) and within[0].text not in _STATEMENTS:
            yield from _in_parentheses(within)


def _in_parentheses(span: _Span) -> Iterator[Edit]:
    """The same within parentheses, without the drop of all, which is the drop of the parentheses."""
    if len(_split(span, "OR")) > 1 or len(_split(span, "AND")) > 1:
        yield from _conditions(span)


def _dropped(part: _Span, value: str) -> Edit:
    # Each unnamed parameter must stay, or the statement has one too few.
    kept = [token for token in part if token.text == "%s"]
    text = f"({' OR '.join([value, *('%s::text IS NULL' for _ in kept)])})" if kept else value
    if kept and value == "true":
        text = f"(true OR {' OR '.join('%s::text IS NULL' for _ in kept)})"
    return Edit(start=part[0].start, end=part[-1].end, new=text, operator="clause dropped")


def _assignments(tokens: _Span, begin: int) -> Iterator[Edit]:
    items = _split(_until_end(tokens, begin, _ENDS - {","}), ",")
    for n, item in enumerate(items):
        if len(items) < 2 or any(token.text == "%s" for token in item):
            continue
        start, end = (item[0].start, items[n + 1][0].start) if n == 0 else (items[n - 1][-1].end, item[-1].end)
        yield Edit(start=start, end=end, new="", operator="assignment removed")


def _orders(tokens: _Span, begin: int) -> Iterator[Edit]:
    for item in _split(_until_end(tokens, begin, _ENDS - {","}), ","):
        if item[-1].text == "DESC":
            yield Edit(start=item[-2].end, end=item[-1].end, new="", operator="order turned around")
        yield Edit(start=item[0].start, end=item[-1].end, new="NULL", operator="order removed")
