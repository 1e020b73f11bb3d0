"""A slice of ``make chaos`` with a fixed seed: three replicas as processes under every kind of fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from chaos.stack import environment_without_coverage
from tests.e2e.environment import ROOT

MINUTES = float(os.environ.get("CHAOS_MINUTES", "3" if os.environ.get("CI") else "1"))
START_AND_SETTLE_S = 240


@pytest.mark.chaos
@pytest.mark.timeout(MINUTES * 60 + START_AND_SETTLE_S + 20)
def test_a_slice_of_chaos_has_no_violation() -> None:
    """Rows 8, 14, 16, 18, 21, 25 and 28 together: checks C1 to C15 pass, and everything settles within its bound."""
    ran = subprocess.run(
        [sys.executable, "-m", "chaos"],
        cwd=ROOT,
        env={"CHAOS_SEED": "20260105", **environment_without_coverage(), "CHAOS_MINUTES": str(MINUTES)},
        timeout=MINUTES * 60 + START_AND_SETTLE_S,
        capture_output=True,
        text=True,
        check=False,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == 0, output
    assert output.rstrip().endswith("violations: 0"), output
    assert int(_number_in(r"orders: \d+ accepted, (\d+) at the exchange", output)) > 20
    assert int(_number_in(r"kill -9 (\d+)", output)) > 0


def _number_in(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]
