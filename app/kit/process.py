"""The name of this process, and whether another process that wrote its name down still runs.

A name holds what makes a process number meaningful: the machine's boot and the space in which processes are counted.
Only when both are those of this process can a missing number prove that the other one is gone.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")


def process_name(code: str) -> str:
    """``host/boot/space/pid/code``; ``code`` makes it unique over time. Without /proc, boot and space are ``-``."""
    return "/".join([socket.gethostname(), _boot_id(), _pid_space(), str(os.getpid()), code])


def is_gone(name: str) -> bool:
    """Whether the process of this name certainly no longer runs; False where that cannot be known."""
    parts = name.split("/")
    mine = process_name("").split("/")
    if len(parts) != len(mine) or "-" in mine[1:3] or parts[1:3] != mine[1:3]:
        return False
    if not parts[3].isdigit():
        return False
    pid = int(parts[3])
    if pid == os.getpid():
        return True  # this process's number under another code: the process that had it before is gone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _boot_id() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return "-"


def _pid_space() -> str:
    try:
        return str(_SPACE.stat().st_ino)
    except OSError:
        return "-"
