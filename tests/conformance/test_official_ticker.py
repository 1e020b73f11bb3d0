"""The broker's Python ticker with the simulator: three modes and an order update."""

import json
import subprocess
import sys
from pathlib import Path

from simulator.server import RunningSimulator

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30


def test_the_official_ticker_gets_ticks_in_its_modes_and_an_order_update(simulator: RunningSimulator) -> None:
    """Three modes and the fill of an order; after a lost connection it reconnects with the same modes."""
    finished = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "ignore", "-m", "tests.conformance.ticker_session", simulator.ws_url, simulator.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    seen = json.loads(finished.stdout.splitlines()[-1])
    assert seen["modes"] == seen["modes_after"] == {"408065": "ltp", "738561": "quote", "256265": "full"}
    assert (seen["order"]["status"], seen["order"]["tag"]) == ("COMPLETE", "TICKER")
    assert (seen["connects"], seen["closed"]) == (2, [1006, 1000])
