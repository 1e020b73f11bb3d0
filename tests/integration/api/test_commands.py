"""The bodies of the commands, called as the command line calls them."""

import asyncio
import base64
import gc

import msgspec
import psycopg
import pytest

from app.bootstrap import open_services
from app.commands import events, kill, login, operator_database, orders, recover, tail
from app.commands.doctor import examine
from app.commands.serve import bind, exit_code, freeze_garbage_collection
from app.config import Settings
from app.db.postgres import open_database
from app.db.redis import make_redis
from app.errors import NotFound, ServiceError, StartError
from app.orders.state.tags import TagSecrets
from tests.integration.conftest import RunningService
from tests.integration.events.conftest import append

HASH_THE_FIRST = "UPDATE event SET hash = event_hash(NULL, account_id, seq, type, data, occurred_at)"


async def _tail(settings: Settings, *, pattern: str, count: int = 1, seconds: float = 3.0) -> list[str]:
    return [tick async for tick in tail.ticks(settings, pattern=pattern, count=count, seconds=seconds)]


async def test_tail_shows_what_is_published(settings: Settings) -> None:
    """By token and by symbol; other instruments are passed over."""
    redis = make_redis(settings.redis_url.get_secret_value())
    ticks = [
        {"instrument_token": 1, "exchange": "NSE", "tradingsymbol": "SBIN"},
        {"instrument_token": 408065, "exchange": "NSE", "tradingsymbol": "INFY"},
    ]

    async def publish() -> None:
        while True:
            for tick in ticks:
                await redis.publish(
                    f"{settings.redis_prefix}ticks:{tick['instrument_token']}", msgspec.json.encode(tick)
                )
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        publisher = group.create_task(publish())
        by_token = await _tail(settings, pattern="408065", count=2)
        by_symbol = await _tail(settings, pattern="NSE:INFY")
        everything = await _tail(settings, pattern="*", count=4)
        publisher.cancel()
    await redis.aclose()
    assert [msgspec.json.decode(one) for one in by_token] == [ticks[1]] * 2
    assert msgspec.json.decode(by_symbol[0]) == ticks[1]
    assert len(everything) == 4


async def test_tail_ends_when_nothing_comes(settings: Settings) -> None:
    """Bounded by its seconds."""
    assert await _tail(settings, pattern="*", seconds=0.1) == []


async def test_tail_without_redis_is_one_line(settings: Settings) -> None:
    """The variable to look at is named."""
    away = settings.model_copy(update={"redis_url": type(settings.redis_url)("redis://127.0.0.1:1")})
    with pytest.raises(StartError, match="REDIS_URL"):
        await _tail(away, pattern="*")


async def test_login_goes_through_the_running_service(service: RunningService) -> None:
    """Its errors are the service's; a service that does not answer is named."""
    settings = service.settings
    url = await login.login_url(settings, service_url=service.url, account_id="primary")
    assert "api_key=simkey" in url
    with pytest.raises(ServiceError, match="unknown"):
        await login.login_url(settings, service_url=service.url, account_id="unknown")
    with pytest.raises(ServiceError):
        await login.exchange(settings, service_url=service.url, account_id="primary", request_token="wrong")
    with pytest.raises(StartError, match="does not answer"):
        await login.login_url(settings, service_url="http://127.0.0.1:1", account_id="primary")


async def test_doctor_finds_what_is_missing(settings: Settings, empty_database_url: str) -> None:
    """A schema that is not there, a Redis that is away, an account that never logged in."""
    assert {finding.result for finding in await examine(settings)} == {"ok"}
    secret = type(settings.redis_url)
    ill = settings.model_copy(
        update={"database_url": secret(empty_database_url), "redis_url": secret("redis://127.0.0.1:1")}
    )
    results = {finding.subject: finding.result for finding in await examine(ill)}
    assert {subject for subject, result in results.items() if result == "fail"} == {
        "migrations",
        "redis",
        "broker primary",
    }
    assert {"settings", "database"} <= results.keys()
    assert "(directly, IPv4 or IPv6)" in str((await examine(settings))[-1])
    astray = settings.model_copy(update={"kite_proxy": secret("http://me:c4n4ry@127.0.0.1:1"), "kite_ipv4_only": True})
    line = str((await examine(astray))[-1])
    assert line.startswith("fail")
    assert "(through the proxy 127.0.0.1:1, IPv4 only)" in line
    without_token = settings.model_copy(update={"kite_access_token": secret("")})
    (session,) = [finding for finding in await examine(without_token) if finding.subject == "broker primary"]
    assert session.result == "warn"
    assert "login" in str(session)


