"""``python -m app`` as an operator uses it: exit codes, one line for a refusal, an orderly end."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import httpx
import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.config import Settings
from tests.waiting import until

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 20.0


def _environment(settings: Settings, changes: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The environment of a deployment: the fixture's settings, and no variable of the developer."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONWARNINGS": "error",
        "API_KEY": settings.api_key.get_secret_value(),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "REDIS_PREFIX": settings.redis_prefix,
        "KITE_REST_URL": settings.kite_rest_url,
        "KITE_WS_URL": settings.kite_ws_url,
        "KITE_API_KEY": settings.kite_api_key,
        "KITE_API_SECRET": settings.kite_api_secret.get_secret_value(),
        "KITE_ACCESS_TOKEN": settings.kite_access_token.get_secret_value(),
        "MARKET_CALENDAR": "always",
        "LOG_DIR": str(settings.log_dir),
        "PORT": "0",
        **changes,
    }


async def _run(environment: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    process = await _start(environment, *arguments)
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def _start(environment: Mapping[str, str], *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *arguments, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
    )


@asynccontextmanager
async def _served(environment: Mapping[str, str]) -> AsyncIterator[tuple[Process, str]]:
    """A serving process and its address; killed if the test leaves it running."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await _start({**environment, "PORT": str(port)}, "serve")
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

            async def is_ready() -> bool:
                assert process.returncode is None
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(is_ready, within_s=TIMEOUT_S, every_s=0.1)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        ({"PORT": "many"}, 2, "PORT: "),
        ({"API_KEY": ""}, 2, "API_KEY: "),
        ({"KITE_API_KEY": ""}, 2, "KITE_API_KEY: "),
        ({"DATABASE_URL": "postgresql://u:c4n4ry@127.0.0.1:1/x"}, 1, "DATABASE_URL: cannot connect to PostgreSQL"),
    ],
)
async def test_a_refused_start_is_one_line(settings: Settings, change: dict[str, str], code: int, line: str) -> None:
    """2 for a setting, 1 for something that is away; never a traceback, never a secret."""
    returned, out, err = await _run(_environment(settings, {"PORT": "0", **change}), "serve")
    assert returned == code
    assert out == ""
    assert err.startswith(line)
    assert len(err.splitlines()) == 1
    assert "c4n4ry" not in err


async def test_a_taken_port_is_reported_before_anything_starts(settings: Settings) -> None:
    """Not even the database is opened."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        away = {"PORT": port, "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}
        code, _, err = await _run(_environment(settings, away), "serve")
    assert code == 1
    assert err.startswith(f"PORT: cannot listen on 127.0.0.1:{port}")
    assert len(err.splitlines()) == 1


async def test_a_schema_of_another_version_is_brought_up_to_date_by_migrate(
    settings: Settings, empty_database_url: str
) -> None:
    """Serving refuses and names the command; the command migrates, and a second run has nothing to do."""
    environment = _environment(settings, {"PORT": "0", "DATABASE_URL": empty_database_url})
    code, _, err = await _run(environment, "serve")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "python -m app migrate" in err
    code, out, _ = await _run(environment, "migrate")
    assert (code, "from nothing to" in out) == (0, True)
    code, out, _ = await _run(environment, "migrate")
    assert (code, "already" in out) == (0, True)


async def _read_to_the_end(stream: ClientConnection) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            await stream.recv()


async def test_a_signal_ends_everything_in_order(settings: Settings) -> None:
    """Exit code 0 within bounds, the streams closed with 1012, no connection left in the database."""
    async with _served(_environment(settings)) as (process, url):
        async with connect(f"{url.replace('http', 'ws', 1)}/advanced/ws/orders/primary", proxy=None) as stream:
            await stream.send(f'{{"type": "auth", "api_key": "{settings.api_key.get_secret_value()}"}}')
            assert "authenticated" in str(await stream.recv())
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await _read_to_the_end(stream)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "restart")
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'ticker%'"
        ).fetchone()
    assert row == (0,)
    log = (settings.log_dir / "service.log").read_text()
    for secret in ("simsecret", "simtoken", settings.api_key.get_secret_value()):
        assert secret not in log


async def test_doctor_prints_one_line_for_each_check(settings: Settings) -> None:
    """All well is 0; a broken part is named and makes it 1, and the others are still looked at."""
    code, out, _ = await _run(_environment(settings), "doctor")
    verdicts = {line.split()[1]: line.split()[0] for line in out.splitlines()}
    assert (code, set(verdicts.values())) == (0, {"ok"})
    of_the_machine = {"settings", "api", "log", "disk", "token", "port", "calendar", "clock", "feed"}
    of_the_database = {"database", "migrations", "rights", "deployment", "event", "sender"}
    assert set(verdicts) == of_the_machine | of_the_database | {"redis", "broker"}
    code, out, _ = await _run(_environment(settings, {"REDIS_URL": "redis://:c4n4ry@127.0.0.1:1"}), "doctor")
    verdicts = {line.split()[1]: line.split()[0] for line in out.splitlines()}
    assert (code, verdicts["redis"], verdicts["broker"]) == (1, "fail", "ok")
    assert "c4n4ry" not in out
