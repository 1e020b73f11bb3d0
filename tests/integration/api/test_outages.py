"""Health and orders while PostgreSQL or Redis is away or hangs, and the recovery without a restart."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.config import Settings
from tests.integration.conftest import RunningService, running_service
from tests.integration.market.proxy import TcpProxy
from tests.waiting import until


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
