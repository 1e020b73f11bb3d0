"""``doctor`` on set-ups that are broken, each in another way: the right check fails, and its line says what to do."""

from __future__ import annotations

import base64
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from app.bootstrap import open_services
from app.commands.doctor import examine
from app.commands.doctor_network import clock_finding, memory_problem
from app.commands.findings import Finding
from app.commands.serve import bind
from app.config import Settings, load_settings
from app.errors import ServiceError, SettingsError
from app.ops.logging import configure_logging
from tests.integration.conftest import RunningService

CLOSED = "127.0.0.1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One set-up: the variables that differ, the check that fails, and a part of what its line says."""

    change: Mapping[str, str]
    subject: str
    says: str
    serve: str = "refuses"  # or "starts": it would run and not work


MADE_FOR_THE_TEST = ("{newer}", "{standby}", "{used}", "{readonly}")
OTHER_SECRET = base64.b64encode(b"another secret of the same bytes").decode()
SETTINGS = [
    ("PORT", "http", "integer"),
    ("ENVIRONMENT", "prod", "'production'"),
    ("LOG_LEVEL", "loud", "'INFO'"),
    ("API_KEY", "a key with blanks", "header"),
    ("HOST", "all of them", "pattern"),
    ("TRUSTED_PROXIES", "not-an-ip", "addresses or networks"),
    ("DATABASE_URL", "mysql://u:p@x/y", "postgresql://"),
    ("REDIS_URL", "localhost:6379", "redis://"),
    ("REDIS_POOL_SIZE", "0", "greater than or equal to 2"),
    ("KITE_REST_URL", "https://", "host"),
    ("KITE_WS_URL", "https://x", "wss://"),
    ("KITE_PROXY", "socks5://x:1", "http://"),
    ("EGRESS_IP", "broker.example", "IP"),
    ("LIMIT_DEFAULT", "0/second", "at least 1"),
    ("TOKEN_KEY", "short", "32 random bytes"),
    ("ORDER_TAG_SECRET", "short", "32 random bytes"),
    ("RISK_MAX_ORDER_VALUE", "-1", "greater than or equal to 0"),
    ("ENVIROMENT", "production", "ENVIRONMENT was meant"),
    ("RISK_MAX_ORDER_VALU", "1000", "RISK_MAX_ORDER_VALUE was meant"),
    ("REDIS_PASSWORD", "x", "no such setting"),
    ("API_KEY_FILE", "/nowhere/key", "only one"),
    ("KITE_API_KEY", "", "api_key of your Kite Connect app"),
    ("ACCOUNTS_FILE", "/nowhere/accounts.yaml", "readable file"),
]
BROKEN = [
    *(Broken(change={name: value}, subject=name, says=says) for name, value, says in SETTINGS),
    Broken(change={"ENVIRONMENT": "production"}, subject="KITE_REST_URL", says="PAPER=true"),
    Broken(change={"API_KEY": ""}, subject="api key", says="the key that clients send"),
    Broken(change={"LOG_DIR": "{file}/logs"}, subject="log dir", says="can be written to"),
    Broken(change={"LOG_DIR": "/proc/nowhere"}, subject="log dir", says="can be written to"),
    Broken(change={"TOKEN_DIR": "{file}/none"}, subject="token dir", says="make it, or mount it", serve="starts"),
    Broken(change={"TOKEN_DIR": "{file}"}, subject="token dir", says="make it, or mount it", serve="starts"),
    Broken(change={"PORT": "{taken}"}, subject="port", says="in use"),
    Broken(change={"HOST": "203.0.113.1"}, subject="port", says="cannot listen on"),
    Broken(change={"DATABASE_URL": f"postgresql://u:p@{CLOSED}/x"}, subject="database", says="refused"),
    Broken(change={"DATABASE_URL": "{wrong_password}"}, subject="database", says="password"),
    Broken(change={"DATABASE_URL": "{no_database}"}, subject="database", says="does not exist"),
    Broken(change={"DATABASE_URL": "{empty}"}, subject="migrations", says="python -m app migrate"),
    Broken(change={"DATABASE_URL": "{newer}"}, subject="migrations", says="newer than this release"),
    Broken(change={"DATABASE_URL": "{readonly}"}, subject="rights", says="may not read and write"),
    Broken(change={"DATABASE_URL": "{standby}"}, subject="database", says="takes no writes"),
    Broken(change={"ORDER_TAG_SECRET": OTHER_SECRET, "DATABASE_URL": "{used}"}, subject="deployment", says="TAG_CODE"),
    Broken(change={"REDIS_URL": f"redis://{CLOSED}"}, subject="redis", says="1", serve="starts"),
    Broken(change={"KITE_WS_URL": f"ws://{CLOSED}"}, subject="feed", says="KITE_WS_URL: no connection", serve="starts"),
    Broken(change={"KITE_PROXY": f"http://{CLOSED}"}, subject="feed", says="KITE_PROXY: no conn", serve="starts"),
    Broken(change={"KITE_REST_URL": f"http://{CLOSED}"}, subject="clock", says="no answer", serve="starts"),
    Broken(
        change={"EGRESS_IP": "203.0.113.7", "ALLOWED_EGRESS_IPS": "203.0.113.8"},
        subject="sender primary", says="may not send", serve="starts",
    ),
    Broken(change={"KITE_ACCESS_TOKEN": "dead"}, subject="broker primary", says="SESSION_EXPIRED", serve="starts"),
]  # fmt: skip


