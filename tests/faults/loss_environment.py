"""A PostgreSQL that a test can put back to an older copy, in each way in which that happens to operators."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psycopg

from app.db.migrate import migrate
from chaos.database_copy import ToolFailed, put_back, run, run_tool, take_copy
from embedded.postgres import start_postgres
from embedded.process import Child, start_program
from tests.e2e.environment import wait_for
from tests.faults.outage_environment import postgres_answers

Loss = Literal["file_copy", "dump", "standby", "deleted"]
LOSSES: tuple[Loss, ...] = ("file_copy", "dump", "standby", "deleted")
STOP_S = 5.0
RESTORE_TRIES = 5


@dataclass(slots=True)
class Cluster:
    """One server on a fixed port. ``take_copy`` makes the copy to which ``lose`` puts it back."""

    directory: Path
    url: str
    child: Child

    @property
    def data(self) -> Path:
        return self.directory / "cluster"

    @property
    def copy(self) -> Path:
        return self.directory / "copy"

    def take_copy(self, loss: Loss) -> None:
        """What is stored until now; ``deleted`` keeps nothing."""
        if loss == "file_copy":
            with self._stopped():
                run("cp", "-a", str(self.data), str(self.copy))
        elif loss == "dump":
            run_tool("pg_dump", "--format=custom", f"--file={self.copy}", self.url)
        elif loss == "standby":
            take_copy(self.url, self.copy)
            (self.copy / "standby.signal").touch()

    def lose(self, loss: Loss) -> None:
        """From here on the server has what the copy has."""
        if loss == "dump":
            self._restore()
        elif loss == "deleted":
            self._make_anew()
        else:
            with self._stopped():
                put_back(self.data, self.copy)
            if loss == "standby":
                with psycopg.connect(self.url, autocommit=True) as connection:
                    connection.execute("SELECT pg_promote()")
        wait_for("the server takes writes", lambda: not self._in_recovery(), within_s=20)

    def _restore(self) -> None:
        """All or nothing, and again when it is refused: running processes read and write the tables meanwhile."""
        for tries_left in reversed(range(RESTORE_TRIES)):
            try:
                options = ("--clean", "--if-exists", "--single-transaction")
                run_tool("pg_restore", *options, f"--dbname={self.url}", str(self.copy))
                break
            except ToolFailed:
                if not tries_left:
                    raise

    def stop(self) -> None:
        self.child.stop(timeout=STOP_S)

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """Killed as by a power cut that is noticed: every connection breaks."""
        os.kill(self.child.pid, signal.SIGQUIT)
        self.child.stop(timeout=STOP_S)
        yield
        self.child = start_program(self.child.program)
        wait_for("the server answers", lambda: postgres_answers(self.url), within_s=20)

    def _in_recovery(self) -> bool:
        with psycopg.connect(self.url) as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)

    def _make_anew(self) -> None:
        parts = urlsplit(self.url)
        name = parts.path.removeprefix("/")
        with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        migrate(self.url)


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """A migrated database on a server of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    started = start_postgres(directory)
    cluster = Cluster(directory, started.url, started.child)
    try:
        migrate(started.url)
        yield cluster
    finally:
        cluster.stop()
