"""The whole product: its programs, started and stopped in order.

    lock, ports -> PostgreSQL -> Redis -> migrations -> service -> subscriptions
                -> simulator, which needs none of these and starts beside them

After a failure, everything that was started is stopped, in the order of STOP_LIMITS_S. A stop takes at most
STOP_BUDGET_S: each child has a limit, and the time that one does not use is left to those after it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from embedded.data_dir import DataDir, lock_data_dir, read_or_create_key, read_or_create_secret, write_private
from embedded.errors import ChildEnded, PortTaken
from embedded.ports import LOOPBACK, is_port_free
from embedded.postgres import check_database, start_postgres
from embedded.process import Child, Program, describe_exit, read_tail, run_to_end, start_program, wait_until_healthy
from embedded.redis import check_redis, start_redis
from embedded.settings import RunSettings

ROOT = Path(__file__).resolve().parents[1]
MIGRATE_TIMEOUT_S = 60.0
SIMULATOR_TIMEOUT_S = 30.0
SERVICE_TIMEOUT_S = 60.0  # seconds of importing on a busy machine, then the instruments
PROBE_TIMEOUT_S = 2.0
PROBE_EVERY_S = 0.1  # the programs that start need the processor
CHECK_EVERY_S = 0.1
STOP_BUDGET_S = 9.5
STOP_LIMITS_S = {"service": 6.0, "simulator": 1.0, "Redis": 1.0, "PostgreSQL": 1.5}  # together STOP_BUDGET_S

# The simulator is the only broker here: no setting of a real account in the environment may reach the service.
IGNORED_SETTINGS = (
    "ACCOUNTS_FILE", "TOKEN_DIR", "TOKEN_KEY", "API_KEY_ENABLED", "PAPER", "HOST", "TRUSTED_PROXIES", "ORDER_TAG_CODE"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Python's arguments for each program; tests give others."""

    migrate: tuple[str, ...] = ("-m", "app", "migrate")
    simulator: tuple[str, ...] = ("-m", "simulator", "--port")  # the port follows
    service: tuple[str, ...] = ("-m", "app", "serve")


PRODUCT_PROGRAMS = Programs()


class Children:
    """The running programs; `stop` stops them in the order of STOP_LIMITS_S within STOP_BUDGET_S."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    def keep(self, child: Child) -> Child:
        self._running.append(child)
        return child

    def all(self) -> tuple[Child, ...]:
        return tuple(self._running)

    def stop(self) -> None:
        """Stops all; none may use the time that is reserved for those after it."""
        deadline = time.monotonic() + STOP_BUDGET_S
        order = list(STOP_LIMITS_S)
        left = sorted(self._running, key=lambda child: order.index(child.program.name))
        while left:
            child = left.pop(0)
            reserved = sum(STOP_LIMITS_S[other.program.name] for other in left)
            child.stop(timeout=max(0.0, deadline - time.monotonic() - reserved))
        self._running.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The running product."""

    data: DataDir
    url: str
    api_key: str
    simulator_url: str
    database_url: str
    redis_url: str
    children: Children


@contextmanager
def running_product(
    settings: RunSettings, *, say: Callable[[str], None], programs: Programs = PRODUCT_PROGRAMS
) -> Iterator[Product]:
    """Starts everything, yields it when it is healthy, and stops it in order.

    Raises EmbeddedError; nothing is left running then.
    """
    with lock_data_dir(settings.data_dir) as data, ExitStack() as stack:
        data.run_file.unlink(missing_ok=True)
        for port, name in ((settings.port, "PORT"), (settings.sim_port, "SIM_PORT")):
            if not is_port_free(port):
                raise PortTaken(port, setting=name)
        stack.callback(data.run_file.unlink, missing_ok=True)
        children = Children()
        stack.callback(children.stop)

        if settings.database_url is not None:
            check_database(settings.database_url)
        if settings.redis_url is not None:
            check_redis(settings.redis_url)
        simulator = _start_simulator(settings, data, programs=programs)
        children.keep(simulator)
        database_url = settings.database_url or _start_database(data, children, say=say)
        redis_url = settings.redis_url or _start_redis(data, children, say=say)
        product = Product(
            data=data,
            url=f"http://{LOOPBACK}:{settings.port}",
            api_key=settings.api_key or read_or_create_secret(data.api_key),
            simulator_url=f"http://{LOOPBACK}:{settings.sim_port}",
            database_url=database_url,
            redis_url=redis_url,
            children=children,
        )
        env = build_service_environment(
            os.environ,
            database_url=product.database_url,
            redis_url=product.redis_url,
            simulator_url=product.simulator_url,
            api_key=product.api_key,
            tag_secret=read_or_create_key(data.tag_secret),
            database_record=data.database_record,
            port=settings.port,
            logs=product.data.logs,
        )
        say("bringing the schema up to date ...")
        run_to_end(_python_program("migrations", programs.migrate, data=data, env=env), timeout=MIGRATE_TIMEOUT_S)
        say("starting the broker simulator ...")
        _wait_for_answer(simulator, f"{product.simulator_url}/_sim/stats", timeout=SIMULATOR_TIMEOUT_S)
        say("starting the service ...")
        _start_service(product, programs=programs, env=env)
        stack.callback(say, "stopping everything ...")
        yield product