async def test_the_database_of_another_deployment_is_refused(settings: Settings) -> None:
    """Its orders would not be recognised in the broker's book. The line says how the database can be kept."""
    async with open_services(settings):
        pass  # its first process notes to which deployment the database belongs
    other = base64.b64encode(b"another secret of the same bytes").decode()
    wrong = settings.model_copy(update={"order_tag_secret": type(settings.redis_url)(other)})
    (finding,) = [one for one in await examine(wrong) if one.subject == "deployment"]
    assert (finding.result, "ORDER_TAG_CODE=" in finding.detail) == ("fail", True)
    with pytest.raises(StartError, match="ORDER_TAG_CODE="):
        async with open_services(wrong):
            raise AssertionError("it must not start")
    code = TagSecrets.from_settings(settings).code
    kept = wrong.model_copy(update={"order_tag_code": code})
    assert {one.result for one in await examine(kept) if one.subject == "deployment"} == {"ok"}


async def test_recover_prints_what_a_loss_has_left_open(settings: Settings, database_url: str) -> None:
    """Each account with its sign, and what cannot be known; an unknown order cannot be called none of ours."""
    async with open_services(settings):
        assert await recover.report(settings) == ["no account has recovered from a loss of the database"]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO account_recovery (account_id, sign, quiet_from) VALUES ('primary', 'an older copy', now())"
        )
    lines = await recover.report(settings)
    assert "recovering now: an older copy" in lines[0]
    assert lines[-len(recover.UNKNOWABLE) :] == list(recover.UNKNOWABLE)
    with pytest.raises(NotFound):
        await recover.not_ours(settings, account_id="primary", order_id="7", note="placed by hand")


@pytest.mark.made_up_orders
async def test_doctor_finds_an_event_that_was_changed(settings: Settings, database_url: str) -> None:
    """A row of the event log that is not as it was written is named."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("INSERT INTO account_seq VALUES ('primary', 'first', 1)")
        await connection.execute("INSERT INTO event VALUES ('primary', 1, 'order_placed', '{}', now())")
        await connection.execute(HASH_THE_FIRST)
        assert {finding.result for finding in await examine(settings)} == {"ok"}
        await connection.execute("UPDATE account_seq SET seq = 2 WHERE account_id = 'primary'")
        await connection.execute("INSERT INTO event VALUES ('primary', 2, 'order_placed', '{}', now(), sha256('x'))")
    (log,) = [finding for finding in await examine(settings) if finding.subject == "event log"]
    assert (log.result, log.detail) == ("fail", "event 2 of primary is not what was written")


async def test_a_misspelt_account_is_not_reported_as_halted(settings: Settings) -> None:
    """An operator in a hurry must not read that an account is halted when none is."""
    with pytest.raises(NotFound, match="primry"):
        await kill.halt(settings, account_id="primry", mode="halt", open_orders="leave", reason="x")
    assert await kill.resume(settings, account_id="primry", reason="x") == ["there was no halt of primry"]


def test_the_kill_switch_works_for_a_user_without_a_name() -> None:
    """A container may run under any number; the audit trail has that number then."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    assert operator_database.current_operator(login_name=nameless).principal.startswith("cli:uid-")


async def test_a_missing_schema_is_one_line_for_an_operator(settings: Settings, empty_database_url: str) -> None:
    """A wrong DATABASE_URL in a hurry is no traceback."""
    empty = settings.model_copy(update={"database_url": type(settings.redis_url)(empty_database_url)})
    with pytest.raises(StartError, match="python -m app migrate"):
        await kill.halt(empty, account_id=None, mode="halt", open_orders="leave", reason="x")
    with pytest.raises(StartError, match="python -m app migrate"):
        await orders.doubts(empty)


async def test_a_failed_task_ends_the_process_with_one_and_a_signal_with_zero() -> None:
    """The platform restarts only what failed."""
    for stopped, failed, code in (("stop", None, 0), (None, "failed", 1), ("stop", "failed", 1)):
        stop, failure = asyncio.Event(), asyncio.Event()
        if stopped:
            stop.set()
        if failed:
            failure.set()
        assert await asyncio.wait_for(exit_code(stop=stop, failed=failure), 1) == code


def test_a_taken_port_names_itself() -> None:
    """Host, port and the system's own reason."""
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}: Address already in use"):
            bind("127.0.0.1", port)


def test_the_objects_of_the_start_are_excluded_from_collection() -> None:
    """Its full collections would stop everything for as long as that takes to look at."""
    gc.unfreeze()
    try:
        freeze_garbage_collection()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


@pytest.mark.made_up_orders
async def test_the_event_log_is_verified_and_copied(settings: Settings) -> None:
    """An intact log, a copy of it, and a row that was changed by hand; an account without a log is named."""
    database = await open_database(settings.database_dsn, name="test", min_size=1, max_size=1)
    await append(database, 3)
    lines, is_intact = await events.verify(settings, account_id=None)
    assert (lines, is_intact) == (["primary: 3 events up to 3 are as they were written"], True)
    copy = [line async for line in events.export(settings, account_id="primary")]
    assert (len(copy), events.verify_copy(settings, copy)) == (4, [])
    async with database.connection() as connection:
        await connection.execute("UPDATE event SET type = 'order_failed' WHERE seq = 2")
    await database.close()
    assert await events.verify(settings, account_id="primary") == (
        ["primary: event 2 is not what was written"],
        False,
    )
    with pytest.raises(NotFound, match="missing"):
        await events.verify(settings, account_id="missing")
