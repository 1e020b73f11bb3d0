"""Embedded PostgreSQL: durable, private, and never blocked by what a killed process left."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from embedded.errors import EmbeddedError, StartFailed
from embedded.postgres import check_database, running_postgres, start_postgres
from tests.integration.embedded.processes import is_running


def test_data_survives_a_stop_a_crash_and_a_left_over_server(tmp_path: Path) -> None:
    """One cluster is stopped, killed, and started while a server without a parent still runs on it."""
    directory = tmp_path / "postgres"
    with running_postgres(directory) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    assert not is_running(server.child.pid)

    killed = start_postgres(directory)
    _insert(killed.url, 2)
    os.kill(killed.child.pid, signal.SIGKILL)
    assert killed.child.wait(5) == -signal.SIGKILL

    left_over = start_postgres(directory)
    _insert(left_over.url, 3)

    with running_postgres(directory) as server:
        assert left_over.child.wait(1) is not None, "two servers on one cluster"
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT array_agg(n ORDER BY n) FROM kept").fetchone() == ([1, 2, 3],)


def _insert(url: str, n: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO kept VALUES (%s)", (n,))


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_commit_is_on_the_disk(postgres_server: str, setting: str) -> None:
    """All settings that make a commit durable are on."""
    with psycopg.connect(postgres_server) as connection:
        assert connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() == ("on",)


def test_a_connection_needs_the_password(postgres_server: str) -> None:
    """The port alone does not let another program connect."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server, password="wrong")


def test_a_pid_file_that_names_another_process_is_stale(tmp_path: Path) -> None:
    """After a power cut the number may be another process: it is not stopped, and the server starts."""
    directory = tmp_path / "postgres"
    with running_postgres(directory):
        pass
    (directory / "cluster" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{directory / 'cluster'}\n1\n1\n\n*\n0\nready\n"
    )
    with running_postgres(directory) as server:
        assert server.child.exit_code() is None


def test_an_incomplete_cluster_is_created_again(tmp_path: Path) -> None:
    """A first start that was killed during initdb does not affect the next."""
    half_made = tmp_path / "postgres" / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("16\n")
    with running_postgres(tmp_path / "postgres") as server:
        check_database(server.url)


def test_a_broken_cluster_says_why(tmp_path: Path) -> None:
    """The error has the end of the server's log."""
    cluster = tmp_path / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(StartFailed, match="PostgreSQL did not start: exited with code 2") as failure:
        start_postgres(tmp_path / "postgres")
    assert "postgresql.conf" in failure.value.log_tail


def test_a_database_out_of_reach_is_one_line_without_the_password() -> None:
    """`DATABASE_URL` names a port without a server."""
    with pytest.raises(EmbeddedError, match="DATABASE_URL cannot be reached") as failure:
        check_database("postgresql://ticker:hush@127.0.0.1:1/ticker")
    assert "hush" not in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to go to")
def test_as_root_the_server_runs_as_another_user_below_a_private_directory(tmp_path: Path) -> None:
    """PostgreSQL refuses root; a checkout below /root, which others may not enter, works nevertheless."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with running_postgres(private / "postgres") as server:
        assert Path(f"/proc/{server.child.pid}").stat().st_uid != 0
    assert private.stat().st_mode & 0o777 == 0o700
