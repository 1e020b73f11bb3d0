"""How tests look at processes from outside."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

WAIT_S = 10.0


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], *, timeout: float = WAIT_S) -> bool:
    """Whether the condition became true within the time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def read_int(path: Path) -> int | None:
    """The number in the file, or None while it is missing or incomplete."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(path.read_text())
    return None


def repository_root() -> Path:
    """The directory with the packages."""
    return Path(os.path.realpath(__file__)).parents[3]
