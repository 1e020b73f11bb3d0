"""The machine that the figures were measured on, and on which of its cores a process runs."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("msgspec", "numpy", "picows", "redis", "websockets", "uvloop", "kiteconnect")


def describe() -> list[str]:
    """Lines with processor, memory, kernel, Python, package versions and load."""
    cores = sorted(os.sched_getaffinity(0))
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    return [
        f"machine   {len(cores)} cores ({model}), {_memory_gib():.1f} GiB, kernel {platform.release()}",
        f"python    {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"load      {', '.join(f'{load:.2f}' for load in os.getloadavg())} before the start",
    ]


def pin(core: int) -> None:
    """Keeps this process on one of its cores, counted from 0; does nothing useful with a single core."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _memory_gib() -> float:
    total = next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return int(total.split()[1]) / 1024 / 1024
