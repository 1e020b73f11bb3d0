"""Real servers for the tests: PostgreSQL and Redis, once a session, through the code that `make run` uses.

    postgres_server   session: the address of a PostgreSQL server
    redis_server      session: the address of a Redis-compatible server
    database_url      a database of the test's own, migrated to head
    empty_database_url   the same without any migration
    redis_url         an empty Redis database
    redis_prefix      a prefix of the test's own: PUBLISH crosses database numbers, so channels are kept apart by name

`DATABASE_URL` and `REDIS_URL` in the environment name servers to use instead. The first must be allowed to create
databases; the second must name an empty database, because tests flush it. `DATABASE_TEMPLATE` names a database of the
first that is at head already, for runs that follow one another.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql

from embedded.postgres import running_postgres
from embedded.redis import running_redis
from tests.event_checks import check_stored_events

CONNECT_TIMEOUT_S = 20

MEMORY = Path("/dev/shm")  # noqa: S108 - a private directory is made in it
MEMORY_WANTED = 3 * 1024**3
"""Free bytes for the clusters of a few workers; in a container there may be 64 MB."""

DIRECTORY_PREFIX = "ticker-tests-"

MADE_UP_EVENTS = {"unit", "events", "webhooks", "db"}
"""Directories of tests that write events without the parts that write them in the service."""


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database on a PostgreSQL server where databases can be created."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    with (
        in_memory(otherwise=tmp_path_factory.mktemp("postgres")) as directory,
        running_postgres(directory) as server,
    ):
        yield server.url


@contextmanager
def in_memory(*, otherwise: Path) -> Iterator[Path]:
    """A directory in memory where enough is free: a database is cloned there in a tenth of the time."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_WANTED:
        yield otherwise
        return
    for left in MEMORY.glob(f"{DIRECTORY_PREFIX}*"):  # of a run that was killed
        if not Path(f"/proc/{left.name.removeprefix(DIRECTORY_PREFIX).partition('-')[0]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    name = f"{DIRECTORY_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=name, dir=MEMORY, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis database that was empty when the session began."""
    given = os.environ.get("REDIS_URL")
    if given:
        with redis.Redis.from_url(given) as client:
            keys = int(client.dbsize())
        if keys:
            pytest.exit(
                f"REDIS_URL names a database with {keys} keys: tests flush it, so give an empty one", returncode=4
            )
        yield given
        return
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> Iterator[str]:
    """The name of a database at head that tests clone: cloning costs milliseconds, migrating each time a second."""
    given = os.environ.get("DATABASE_TEMPLATE")
    if given:
        yield given
        return
    from app.db.migrate import migrate  # noqa: PLC0415 - Alembic would cost each unit test run half a second

    with temporary_database(postgres_server) as url:
        migrate(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres_server: str, migrated_template: str) -> Iterator[str]:
    """A database of the test's own at head, dropped afterwards with whatever is still connected.

    Before that every event in it must be what its schema says, except where tests write events of their own.
    """
    with temporary_database(postgres_server, template=migrated_template) as url:
        yield url
        if not MADE_UP_EVENTS & set(request.path.parts) and not request.node.get_closest_marker("made_up_orders"):
            check_stored_events(url)


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """A database of the test's own without a table."""
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis database."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture
def redis_prefix() -> str:
    """A prefix for keys and channels that no other test uses."""
    return f"test-{secrets.token_hex(4)}:"


@contextmanager
def temporary_database(server_url: str, *, template: str = "template1") -> Iterator[str]:
    """The address of a new database cloned from `template`, dropped at the end."""
    name = f"test_{secrets.token_hex(8)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        connection.execute(create)
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            connection.execute(drop)
