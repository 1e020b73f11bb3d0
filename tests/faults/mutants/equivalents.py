"""Mutants that change nothing which anybody could see, each with its reason.

Known by path, function and the changed lines, so that a line may move. One that is no longer a mutant of the tree is
an error (``tests/unit/faults/test_mutants.py``).
"""

from __future__ import annotations

from tests.faults.mutants.mutant import Key

EQUIVALENTS: dict[Key, str] = {}
