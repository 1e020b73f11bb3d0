"""Databases and poolers on which the service cannot work are refused in one line, those on which it can are used."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from app.bootstrap import open_services
from app.commands import migrate
from app.commands.doctor import examine
from app.config import Settings
from app.db.database_bounds import DatabaseBounds
from app.db.postgres import open_database
from app.db.server_check import POOLED, check_server
from app.errors import StartError, Unavailable
from tests.integration.conftest import running_service
from tests.integration.db.pooler import pooler

CONNECTIONS = 17
"""What PRODUCTION_DEPLOYMENT.md says that a process takes."""


def with_database(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": type(settings.database_url)(url)})


async def refusals(settings: Settings) -> set[str]:
    """What migrate, doctor and serve say."""
    said = set()
    with pytest.raises(StartError) as by_migrate:
        await asyncio.to_thread(migrate.to_head, settings)
    said.add(by_migrate.value.message)
    with pytest.raises(StartError) as by_serve:
        async with open_services(settings):
            raise AssertionError("it must not start")
    said.add(by_serve.value.message)
    (by_doctor,) = [one for one in await examine(settings) if one.subject == "database"]
    assert by_doctor.result == "fail"
    said.add(by_doctor.detail)
    return said


@pytest.fixture(params=["SQL_ASCII", "LATIN1", "EUC_JP"])
def other_encoding(request: pytest.FixtureRequest, postgres_server: str) -> Iterator[tuple[str, str]]:
    """An encoding that is not UTF-8, and the address of a database in it."""
    name = f"other_{request.param.lower()}"
    statement = "CREATE DATABASE {} ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(request.param)))
    yield request.param, urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


async def test_an_encoding_that_is_not_utf8_is_refused(settings: Settings, other_encoding: tuple[str, str]) -> None:
    """By every command in the same line, which says what was found and what is wanted."""
    encoding, url = other_encoding
    (line,) = await refusals(with_database(settings, url))
    assert "\n" not in line
    assert f"DATABASE_URL: the encoding of the database is {encoding}, not UTF8" in line


async def test_transaction_pooling_is_refused(settings: Settings, database_url: str) -> None:
    """By every command in the same line, with what works instead."""
    async with pooler(database_url, "transaction") as url:
        (line,) = await refusals(with_database(settings, url))
    assert "\n" not in line
    assert f"in transaction mode before PostgreSQL: connect directly, or in session mode with {POOLED}" in line


async def test_a_pooler_with_one_connection_is_refused(database_url: str) -> None:
    """Its second client would wait for ever."""
    async with pooler(database_url, "session", size=1) as url:
        with pytest.raises(StartError, match=re.escape(f"session mode with {POOLED} connections")) as refused:
            await check_server(url)
    assert "gives no second session" in refused.value.message


async def test_session_pooling_works(settings: Settings, database_url: str) -> None:
    """With as many connections as one process takes, though it refuses startup options; an order is placed."""
    order = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "CNC",
             "order_type": "MARKET"}  # fmt: skip
    async with (
        pooler(database_url, "session", size=CONNECTIONS) as url,
        running_service(with_database(settings, url)) as service,
    ):
        answers = await asyncio.gather(*(service.client.post("/orders?wait=20", json=order) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {201}
        database = await open_database(database_url, name="direct", min_size=1, max_size=1)
        async with database.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            row = await cursor.fetchone()
        await database.close()
    assert row is not None
    assert row[0] <= CONNECTIONS


def test_a_process_takes_no_more_connections_than_the_document_says() -> None:
    """Two pools, and one connection that listens."""
    defaults = Settings()
    assert defaults.database_pool_size + defaults.database_engine_pool_size + 1 == CONNECTIONS
    assert f"{CONNECTIONS} connections" in Path("PRODUCTION_DEPLOYMENT.md").read_text(encoding="utf-8")


async def test_the_bounds_of_the_settings_reach_the_server_and_the_pool(database_url: str) -> None:
    """Each one: a setting that only its own pool ignores would be one without effect."""
    chosen = Settings(
        database_pool_wait_s=0.2,
        database_connect_timeout_s=7,
        database_statement_timeout_s=1.5,
        database_lock_timeout_s=0.7,
        database_idle_timeout_s=4,
        database_answer_timeout_s=1.9,
    )
    bounds = DatabaseBounds.from_settings(chosen)
    database = await open_database(database_url, name="bounds", min_size=1, max_size=1, bounds=bounds)
    wanted = {"statement_timeout": "1500ms", "lock_timeout": "700ms", "idle_in_transaction_session_timeout": "4s"}
    try:
        async with database.connection() as connection:
            cursor = await connection.execute(
                "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", (list(wanted),)
            )
            assert dict(await cursor.fetchall()) == wanted
            assert getattr(connection, "answer_s") == 1.9  # noqa: B009 - of the pool's own class
            assert connection.info.get_parameters()["connect_timeout"] == "7"
            begun_at = time.monotonic()
            with pytest.raises(Unavailable):
                await database.ping()
            assert 0.15 < time.monotonic() - begun_at < 1.4  # the default is 1.5
    finally:
        await database.close()


@pytest.mark.parametrize("plans", ["each_its_own", "once"])
async def test_the_options_of_the_url_are_kept_beside_the_bounds(database_url: str, plans: str) -> None:
    """A schema of its own, a role's settings; the service's bounds are set all the same."""
    url = f"{database_url}?options=-c%20work_mem%3D7MB%20-c%20search_path%3Dpublic%2Cextra"
    database = await open_database(url, name="options", min_size=1, max_size=1, plans=plans)  # type: ignore[arg-type]
    wanted = {
        "work_mem": "7MB",
        "search_path": "public,extra",
        "statement_timeout": "2500ms",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
        "TimeZone": "UTC",
        "plan_cache_mode": "force_generic_plan" if plans == "once" else "auto",
    }
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", (list(wanted),)
        )
        found = dict(await cursor.fetchall())
    await database.close()
    assert found == wanted


def test_the_options_of_the_url_are_kept_by_a_migration(settings: Settings, empty_database_url: str) -> None:
    """The schema is made where the URL says."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA apart")
    url = f"{empty_database_url}?options=-c%20search_path%3Dapart%2Cpublic"
    migrate.to_head(with_database(settings, url))
    with psycopg.connect(empty_database_url) as connection:
        row = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'order_task'").fetchone()
    assert row == ("apart",)
