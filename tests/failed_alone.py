"""Tests that failed beside others, again: each must pass three times with the machine for itself.

A wait that a busy machine stretches fails once; a fault fails again. Every test that needed this is named at the end,
because its wait has to be mended. More than a few failures, or none that pytest has noted, stay failures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

NOTED = Path(".pytest_cache/v/cache/lastfailed")
MOST = 4
TIMES = 3


def main() -> int:
    failed = sorted(json.loads(NOTED.read_text(encoding="utf-8"))) if NOTED.exists() else []
    if not 0 < len(failed) <= MOST:
        print(f"{len(failed)} tests are noted as failed; 1 to {MOST} would be tried again")
        return 1
    for number in range(1, TIMES + 1):
        print(f"again, alone, {number} of {TIMES}: {', '.join(failed)}", flush=True)
        code = run("pytest", "-q", "-p", "no:cacheprovider", *failed)
        if code:
            return code
    print("failed beside others and passed alone, to be mended: " + ", ".join(failed), flush=True)
    return run("coverage", "report", "--fail-under=85", "--format=total")


def run(module: str, *arguments: str) -> int:
    """The exit code of a module of this interpreter."""
    return subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
