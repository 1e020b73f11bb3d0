"""The environment of the order benchmark: servers, simulator, the proxy before it, and one process of the service."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
from kiteconnect import KiteConnect

from benchmarks import machine
from benchmarks.order_proxy import serve_proxy
from embedded.ports import find_free_port
from embedded.postgres import running_postgres
from embedded.process import Child, Program, run_to_end, start_program
from embedded.redis import running_redis

SERVICE_CORE, OTHERS_CORE = 0, 1
KEY = "benchmark-key"
_ROOT = Path(__file__).resolve().parents[1]
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEnvironment:
    """What all rounds use."""

    service: httpx.Client
    official: Any
    """Kite's official client; it has no types."""

    proxy: Connection
    """The pipe to the proxy process."""

    simulator_url: str
    service_pid: int

    def arrivals(self, count: int) -> list[int]:
        """The arrivals of the orders since the last call, in ns. Raises SystemExit when they are not ``count``."""
        self.proxy.send("read")
        found: list[int] = _receive(self.proxy)
        if len(found) != count:
            raise SystemExit(f"{len(found)} orders came to the broker where {count} were sent")
        return found


@contextmanager
def open_environment(directory: Path, *, accounts: int) -> Iterator[OrderEnvironment]:
    """Starts everything, the service on a core of its own; stops it at the end."""
    machine.pin(OTHERS_CORE)
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres(directory / "postgres"))
        redis = stack.enter_context(running_redis(directory / "redis"))
        sim_port, port = find_free_port(), find_free_port()
        arguments = ["-m", "simulator", "--port", str(sim_port), "--accounts", str(accounts), "--rate-limits", "off",
                     "--ticks-per-second", "0", "--cash", "100000000000"]  # fmt: skip
        _start(
            stack,
            directory,
            "simulator",
            arguments,
            env=dict(os.environ),
            ready=f"http://127.0.0.1:{sim_port}/_sim/stats",
        )
        prices = {"NSE:INFY": {"last_price": 1500, "frozen": True}}
        market = f"http://127.0.0.1:{sim_port}/_sim/market"
        httpx.post(market, json={"instruments": prices}, trust_env=False).raise_for_status()
        proxy, there = _spawn.Pipe()
        process = _spawn.Process(target=serve_proxy, args=(sim_port, OTHERS_CORE, there), daemon=True)
        process.start()
        stack.callback(process.kill)
        env = _environment(
            directory, postgres.url, redis.url, broker_port=_receive(proxy), port=port, accounts=accounts
        )
        command = [sys.executable, "-m", "app", "migrate"]
        migrate = Program(name="migrate", command=command, log=directory / "migrate.out", env=env, cwd=_ROOT)
        run_to_end(migrate, timeout=60)
        url = f"http://127.0.0.1:{port}"
        service = _start(stack, directory, "service", ["-m", "app", "serve"], env=env, ready=f"{url}/health/live")
        os.sched_setaffinity(service.pid, {sorted(os.sched_getaffinity(1))[SERVICE_CORE]})
        headers = {"X-API-Key": KEY}
        yield OrderEnvironment(
            service=stack.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)),
            official=KiteConnect(api_key="simkey", access_token="simtoken", root=env["KITE_REST_URL"]),
            proxy=proxy,
            simulator_url=f"http://127.0.0.1:{sim_port}",
            service_pid=service.pid,
        )


def _environment(
    directory: Path, database_url: str, redis_url: str, *, broker_port: int, port: int, accounts: int
) -> dict[str, str]:
    path = directory / "accounts.yaml"
    path.write_text("accounts:\n" + "".join(_account(number, accounts) for number in range(1, accounts + 1)))
    values = {
        "ENVIRONMENT": "development", "DATABASE_URL": database_url, "REDIS_URL": redis_url, "API_KEY": KEY,
        "PORT": str(port), "HOST": "127.0.0.1", "LOG_DIR": str(directory / "logs"), "MARKET_CALENDAR": "always",
        "KITE_REST_URL": f"http://127.0.0.1:{broker_port}", "KITE_WS_URL": f"ws://127.0.0.1:{broker_port}",
        "ACCOUNTS_FILE": str(path), "LIMIT_DEFAULT": "100000/second", "LIMIT_ADDRESS": "100000/second",
        "LIMIT_BATCH_ORDERS": "10000/minute", "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    dropped = {"TOKEN_DIR", "API_KEY_ENABLED", "PAPER", *(f"{name}_FILE" for name in values)}
    return {name: value for name, value in os.environ.items() if name not in dropped} | values


def _receive(pipe: Connection) -> Any:
    if not pipe.poll(timeout=30):
        raise SystemExit("a process of the benchmark did not answer within half a minute")
    return pipe.recv()


def _account(number: int, accounts: int) -> str:
    """A line of the accounts file. The names of the simulator's first account have no number."""
    end = "" if number == 1 else str(number)
    name = "primary" if accounts == 1 else f"a{number}"
    fields = {"account_id": name, "api_key": f"simkey{end}", "api_secret": f"simsecret{end}",
              "access_token": f"simtoken{end}"}  # fmt: skip
    return f"  - {json.dumps(fields)}\n"


def _start(
    stack: ExitStack, directory: Path, name: str, arguments: list[str], *, env: dict[str, str], ready: str
) -> Child:
    program = Program(
        name=name, command=[sys.executable, *arguments], log=directory / f"{name}.out", env=env, cwd=_ROOT
    )
    child = start_program(program)
    stack.callback(child.stop, timeout=8.0)
    for _ in range(300):
        try:
            if httpx.get(ready, trust_env=False).is_success:
                return child
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"{name} does not answer")
