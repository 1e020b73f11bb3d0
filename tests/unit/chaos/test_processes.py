"""Signals for processes that may have ended since they were listed."""

from __future__ import annotations

import signal
import subprocess

from chaos.processes import signal_processes


def test_a_process_that_has_ended_keeps_no_signal_from_the_others() -> None:
    """The list of a server's processes is older than the signal: a connection may have ended meanwhile."""
    ended, running = (subprocess.Popen(["sleep", "60"]) for _ in range(2))  # noqa: S607 - a program of every machine
    ended.kill()
    ended.wait(timeout=10)
    signal_processes([ended.pid, running.pid], signal.SIGTERM)
    assert running.wait(timeout=10) == -signal.SIGTERM
