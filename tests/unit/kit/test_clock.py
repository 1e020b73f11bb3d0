"""The counter for waits and deadlines goes on while the machine sleeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASLEEP_S = 3600
ROOT = Path(__file__).resolve().parents[3]
_ASK = "import time; from app.kit.clock import SystemClock; print(SystemClock().monotonic() - time.monotonic())"


@pytest.mark.skipif(sys.platform != "linux", reason="time namespaces are Linux's")
def test_an_hour_asleep_is_an_hour() -> None:
    """A claim from before a suspend is too old to be sent after it: CLOCK_MONOTONIC would not see the hour.

    A time namespace whose CLOCK_BOOTTIME is an hour ahead looks as after such a sleep.
    """
    namespace = ["unshare", "--user", "--map-root-user", "--time", "--boottime", str(ASLEEP_S), "--fork"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:  # noqa: S603 - fixed words
        pytest.skip("this kernel, or this container, allows no time namespaces")
    command = [*namespace, sys.executable, "-c", _ASK]
    answer = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)  # noqa: S603 - fixed words
    assert float(answer.stdout) == pytest.approx(ASLEEP_S, abs=1.0)