def environment_of(settings: Settings) -> dict[str, str]:
    """The fixture's settings as variables, which a set-up changes."""
    secrets = ("api_key", "database_url", "redis_url", "kite_api_secret", "kite_access_token")
    plain = ("redis_prefix", "log_dir", "kite_rest_url", "kite_ws_url", "kite_api_key", "market_calendar", "port")
    given = {name.upper(): getattr(settings, name).get_secret_value() for name in secrets}
    return given | {name.upper(): str(getattr(settings, name)) for name in plain}


async def diagnose(environ: Mapping[str, str]) -> list[Finding]:
    """What the command finds; settings that are refused are its only line, by the name of the variable."""
    try:
        return await examine(load_settings(environ, env_file=None))
    except SettingsError as error:
        return [Finding(result="fail", subject=error.variable, detail=error.message)]


async def refusal_of_serve(environ: Mapping[str, str]) -> str | None:
    """What ``serve`` says when it refuses to start, None when it starts."""
    try:
        settings = load_settings(environ, env_file=None)
        with bind(settings.host, settings.port):
            configure_logging(settings)
            async with open_services(settings):
                return None
    except ServiceError as error:
        return error.message


@pytest.fixture
def url_for(database_url: str) -> Callable[..., str]:
    parts = urlsplit(database_url)

    def change(
        *, user: str | None = None, password: str | None = None, path: str | None = None, query: str = ""
    ) -> str:
        place = f"{user or parts.username}:{password or parts.password or ''}@{parts.hostname}:{parts.port}"
        return urlunsplit((parts.scheme, place, path or parts.path, query, ""))

    return change


