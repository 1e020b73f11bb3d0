"""The test environment of processes: simulator and service, for tests that kill, stop and starve them.

`running_broker` is `python -m simulator`, `running_service` is `python -m app serve`; both may be stopped and started
again on the same address. Everything ends with the block, and with the test run however that ends.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chaos.stack import environment_without_coverage
from embedded.ports import LOOPBACK, find_free_port
from embedded.process import Child, Program, describe_exit, read_tail, start_program

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "e2e-test-key"
START_S = 40.0
STOP_S = 10.0
REQUEST_S = 40.0
POLL_S = 0.03

SHORT_TIMES = {
    "IN_DOUBT_WINDOW_S": "3",
    "ORDER_SEND_TIMEOUT_S": "2",
    "ORDER_CLAIM_LEASE_S": "3",
    "ACCOUNT_LEASE_S": "3",
    "ORDER_BLOCK_ON_DOUBT_S": "30",
    "ORDER_POLL_S": "0.1",
    "ORDER_AUDIT_S": "1",
    "FEED_SILENCE_S": "2",
    "FEED_RECONNECT_FIRST_S": "0.2",
    "FEED_RECONNECT_CAP_S": "0.5",
    "TICK_STALE_AFTER_S": "5",
    "LIMIT_BATCH_ORDERS": "1000/minute",
    "LIMIT_SUBSCRIPTIONS": "1000/minute",
}
"""The product's settings with shorter waits, so that a test sees their end, and limits that the tests do not reach."""


def wait_for(what: str, check: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Poll until the check is true and return its value; AssertionError naming ``what`` after ``within_s``."""
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s; the last answer was {found!r}")
        time.sleep(POLL_S)


@dataclass
class Broker:
    """A simulator process on a fixed port."""

    directory: Path
    port: int
    options: tuple[str, ...]
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "simulator", "--port", str(self.port), *self.options]
        log = self.directory / "simulator.out"
        self.child = start_program(
            Program(name="simulator", command=command, log=log, env=environment_without_coverage(), cwd=ROOT)
        )
        child = self.child
        wait_for("the simulator answers", lambda: self._answers(child), within_s=START_S)

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop(timeout=STOP_S)

    def _answers(self, child: Child) -> bool:
        assert child.exit_code() is None, read_tail(child.program.log)
        try:
            return httpx.get(f"{self.url}/_sim/stats", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(self.url + path, params=params, trust_env=False)
        return answer.raise_for_status().json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = httpx.post(self.url + path, json=body, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def fault(self, kind: str, *, method: str = "POST", path: str = "/orders/regular", **more: Any) -> None:
        self.post("/_sim/faults", {"method": method, "path": path, "kind": kind, **more})

    def all_struck(self) -> bool:
        """Whether every fault that was set has happened at least once."""
        return all(fault["struck"] for fault in self.get("/_sim/faults"))

    def clear_faults(self) -> None:
        httpx.delete(f"{self.url}/_sim/faults", trust_env=False).raise_for_status()

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every order that the exchange accepted after the first ``since``: the oracle."""
        found: list[dict[str, Any]] = self.get("/_sim/ledger", since=str(since))
        return found

    def freeze(self, *names: str, last_price: float) -> None:
        """A price that does not move, so that an order below it rests and one above it fills."""
        setting = {"last_price": last_price, "frozen": True}
        self.post("/_sim/market", {"instruments": dict.fromkeys(names, setting)})


@contextmanager
def running_broker(directory: Path, *options: str) -> Iterator[Broker]:
    broker = Broker(directory, find_free_port(), options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@dataclass
class Service:
    """A service process on a fixed port; ``python`` are the arguments of the interpreter."""

    directory: Path
    port: int
    env: Mapping[str, str]
    python: tuple[str, ...] = ("-m", "app", "serve")
    child: Child | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"X-API-Key": API_KEY}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=REQUEST_S, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "service.out"

    def _environment(self) -> dict[str, str]:
        return {**self.env, "PORT": str(self.port)}

    def start(self, *, until: str = "ok") -> None:
        """Start and wait for that status of ``/health``."""
        program = Program(
            name="service", command=[sys.executable, *self.python], log=self.log, env=self._environment(), cwd=ROOT
        )
        self.child = start_program(program)
        self.wait_for_health(until, within_s=START_S)

    def wait_for_health(self, status: str, *, within_s: float = 10.0) -> dict[str, Any]:
        found: dict[str, Any] = wait_for(
            f"health {status}", lambda: (one := self.health()).get("status") == status and one, within_s=within_s
        )
        return found

    def health(self) -> dict[str, Any]:
        """What ``/health`` says, with its HTTP status as ``http``; empty while no process listens."""
        assert self.child is not None
        code = self.child.exit_code()
        assert code is None, f"the service {describe_exit(code or 0)}\n{read_tail(self.log)}"
        try:
            answer = httpx.get(f"{self.url}/health", trust_env=False)
        except httpx.TransportError:
            return {}
        return {**answer.json(), "http": answer.status_code}

    def kill(self) -> None:
        """As a power cut does."""
        assert self.child is not None
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait(STOP_S)
        self.client.close()
        self.__post_init__()  # no connection of the dead process is used again

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> tuple[int | None, float]:
        """Send the signal; returns the exit code (None: it did not end) and the seconds that it took."""
        assert self.child is not None
        begun = time.monotonic()
        os.kill(self.child.pid, number)
        code = self.child.wait(STOP_S + 5)
        return code, time.monotonic() - begun

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 while there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = httpx.get(f"{self.url}/metrics", trust_env=False).text.splitlines()
        found = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found if all(label in line for label in wanted))

    def stream(self, path: str = "/advanced/ws/orders/primary") -> ClientConnection:
        return connect(self.url.replace("http", "ws", 1) + path, open_timeout=10, close_timeout=2, proxy=None)


