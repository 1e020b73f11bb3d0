"""A copy of a running server's data, and putting the server back to it. Blocking; the programs are the server's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from embedded.postgres import find_binaries

RUN_S = 60.0


class ToolFailed(Exception):
    """A program ended with an error; the text is its own."""


def take_copy(url: str, copy: Path) -> None:
    """The server's data as of now, in the new directory ``copy``. Raises ToolFailed."""
    run_tool("pg_basebackup", f"--pgdata={copy}", "--checkpoint=fast", f"--dbname={url}")


def put_back(data: Path, copy: Path) -> None:
    """Replace the data of a server that is stopped; the copy is used up. Raises ToolFailed."""
    owner = data.stat()
    shutil.rmtree(data)
    copy.rename(data)
    run("chown", "-R", f"{owner.st_uid}:{owner.st_gid}", str(data))


def run_tool(name: str, *arguments: str) -> None:
    """One of PostgreSQL's programs, without a bound on its statements. Raises ToolFailed."""
    run(str(find_binaries() / name), *arguments, env={"PGOPTIONS": "-c statement_timeout=0"})


def run(*command: str, env: Mapping[str, str] | None = None) -> None:
    """Raises ToolFailed, and subprocess.TimeoutExpired after ``RUN_S``."""
    done = subprocess.run(command, check=False, timeout=RUN_S, env={**os.environ, **(env or {})}, capture_output=True)  # noqa: S603
    if done.returncode:
        raise ToolFailed(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
