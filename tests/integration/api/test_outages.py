"""Health and orders while PostgreSQL or Redis is away or hangs, and the recovery without a restart."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.config import Settings
from tests.integration.conftest import RunningService, running_service
from tests.integration.market.proxy import TcpProxy
from tests.waiting import until

NO_CHANNELS = "no-channels"
"""A user of Redis who may do everything but publish."""


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.to(settings.database_url.get_secret_value()) as proxy:
        yield proxy


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.to(settings.redis_url.get_secret_value()) as proxy:
        yield proxy


def _behind(settings: Settings, **urls: TcpProxy) -> Settings:
    return settings.model_copy(update={name: SecretStr(proxy.url) for name, proxy in urls.items()})


async def _health(service: RunningService) -> dict[str, object]:
    body: dict[str, object] = (await service.anonymous.get("/health")).json()
    return body


async def _until_status(service: RunningService, status: str) -> None:
    async def says() -> bool:
        return (await _health(service))["status"] == status

    await until(says, within_s=30, every_s=0.1)


async def test_without_redis_the_service_is_degraded_and_orders_are_taken(settings: Settings, redis: TcpProxy) -> None:
    """Health stays 200 and names the part that is down; orders are accepted; the service recovers by itself."""
    async with running_service(_behind(settings, redis_url=redis)) as service:
        await _until_status(service, "ok")
        await redis.cut()
        await _until_status(service, "degraded")
        answer = await service.anonymous.get("/health")
        assert answer.status_code == 200
        assert answer.json()["dependencies"]["redis"] == "down"
        order = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1}
        order |= {"product": "CNC", "order_type": "MARKET"}
        placed = await service.client.post("/orders", json=order)
        assert placed.status_code == 201, placed.text
        await redis.heal()
        await _until_status(service, "ok")


@pytest.fixture
async def user_without_channels(settings: Settings) -> AsyncIterator[tuple[Any, Settings]]:
    """Redis as its administrator sees it, and settings with a user who may do everything but publish."""
    url = settings.redis_url.get_secret_value()
    admin: Any = Redis.from_url(url)
    await admin.execute_command("ACL", "SETUSER", NO_CHANNELS, "on", ">secret", "~*", "+@all", "resetchannels")
    host = url.rpartition("@")[2].rpartition("//")[2]
    yield admin, settings.model_copy(update={"redis_url": SecretStr(f"redis://{NO_CHANNELS}:secret@{host}")})
    await admin.execute_command("ACL", "DELUSER", NO_CHANNELS)
    await admin.aclose()


async def test_ticks_that_redis_refuses_are_reported_and_do_not_count_as_published(
    user_without_channels: tuple[Any, Settings],
) -> None:
    """Redis answers every PING and takes no tick: degraded with its error code until it takes them again."""
    admin, settings = user_without_channels
    async with running_service(settings) as service:
        await _until_status(service, "ok")
        tick = {"exchange": "NSE", "tradingsymbol": "TCS", "requested_mode": "full"}
        (await service.client.post("/subscriptions", json=tick)).raise_for_status()
        await _until_status(service, "degraded")
        dependencies: Any = (await _health(service))["dependencies"]
        assert (dependencies["redis"], dependencies["redis_refuses"]) == ("ok", "NOPERM")
        stats = service.services.metrics.render().decode()
        assert "ticker_ticks_published_total 0.0" in stats
        assert "ticker_ticks_refused_total 0.0" not in stats
        await admin.execute_command("ACL", "SETUSER", NO_CHANNELS, "allchannels")
        await _until_status(service, "ok")
        assert "ticker_ticks_published_total 0.0" not in service.services.metrics.render().decode()


async def test_connections_to_redis_that_died_while_idle_are_no_outage(settings: Settings) -> None:
    """Redis has ended all of them and answers: health does not call it down once for each of them."""
    async with running_service(settings) as service:
        await _until_status(service, "ok")
        admin: Any = Redis.from_url(settings.redis_url.get_secret_value())
        async with admin:
            await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        answers = [(await _health(service))["dependencies"] for _ in range(5)]
        assert [isinstance(one, dict) and one["redis"] for one in answers] == ["ok"] * 5


async def test_without_the_database_health_is_down_within_bounds(settings: Settings, database: TcpProxy) -> None:
    """503, alive, and ready for now; orders are refused as certainly not sent; the service recovers by itself."""
    async with running_service(_behind(settings, database_url=database)) as service:
        await _until_status(service, "ok")
        await database.cut()
        await _until_status(service, "down")
        answer = await service.anonymous.get("/health")
        assert answer.status_code == 503
        assert answer.json()["dependencies"]["database"] == "down"
        orders = answer.json()["orders"]
        (account,) = orders.pop("accounts")
        assert orders == {"in_doubt": None, "oldest_in_doubt_s": None, "halted": None}
        assert (account["can_trade"], account["reasons"]) == (False, ["database_stalled"])
        assert account["detail"] is None
        assert (await service.anonymous.get("/health/ready")).status_code == 200
        assert (await service.anonymous.get("/health/live")).status_code == 200
        refused = await service.client.get("/orders")
        assert (refused.status_code, refused.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert (refused.json()["sent"], refused.json()["retryable"]) == ("no", "yes")
        assert "retry-after" in refused.headers
        await database.heal()
        await _until_status(service, "ok")


async def test_a_login_during_an_outage_of_the_database_is_stored_afterwards(
    settings: Settings, database: TcpProxy
) -> None:
    """In force at once, not yet safe from a restart, and both when the database is back."""
    sealed = settings.model_copy(update={"token_key": SecretStr(base64.b64encode(b"k" * 32).decode())})
    async with running_service(_behind(sealed, database_url=database)) as service:
        await _until_status(service, "ok")
        await database.cut()
        await _until_status(service, "down")
        assert (await service.client.get("/accounts/primary/login-url")).status_code == 200
        answer = await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["has_session"], body["token_origin"], body["persistent"]) == (True, "login", False)
        await database.heal()

        async def is_safe() -> bool:
            return bool((await service.client.get("/accounts/primary")).json()["persistent"])

        await until(is_safe)
    async with running_service(sealed) as again:
        assert (await again.client.get("/accounts/primary")).json()["token_origin"] == "login"


async def test_health_answers_while_both_hang(settings: Settings, database: TcpProxy, redis: TcpProxy) -> None:
    """A dependency that neither answers nor refuses is not waited for until it does."""
    async with running_service(_behind(settings, database_url=database, redis_url=redis)) as service:
        await _until_status(service, "ok")
        database.hang()
        redis.hang()
        async with asyncio.timeout(15):
            body = await _health(service)
        assert body["status"] == "down"
        dependencies = body["dependencies"]
        assert isinstance(dependencies, dict)
        assert (dependencies["redis"], dependencies["database"]) == ("down", "down")
        database.resume()
        redis.resume()
        await _until_status(service, "ok")


async def test_liveness_shows_a_crashed_background_task(settings: Settings) -> None:
    """503, so that the platform starts the process again."""

    async def crash() -> None:
        raise RuntimeError("a loop died")

    async with running_service(settings) as service:
        assert (await service.anonymous.get("/health/live")).status_code == 200
        service.services.supervisor.start("doomed", crash())
        await asyncio.wait_for(service.services.supervisor.failed.wait(), 20)
        answer = await service.anonymous.get("/health/live")
        assert answer.status_code == 503
        assert answer.json()["tasks"]["doomed"] == "crashed"


async def test_a_draining_service_is_not_ready(settings: Settings) -> None:
    """No new traffic is wanted while it stops."""
    async with running_service(settings) as service:
        assert (await service.anonymous.get("/health/ready")).status_code == 200
        service.services.health.begin_draining()
        answer = await service.anonymous.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the service is stopping"])
