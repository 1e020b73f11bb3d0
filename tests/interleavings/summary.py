"""The counts of explored orders, at the end of a run of the tests, whichever worker has run them."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.interleavings.explorer import Outcome

PROPERTY = "interleavings"
Count = tuple[str, int, bool, int]
"""Pair, runs, whether these are all orders, seed."""


def record(request: pytest.FixtureRequest, outcome: Outcome, *, seed: int) -> None:
    """Keep the counts of one test."""
    count: Count = (outcome.case.pair, outcome.runs, outcome.complete, seed)
    request.node.user_properties.append((PROPERTY, count))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a pair."""
    by_pair: dict[str, list[Count]] = defaultdict(list)
    for finished in terminalreporter.stats.values():
        for report in finished:
            if getattr(report, "when", "") == "call":
                for name, count in report.user_properties:
                    if name == PROPERTY:
                        by_pair[count[0]].append(tuple(count))
    if not by_pair:
        return
    counts = [count for found in by_pair.values() for count in found]
    seeds = ", ".join(sorted({str(count[3]) for count in counts}))
    terminalreporter.section("interleavings")
    for pair, found in sorted(by_pair.items()):
        complete = sum(count[2] for count in found)
        runs = sum(count[1] for count in found)
        terminalreporter.line(f"{pair:20} {runs:6} orders on {len(found):2} subjects, {complete} of them in all orders")
    total = sum(count[1] for count in counts)
    terminalreporter.line(f"{total} orders of {len(by_pair)} pairs on {len(counts)} cases, seed {seeds}")
