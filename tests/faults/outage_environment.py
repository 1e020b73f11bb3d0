"""A service whose PostgreSQL and Redis a test can take away: the plugin behind the tests of outages."""

import base64
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from app.db.migrate import migrate
from embedded.postgres import start_postgres
from embedded.process import Child, start_program
from embedded.redis import start_redis
from tests.e2e.environment import Broker, Service, running_service, wait_for

STOP_S = 5.0
SHORT_TIMES = {
    "IN_DOUBT_WINDOW_S": "6",
    "ORDER_FRESHNESS_MARKET_S": "3",
    "ORDER_FRESHNESS_LIMIT_S": "6",
    "ORDER_SEND_TIMEOUT_S": "2",
    "ORDER_CLAIM_LEASE_S": "4",
    "ORDER_BLOCK_ON_DOUBT_S": "2",
    "ORDER_AUDIT_S": "2",
}
"""Settings of the service under which a run of outages settles soon."""

TICKING = ("TCS", "RELIANCE")


@dataclass
class Server:
    """A server that comes back on the port and the data that it had. ``answers`` is one round trip."""

    url: str
    child: Child
    answers: Callable[[str], bool]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stopped in order inside the block, running again behind it."""
        self.child.stop(timeout=STOP_S)
        try:
            yield
        finally:
            self.child = start_program(self.child.program)
            wait_for("the server answers", lambda: self.answers(self.url), within_s=20)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and says nothing inside the block: the kernel still accepts for it."""
        os.kill(self.child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.child.pid, signal.SIGCONT)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Every process of it is stopped inside the block: open connections stay open and get no answer."""
        pids = [self.child.pid, *_children_of(self.child.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def with_port(url: str, port: int) -> str:
    """The same server behind a proxy on this port of 127.0.0.1."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))


def _children_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text() if entry.name.isdigit() else ""
        except OSError:  # it has just ended
            continue
        if status and int(status.rpartition(")")[2].split()[1]) == parent:
            found.append(int(entry.name))
    return found


def redis_answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def redis_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_redis(tmp_path_factory.mktemp("redis"))
    server = Server(started.url, started.child, redis_answers)
    yield server
    server.child.stop(timeout=STOP_S)


@pytest.fixture(scope="module")
def postgres_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_postgres(tmp_path_factory.mktemp("postgres"))
    server = Server(started.url, started.child, postgres_answers)
    migrate(started.url)
    yield server
    server.child.stop(timeout=STOP_S)


@pytest.fixture(scope="module")
def outage_service(
    shared_broker: Broker,
    redis_of_its_own: Server,
    postgres_of_its_own: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service on those two, with ticks flowing."""
    with running_service(
        tmp_path_factory.mktemp("outage_service"),
        shared_broker,
        database_url=postgres_of_its_own.url,
        redis_url=redis_of_its_own.url,
        redis_prefix="ticker:",
        ORDER_TAG_SECRET=base64.b64encode(secrets.token_bytes(32)).decode(),  # each module has a deployment of its own
    ) as service:
        items = [{"exchange": "NSE", "tradingsymbol": name, "requested_mode": "full"} for name in TICKING]
        service.client.post("/subscriptions/bulk", json={"items": items}).raise_for_status()
        yield service


def next_tick(url: str) -> dict[str, Any] | None:
    """What a subscriber that comes now is sent."""
    with redis.Redis.from_url(url) as client, client.pubsub(ignore_subscribe_messages=True) as channels:
        channels.psubscribe("ticker:ticks:*")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            message = channels.get_message(timeout=0.5)
            if message is not None:
                return dict(message)
    return None