def _start_database(data: DataDir, children: Children, *, say: Callable[[str], None]) -> str:
    say("starting PostgreSQL ...")
    server = start_postgres(data.postgres)
    children.keep(server.child)
    return server.url


def _start_redis(data: DataDir, children: Children, *, say: Callable[[str], None]) -> str:
    say("starting Redis ...")
    server = start_redis(data.redis)
    children.keep(server.child)
    return server.url


def _start_simulator(settings: RunSettings, data: DataDir, *, programs: Programs) -> Child:
    arguments = (*programs.simulator, str(settings.sim_port), "--state-dir", str(data.simulator))
    env = dict(os.environ) | {"LOG_DIR": str(data.logs)}
    return start_program(_python_program("simulator", arguments, data=data, env=env))


def _start_service(product: Product, *, programs: Programs, env: Mapping[str, str]) -> None:
    service = start_program(_python_program("service", programs.service, data=product.data, env=env))
    product.children.keep(service)
    # Before the service answers, so that a script that waits for its health finds the file.
    _write_run_file(product, service=service)
    _wait_for_answer(service, f"{product.url}/health", status="ok", timeout=SERVICE_TIMEOUT_S)


def wait_for_end(product: Product) -> None:
    """Returns never: raises ChildEnded when a program ends by itself."""
    while True:
        for child in product.children.all():
            code = child.exit_code()
            if code is not None:
                log = child.program.log
                raise ChildEnded(child.program.name, describe_exit(code), log_tail=read_tail(log))
        time.sleep(CHECK_EVERY_S)


def build_service_environment(
    environ: Mapping[str, str],
    *,
    database_url: str,
    redis_url: str,
    simulator_url: str,
    api_key: str,
    tag_secret: str,
    database_record: Path,
    port: int,
    logs: Path,
) -> dict[str, str]:
    """The service's environment: `environ` with the product's values, and the simulator's account as the only one."""
    values = {
        "ENVIRONMENT": "development",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "API_KEY": api_key,
        "ORDER_TAG_SECRET": tag_secret,
        "DATABASE_RECORD_FILE": str(database_record),
        "PORT": str(port),
        "LOG_DIR": str(logs),
        "KITE_REST_URL": simulator_url,
        "KITE_WS_URL": simulator_url.replace("http:", "ws:"),
        "KITE_LOGIN_URL": f"{simulator_url}/connect/login",
        "KITE_API_KEY": "simkey",
        "KITE_API_SECRET": "simsecret",
        "KITE_ACCESS_TOKEN": "simtoken",
        "MARKET_CALENDAR": "always",
        "WEBHOOK_ALLOW_LOOPBACK": "true",
    }
    dropped = {*IGNORED_SETTINGS, *(f"{name}_FILE" for name in values)}
    return {key: value for key, value in environ.items() if key not in dropped} | values


def _python_program(name: str, arguments: tuple[str, ...], *, data: DataDir, env: Mapping[str, str]) -> Program:
    log = data.logs / f"{name}.out"
    log.unlink(missing_ok=True)
    return Program(name=name, command=[sys.executable, *arguments], log=log, env=env, cwd=ROOT)


def _wait_for_answer(child: Child, url: str, *, timeout: float, status: str | None = None) -> None:
    """Waits until `url` answers 200 (and with this `status` in its JSON). Raises StartFailed."""
    with httpx.Client(trust_env=False, timeout=PROBE_TIMEOUT_S) as client:
        probe = partial(_find_problem, client, url, status=status)
        wait_until_healthy(child, probe, timeout=timeout, every=PROBE_EVERY_S)


def _find_problem(client: httpx.Client, url: str, *, status: str | None) -> str | None:
    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        return f"{url}: {error}"
    if answer.status_code != httpx.codes.OK:
        return f"{url} answered {answer.status_code}: {answer.text[:500]}"
    if status is not None and answer.json().get("status") != status:
        return f"{url} says {answer.text[:500]}"
    return None


def _write_run_file(product: Product, *, service: Child) -> None:
    write_private(
        product.data.run_file,
        json.dumps(
            {
                "url": product.url,
                "api_key": product.api_key,
                "redis_url": product.redis_url,
                "database_url": product.database_url,
                "simulator_url": product.simulator_url,
                "pid": service.pid,
            },
            indent=2,
        )
        + "\n",
    )
