"""What a run tests: PostgreSQL, Redis, the broker simulator and replicas of the service, each behind proxies.

A server that is killed and started again keeps its address, because the proxy in front of it stays.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import httpx

from chaos.processes import fake_clock, server_processes, signal_processes
from chaos.proxy import HOST, FaultProxy, open_proxy
from embedded.ports import find_free_port
from embedded.postgres import start_postgres
from embedded.process import Child, Program, run_to_end, start_program
from embedded.redis import start_redis

ROOT = Path(__file__).resolve().parents[1]
START_S = 60.0
STOP_S = 8.0
MIGRATE_S = 60.0
API_KEY = "chaos-key-0123456789"
ACCOUNTS: Mapping[str, tuple[str, str, str, str]] = {
    "primary": ("SIM001", "simkey", "simsecret", "simtoken"),
    "second": ("SIM002", "simkey2", "simsecret2", "simtoken2"),
}
"""Account id to the simulator's user id, api_key, api_secret and access_token."""

SHORT_TIMES = {
    "IN_DOUBT_WINDOW_S": "6",
    "ORDER_FRESHNESS_MARKET_S": "6",
    "ORDER_FRESHNESS_LIMIT_S": "15",
    "ORDER_SEND_TIMEOUT_S": "2",
    "ORDER_CLAIM_LEASE_S": "4",
    "ORDER_BLOCK_ON_DOUBT_S": "2",
    "ORDER_AUDIT_S": "2",
    "BATCH_DEADLINE_S": "30",
    "EXIT_DEADLINE_S": "20",
    "FEED_RECONNECT_CAP_S": "3",
}
"""The service's settings with shorter times, so that minutes show what takes hours."""

UNLIMITED = {
    "LIMIT_DEFAULT": "1000/second",
    "LIMIT_ADDRESS": "2000/second",
    "LIMIT_BATCH_ORDERS": "10000/minute",
}
"""No client of a run is turned away for its rate."""

CLOCKS_AHEAD_S = (0, 90, -90)
"""Of the replicas, in turn, where libfaketime is installed."""

Ending = Literal["kill", "term"]


@dataclass(slots=True, eq=False)
class Replica:
    """One process of the service, with proxies of its own to broker and database."""

    name: str
    port: int
    program: Program
    broker: FaultProxy
    database: FaultProxy
    child: Child | None = None
    """None while it is stopped."""

    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the fault that stops, kills or starts it."""

    disturbed_at: float = 0.0
    """When it was stopped, killed or started last, on the event loop's clock."""

    def was_up_since(self, moment: float) -> bool:
        """Whether no fault has stopped, killed or started it since then."""
        return not self.busy.locked() and self.disturbed_at < moment

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        self.disturbed_at = asyncio.get_running_loop().time()
        self.child = start_program(self.program)

    async def end(self, how: Ending) -> None:
        """Ends it by SIGKILL, or by an orderly stop of at most ``STOP_S``."""
        if self.child is None:
            return
        if how == "kill":
            with suppress(ProcessLookupError):  # it has ended by itself, as one that found no database at its start
                os.kill(self.child.pid, signal.SIGKILL)
            await asyncio.to_thread(self.child.wait, 2.0)
        else:
            await asyncio.to_thread(self.child.stop, timeout=STOP_S)
        self.child = None

    def signal(self, number: signal.Signals) -> None:
        self.disturbed_at = asyncio.get_running_loop().time()
        if self.child is not None and self.child.exit_code() is None:
            os.kill(self.child.pid, number)

    async def wait_until_live(self, client: httpx.AsyncClient) -> None:
        """Returns when it answers. Raises TimeoutError after ``START_S``, RuntimeError when it ended by itself."""
        deadline = asyncio.get_running_loop().time() + START_S
        while True:
            if self.child is None or self.child.exit_code() is not None:
                raise RuntimeError(f"{self.name} ended by itself; see {self.program.log}")
            with suppress(httpx.HTTPError):  # it does not listen yet
                if (await client.get(f"{self.url}/health/live", timeout=1.0)).is_success:
                    return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{self.name} did not answer within {START_S:g} s; see {self.program.log}")
            await asyncio.sleep(0.2)


