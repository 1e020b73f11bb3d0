"""What fails today, by case: the fault, the rule that it breaks, and one of the shortest orders that show it.

The tests look for each of them and fail when it is gone: then its entry goes, and the rule holds for that case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One fault as one case shows it."""

    fault: str
    rule: str  # as in ``checks.Violation``
    schedule: str


FAULTS: Mapping[str, str] = {}

KNOWN: Mapping[str, tuple[Known, ...]] = {}
