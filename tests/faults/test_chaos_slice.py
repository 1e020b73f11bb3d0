"""A slice of ``make chaos`` with a fixed seed: three replicas as processes under every kind of fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.run import Plan, report, run
from tests.e2e.stage import COVERAGE

PLAN = Plan(minutes=0.75, seed=20260105)


@pytest.mark.chaos
async def test_a_slice_of_chaos_has_no_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 8, 14, 16, 18, 21, 25 and 28 together: C1 to C10 hold, and everything settles within its bound."""
    monkeypatch.delenv(COVERAGE, raising=False)  # ten processes on this machine have enough to do
    outcome = await run(PLAN, tmp_path)
    lines = "\n".join(report(PLAN, outcome))
    assert not outcome.violations, lines
    assert outcome.settled_s is not None, lines
    assert len(outcome.history.ledger) > 20, lines
    assert outcome.faults["kill -9"] > 0, lines
