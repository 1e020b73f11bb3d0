"""Every mutant of the code that must never be wrong, and a sample of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.mutants.mutant import Mutant, made_of
from tests.faults.mutants.python_operators import python_edits

TARGETS = (
    "app/orders",
    "app/kite/wire",
    "app/kite/pace.py",
    "app/kite/governor.py",
    "app/db/leases.py",
    "app/db/ownership.py",
)
"""The order engine, the wire, what keeps requests below the broker's limits, and what makes one process the owner."""

GUARDS = (
    "app/db/leases.py",
    "app/orders/entry/precondition_store.py",
    "app/orders/reconciliation/overdue_store.py",
    "app/orders/risk/doubt_limit_store.py",
    "app/orders/risk/halt_store.py",
    "app/orders/risk/limit_store.py",
    "app/orders/sending/claim_store.py",
    "app/orders/state/cancel_store.py",
    "app/orders/state/replacement_store.py",
)
"""Files with the statements that guard the sending of an order: every clause of theirs can be tried."""

SQL_OPERATORS = frozenset(
    {"clause dropped", "boundary shifted", "assignment removed", "order removed", "order turned around", "lock removed"}
)


def all_mutants(root: Path) -> list[Mutant]:
    """Every mutant of the files below ``root``, by path and place."""
    return [mutant for path in _files(root) for mutant in mutants_of(path, (root / path).read_text("utf-8"))]


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of one file."""
    for place, edit in python_edits(source):
        before, after = made_of(source, edit)
        yield Mutant(path=path, function=place.function, lines=place.lines, edit=edit, before=before, after=after)


def guard_clauses(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Of these, every change of a statement that guards the sending of an order."""
    return [mutant for mutant in mutants if mutant.path in GUARDS and mutant.edit.operator in SQL_OPERATORS]


def sample(mutants: Sequence[Mutant], *, count: int, seed: int) -> list[Mutant]:
    """So many of them in an order of chance; the same seed gives the same ones."""
    return random.Random(seed).sample(mutants, min(count, len(mutants)))


def _files(root: Path) -> list[str]:
    found: list[Path] = []
    for target in TARGETS:
        found += sorted((root / target).rglob("*.py")) if (root / target).is_dir() else [root / target]
    return [path.relative_to(root).as_posix() for path in found]