@contextmanager
def running_service(
    directory: Path,
    broker: Broker,
    *,
    database_url: str,
    redis_url: str,
    redis_prefix: str,
    python: tuple[str, ...] = ("-m", "app", "serve"),
    **env: str,
) -> Iterator[Service]:
    """Started and healthy, by these arguments of the interpreter. ``env`` wins over the short times."""
    own = {"database_url": database_url, "redis_url": redis_url, "redis_prefix": redis_prefix}
    service = Service(directory, find_free_port(), service_environment(directory, broker, own | env), python)
    try:
        service.start()
        yield service
    finally:
        service.client.close()
        if service.child is not None:
            service.child.stop(timeout=STOP_S)


def service_environment(directory: Path, broker: Broker, given: Mapping[str, str]) -> dict[str, str]:
    """The simulator's account with short times; ``given`` wins. No setting of the test run reaches the service."""
    values = {
        "API_KEY": API_KEY,
        "LOG_DIR": str(directory / "logs"),
        "KITE_REST_URL": broker.url,
        "KITE_WS_URL": broker.url.replace("http", "ws", 1),
        "KITE_LOGIN_URL": f"{broker.url}/connect/login",
        "KITE_API_KEY": "simkey",
        "KITE_API_SECRET": "simsecret",
        "KITE_ACCESS_TOKEN": "simtoken",
        "MARKET_CALENDAR": "always",
    }
    return clean_environment() | values | SHORT_TIMES | {name.upper(): value for name, value in given.items()}


def clean_environment() -> dict[str, str]:
    """What a process needs to run, without any setting of the product."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    return {name: os.environ[name] for name in kept if name in os.environ}


def authenticate(stream: ClientConnection, *, api_key: str = API_KEY, **more: Any) -> dict[str, Any]:
    """The first message, and the answer to it."""
    stream.send(json.dumps({"type": "auth", "api_key": api_key, **more}))
    return receive(stream)


def receive(stream: ClientConnection, *, timeout: float = 10.0) -> dict[str, Any]:
    """The next message that is not a heartbeat."""
    while True:
        message: dict[str, Any] = json.loads(stream.recv(timeout=timeout))
        if message["type"] != "heartbeat":
            return message


def close_of(stream: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the service ends the stream (1006: it was cut off)."""
    while True:
        try:
            stream.recv(timeout=15)
        except ConnectionClosed as closed:
            return (1006, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)


def limit_order(**changes: Any) -> dict[str, Any]:
    """A LIMIT buy of ten INFY at 1400, which rests below a price of 1500; any field can be given."""
    return {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 10,
        "product": "MIS",
        "order_type": "LIMIT",
        "price": 1400,
    } | changes
