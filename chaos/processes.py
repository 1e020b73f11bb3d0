"""The database server's processes and signals to them, and the clock of a replica, as the operating system has them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime")


def find_faketime() -> Path | None:
    """The library that gives a process another clock; None where it is not installed."""
    found = (Path(directory) / "libfaketime.so.1" for directory in FAKETIME)
    return next((path for path in found if path.exists()), None)


def fake_clock(ahead_s: int) -> dict[str, str]:
    """The environment of a process whose wall clock is so far ahead; its counters of elapsed time are right."""
    library = find_faketime()
    if library is None or not ahead_s:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{ahead_s:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def server_processes(postmaster: int) -> list[int]:
    """A running PostgreSQL's first process, and those that work for connections, the oldest of them first."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text() if entry.name.isdigit() else ""
            title = (entry / "cmdline").read_text() if status else ""
        except OSError:  # it has just ended
            continue
        if status and int(status.rpartition(")")[2].split()[1]) == postmaster and " 127.0.0.1(" in title:
            found.append(int(entry.name))
    return [postmaster, *sorted(found)] if Path(f"/proc/{postmaster}").exists() else []


def signal_processes(pids: Iterable[int], number: signal.Signals) -> None:
    """Send the signal to each that still runs: a list of server processes is older than what is done with it."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