class Stack:
    """All servers and replicas, started by ``open_stack``."""

    def __init__(self, directory: Path, *, seed: int) -> None:
        self.directory = directory
        self.seed = seed
        self.replicas: list[Replica] = []
        self.simulator_port = find_free_port()
        self.postgres = start_postgres(directory / "postgres")
        self.redis = start_redis(directory / "redis")
        self.simulator = self._start_simulator()

    @property
    def simulator_url(self) -> str:
        return f"http://{HOST}:{self.simulator_port}"

    @property
    def secrets(self) -> list[str]:
        """What no log may contain."""
        passwords = [urlsplit(url).password or "" for url in (self.postgres.url, self.redis.url)]
        credentials = [text for account in ACCOUNTS.values() for text in account[2:]]
        return [API_KEY, *credentials, *passwords]

    async def stop_postgres(self, how: Ending = "term") -> None:
        if how == "kill":
            os.kill(self.postgres.child.pid, signal.SIGQUIT)  # "immediate": no checkpoint, recovery at the next start
        await asyncio.to_thread(self.postgres.child.stop, timeout=STOP_S)

    async def start_postgres(self) -> None:
        """Starts it again on another port, to which the proxies in front of it are pointed."""
        self.postgres = await asyncio.to_thread(start_postgres, self.directory / "postgres")
        for replica in self.replicas:
            replica.database.retarget(self.postgres.port)

    async def restart_redis(self, proxy: FaultProxy) -> None:
        await asyncio.to_thread(self.redis.child.stop, timeout=STOP_S)
        self.redis = await asyncio.to_thread(start_redis, self.directory / "redis")
        proxy.retarget(self.redis.port)

    async def wait_for_simulator(self, client: httpx.AsyncClient) -> None:
        """Returns when it answers. Raises RuntimeError when it has ended, or after ``START_S``."""
        for _ in range(int(START_S / 0.2)):
            if self.simulator.exit_code() is not None:
                break
            try:
                if (await client.get(f"{self.simulator_url}/_sim/stats")).is_success:
                    return
            except httpx.HTTPError:
                await asyncio.sleep(0.2)
        raise RuntimeError(f"the simulator does not answer; see {self.simulator.program.log}")

    def stop(self) -> None:
        signal_processes(server_processes(self.postgres.child.pid), signal.SIGCONT)
        for replica in self.replicas:
            replica.signal(signal.SIGCONT)
        children = [replica.child for replica in self.replicas if replica.child is not None]
        for child in children:
            with suppress(ProcessLookupError):  # one that has ended by itself
                os.kill(child.pid, signal.SIGKILL)
        for child in [*children, self.simulator, self.redis.child, self.postgres.child]:
            child.stop(timeout=STOP_S)

    def _start_simulator(self) -> Child:
        arguments = ["-m", "simulator", "--port", str(self.simulator_port), "--accounts", str(len(ACCOUNTS)),
                     "--ticks-per-second", "20", "--seed", str(self.seed), "--cash", "1000000000"]  # fmt: skip
        return start_program(
            _python("simulator", arguments, env=environment_without_coverage(), directory=self.directory)
        )


@asynccontextmanager
async def open_stack(
    directory: Path,
    *,
    replicas: int,
    seed: int,
    settings: Mapping[str, str] = MappingProxyType({}),
    times: Mapping[str, str] = MappingProxyType({**SHORT_TIMES, **UNLIMITED}),
) -> AsyncIterator[tuple[Stack, FaultProxy]]:
    """Everything started and answering, and the proxy in front of Redis; all of it is stopped at the end.

    ``settings`` of the replicas override ``times``.
    """
    stack = await asyncio.to_thread(Stack, directory, seed=seed)
    async with AsyncExitStack() as closing:
        closing.callback(stack.stop)
        redis = await closing.enter_async_context(open_proxy(stack.redis.port, seed=seed))
        env = _environment(stack, stack.postgres.url, HOST, redis, 1)
        migrate = _python("migrate", ["-m", "app", "migrate"], env=env, directory=directory)
        await asyncio.to_thread(run_to_end, migrate, timeout=MIGRATE_S)
        accounts = _write_accounts(directory)
        for number in range(replicas):
            broker = await closing.enter_async_context(open_proxy(stack.simulator_port, seed=seed + number))
            database = await closing.enter_async_context(open_proxy(stack.postgres.port, seed=seed + number))
            port = find_free_port()
            url = _with_port(stack.postgres.url, database.port)
            env = _environment(stack, url, f"{HOST}:{broker.port}", redis, port) | {"ACCOUNTS_FILE": str(accounts)}
            env |= {**times, **settings, **fake_clock(CLOCKS_AHEAD_S[number % len(CLOCKS_AHEAD_S)])}
            program = _python(f"replica-{number}", ["-m", "app", "serve"], env=env, directory=directory)
            stack.replicas.append(Replica(program.name, port, program, broker, database))
        for replica in stack.replicas:
            replica.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            await stack.wait_for_simulator(client)
            for replica in stack.replicas:
                await replica.wait_until_live(client)
        yield stack, redis


def _environment(stack: Stack, database_url: str, broker: str, redis: FaultProxy, port: int) -> dict[str, str]:
    values = {
        "ENVIRONMENT": "development",
        "DATABASE_URL": database_url,
        "REDIS_URL": _with_port(stack.redis.url, redis.port),
        "API_KEY": API_KEY,
        "HOST": HOST,
        "PORT": str(port),
        "LOG_DIR": str(stack.directory / f"logs-{port}"),
        "KITE_REST_URL": f"http://{broker}",
        "KITE_WS_URL": f"ws://{broker}",
        "MARKET_CALENDAR": "always",
        "KITE_API_KEY": "simkey",
    }
    dropped = {"TOKEN_DIR", "API_KEY_ENABLED", "PAPER", "TOKEN_KEY", *(f"{name}_FILE" for name in values)}
    return {name: value for name, value in environment_without_coverage().items() if name not in dropped} | values


def environment_without_coverage() -> dict[str, str]:
    """The environment for child processes, without the variable that makes them measure coverage, which is slow."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


def _write_accounts(directory: Path) -> Path:
    path = directory / "accounts.yaml"
    lines = ["accounts:"]
    for account_id, (_, key, secret, token) in ACCOUNTS.items():
        lines += [f"  - account_id: {account_id}", f"    api_key: {key}", f"    api_secret: {secret}"]
        lines += [f"    access_token: {token}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def _python(name: str, arguments: list[str], *, env: Mapping[str, str], directory: Path) -> Program:
    command = [sys.executable, *arguments]
    return Program(name=name, command=command, log=directory / f"{name}.out", env=env, cwd=ROOT)


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}@{HOST}:{port}"))