@asynccontextmanager
async def broken_database(kind: str, database_url: str, url_for: Callable[..., str]) -> AsyncIterator[str]:
    """The address of a database that is broken in this way, made for the block."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        match kind:
            case "newer":
                await connection.execute("UPDATE alembic_version SET version_num = '9999'")
                yield database_url
            case "standby":
                yield url_for(query="options=-c%20default_transaction_read_only%3Don")
            case "used":
                await connection.execute("INSERT INTO deployment (code, configured) VALUES ('00', true)")
                yield database_url
            case _:
                role = f"reader_{uuid.uuid4().hex[:8]}"
                name, secret = sql.Identifier(role), sql.Literal("r3ad3r")
                await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, secret))
                await connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
                try:
                    yield url_for(user=role, password="r3ad3r")
                finally:
                    await connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
                    await connection.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: f"{one.subject}-{'-'.join(one.change)}-{one.says[:12]}")
async def test_a_broken_set_up_is_named_by_its_check(
    broken: Broken, settings: Settings, database_url: str, empty_database_url: str, tmp_path: Path,
    url_for: Callable[..., str],
) -> None:  # fmt: skip
    """Where ``serve`` refuses the start, doctor fails; and nothing else that was fine fails with it."""
    (tmp_path / "file").write_text("not a directory")
    kinds = [value[1:-1] for value in broken.change.values() if value in MADE_FOR_THE_TEST]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places: dict[str, Any] = {
            "file": tmp_path / "file",
            "taken": taken.getsockname()[1],
            "empty": empty_database_url,
            "wrong_password": url_for(password="wr0ng"),
            "no_database": url_for(path="/nowhere"),
        }
        if not kinds:
            await check(broken, environment_of(settings), places)
        else:
            async with broken_database(kinds[0], database_url, url_for) as url:
                await check(broken, environment_of(settings), places | {kinds[0]: url})


async def check(broken: Broken, environ: dict[str, str], places: Mapping[str, Any]) -> None:
    """Compare what doctor finds with the row, and with what ``serve`` does."""
    environ |= {name: value.format_map(places) for name, value in broken.change.items()}
    failed = {one.subject: one for one in await diagnose(environ) if one.result == "fail"}
    assert broken.subject in failed, failed
    line = str(failed[broken.subject])
    assert broken.says in line
    assert "\n" not in line
    assert all(secret not in line for secret in ("r3ad3r", "wr0ng"))
    refusal = await refusal_of_serve(environ)
    assert (refusal is None) == (broken.serve == "starts"), refusal


def test_there_are_forty_broken_set_ups() -> None:
    """No two of them the same."""
    assert len({(one.subject, tuple(one.change.items())) for one in BROKEN}) == len(BROKEN) >= 40


async def test_a_port_that_the_service_itself_has_is_fine(service: RunningService) -> None:
    """Doctor is run beside the service, in its container."""
    port = urlsplit(service.url).port
    findings = {one.subject: one for one in await examine(service.settings.model_copy(update={"port": port}))}
    assert findings["port"].result == "ok"
    assert "the service answers" in findings["port"].detail


async def test_the_latency_of_each_dependency_is_shown(settings: Settings) -> None:
    """Beside what it answered."""
    findings = {one.subject: one.detail for one in await examine(settings)}
    assert all(" ms" in findings[one] for one in ("database", "redis", "feed", "clock", "broker primary"))


@pytest.mark.parametrize(
    ("memory", "problem"),
    [
        ({}, None),
        ({"maxmemory": 0, "maxmemory_policy": "allkeys-lru"}, None),
        ({"maxmemory": 2**28, "used_memory": 2**20, "maxmemory_policy": "noeviction"}, None),
        ({"maxmemory": 2**28, "used_memory": 2**20, "maxmemory_policy": "allkeys-lru"}, "set noeviction"),
        ({"maxmemory": 2**28, "used_memory": 2**28, "maxmemory_policy": "noeviction"}, "raise maxmemory"),
    ],
)
def test_a_redis_that_drops_or_refuses_what_is_written_is_named(
    memory: Mapping[str, object], problem: str | None
) -> None:
    """Last prices would go without a word, or ticks would be refused."""
    found = memory_problem(memory)
    assert (found is None) == (problem is None)
    assert problem is None or problem in str(found)


@pytest.mark.parametrize(
    ("offset_s", "result"), [(0, "ok"), (-0.9, "ok"), (5, "warn"), (-5, "warn"), (60, "fail"), (-60, "fail")]
)
def test_a_clock_that_is_wrong_is_named(offset_s: float, result: str) -> None:
    """A slow answer alone is none: the broker's time may be any between question and answer."""
    now = datetime(2026, 12, 1, 9, 15, 0, tzinfo=UTC)
    header = format_datetime(now + timedelta(seconds=offset_s), usegmt=True)
    assert clock_finding(header, asked_at=now, answered_at=now).result == result
    assert (
        clock_finding(header, asked_at=now - timedelta(minutes=2), answered_at=now + timedelta(minutes=2)).result
        == "ok"
    )
    assert clock_finding("soon", asked_at=now, answered_at=now).result == "warn"
