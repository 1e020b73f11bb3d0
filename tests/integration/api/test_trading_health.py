"""`orders.accounts` of health: would an order placed now reach the broker, and what do callers without a key see?"""

from collections.abc import Mapping
from typing import Any

import psycopg

from app.config import Settings
from app.orders.state.alarms import Alarm
from tests.integration.conftest import RunningService
from tests.waiting import until

HALT = {"scope": "account", "account_id": "primary", "mode": "reduce_only", "reason": "looks odd"}


async def _account(service: RunningService, *, with_key: bool = False) -> Mapping[str, Any]:
    client = service.client if with_key else service.anonymous
    (account,) = (await client.get("/health")).json()["orders"]["accounts"]
    found: Mapping[str, Any] = account
    return found


async def _until_reasons(service: RunningService, reasons: list[str], *, within_s: float) -> None:
    async def shown() -> bool:
        return bool((await _account(service))["reasons"] == reasons)

    await until(shown, within_s=within_s, every_s=0.1)


async def test_health_says_whether_an_account_can_trade(service: RunningService) -> None:
    """Ok while it can; degraded with the reason while it cannot, and 200: the service itself works."""
    await _until_reasons(service, [], within_s=10)
    account = await _account(service)
    assert (account["account_id"], account["can_trade"], account["detail"]) == ("primary", True, None)
    assert account["since"].endswith("+05:30")
    (await service.client.post("/admin/kill", json=HALT)).raise_for_status()
    await _until_reasons(service, ["reduce_only"], within_s=3)
    answer = await service.anonymous.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["orders"]["accounts"][0]["can_trade"] is False


async def test_only_a_caller_with_the_key_sees_the_details(service: RunningService) -> None:
    """They may repeat the operator's words, or the broker's."""
    await _until_reasons(service, [], within_s=10)
    (await service.client.post("/admin/kill", json=HALT)).raise_for_status()
    await _until_reasons(service, ["reduce_only"], within_s=3)
    assert (await _account(service))["detail"] is None
    wrong = await service.anonymous.get("/health", headers={"X-API-Key": "wrong"})
    assert wrong.json()["orders"]["accounts"][0]["detail"] is None
    assert (await _account(service))["replicas"] is None
    detail = (await _account(service, with_key=True))["detail"]
    assert detail == {"reduce_only": "reduce_only by default: looks odd"}
    (replica,) = (await _account(service, with_key=True))["replicas"]
    assert (replica["may_send"], replica["is_owner"]) == (True, True)


async def test_the_metrics_have_each_account_and_reason(service: RunningService) -> None:
    """One sample for each possible reason, so that an alarm ends by itself."""
    await _until_reasons(service, [], within_s=10)
    (await service.client.post("/admin/kill", json=HALT)).raise_for_status()
    await _until_reasons(service, ["reduce_only"], within_s=3)
    scraped = (await service.anonymous.get("/metrics")).text
    assert all(f'ticker_order_alarms_total{{kind="{kind}"}} 0.0' in scraped for kind in Alarm)
    assert 'ticker_account_can_trade{account="primary"} 0.0' in scraped
    assert 'ticker_account_blocked{account="primary",reason="reduce_only"} 1.0' in scraped
    assert 'ticker_account_blocked{account="primary",reason="no_sender"} 0.0' in scraped


async def test_a_feed_that_no_replica_runs_is_reported(service: RunningService, settings: Settings) -> None:
    """Each replica would call itself a follower, and none would miss a tick."""
    await _until_reasons(service, [], within_s=10)
    assert (await service.anonymous.get("/health")).json()["ticker"]["unled"] == []
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("UPDATE lease SET owner = 'gone', expires_at = now() WHERE name = 'ticker:primary'")
        health = (await service.anonymous.get("/health")).json()
    assert (health["status"], health["ticker"]["unled"]) == ("degraded", ["primary"])


async def test_readiness_does_not_depend_on_an_account(service: RunningService) -> None:
    """A replica whose accounts cannot trade must still be reached: to log in, to resume, to cancel."""
    (await service.client.post("/admin/kill", json=HALT)).raise_for_status()
    await _until_reasons(service, ["reduce_only"], within_s=10)
    assert (await service.anonymous.get("/health/ready")).status_code == 200
