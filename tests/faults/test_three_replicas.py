"""Three replicas lose their database together: each goes on, can be reached, and says what is true."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest

from app.ops.readiness import DEAD_AFTER_S
from tests.e2e.environment import Broker, Service, limit_order, running_service, wait_for
from tests.faults.outage_environment import Server

AWAY_S = float(os.environ.get("REPLICAS_AWAY_S", "14"))
"""Longer than the lease lasts, and than a status is believed. 60 shows the end of readiness too."""

NOTICED_S = 6.0
"""A pool is known to fail at the latest when a hanging connection and a statement were given up."""

LEASE_S = 12
"""Longer than a status is believed."""

SAID_WITHIN_S = 2.0


@pytest.fixture
def replicas(
    broker: Broker, redis_of_its_own: Server, postgres_of_its_own: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Service]]:
    """One database, one Redis, one account."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                running_service(
                    tmp_path_factory.mktemp(f"replica{number}"),
                    broker,
                    database_url=postgres_of_its_own.url,
                    redis_url=redis_of_its_own.url,
                    redis_prefix="three:",
                    account_lease_s=str(LEASE_S),
                )
            )
            for number in range(3)
        ]


def _probe(service: Service, path: str) -> int:
    return httpx.get(f"{service.url}{path}", trust_env=False).status_code


def _account(service: Service) -> dict[str, Any]:
    (account,) = service.health()["orders"]["accounts"]
    found: dict[str, Any] = account
    return found


def test_three_replicas_without_their_database_go_on_and_say_so(
    replicas: list[Service], broker: Broker, postgres_of_its_own: Server
) -> None:
    """No restart, all alive, ready and open for a login; none says that the account can trade; all trade afterwards."""
    since = len(broker.ledger())
    processes = [service.child.pid for service in replicas if service.child is not None]
    assert [_account(service)["can_trade"] for service in replicas] == [True] * 3
    with postgres_of_its_own.away():
        gone_at = time.monotonic()
        while time.monotonic() < gone_at + AWAY_S:
            for service in replicas:
                asked_at = time.monotonic()
                account = _account(service)
                if asked_at > gone_at + SAID_WITHIN_S:
                    assert (account["can_trade"], account["reasons"]) == (False, ["database_stalled"])
                assert _probe(service, "/health/live") == 200
                ready, away_s = _probe(service, "/health/ready"), time.monotonic() - gone_at
                assert ready == 200 or away_s > DEAD_AFTER_S
                assert ready == 503 or away_s < DEAD_AFTER_S + NOTICED_S
                assert service.client.get("/accounts/primary/login-url").status_code == 200
        login = replicas[1].client.post("/accounts/primary/session", json={"access_token": "simtoken"})
        assert login.status_code == 200, login.text
    for service in replicas:
        service.wait_for_health("ok", within_s=20)
        assert _account(service)["reasons"] == []
    answers = [service.client.post("/orders", params={"wait": 10}, json=limit_order()) for service in replicas]
    assert [answer.json()["status"] for answer in answers] == ["completed"] * 3
    assert len(broker.ledger(since)) == 3
    assert [service.child.pid for service in replicas if service.child is not None] == processes
    statuses = [_account(service) for service in replicas]
    assert statuses[0] == statuses[1] == statuses[2]


def test_an_account_whose_owner_is_frozen_has_no_sender_until_another_takes_over(
    replicas: list[Service], broker: Broker
) -> None:
    """An order placed meanwhile waits: the others say so from the time that the owner's last answer is void."""
    owner = next(one for one in replicas if one.metric("ticker_leader", role="sender"))
    others = [one for one in replicas if one is not owner]
    assert owner.child is not None
    os.kill(owner.child.pid, signal.SIGSTOP)
    try:
        for one in others:
            wait_for("said", lambda one=one: _account(one)["reasons"] == ["no_sender"], within_s=LEASE_S)  # type: ignore[misc]
            assert one.health()["status"] == "degraded"
            assert one.metric("ticker_account_blocked", account="primary", reason="no_sender") == 1
        for one in others:
            one.wait_for_health("ok", within_s=LEASE_S + 10)
        placed = others[0].client.post("/orders", params={"wait": 10}, json=limit_order())
        assert placed.json()["status"] == "completed"
    finally:
        os.kill(owner.child.pid, signal.SIGCONT)
    owner.wait_for_health("ok", within_s=20)


def test_an_owner_whose_statements_are_not_answered_says_so(
    replicas: list[Service], broker: Broker, postgres_of_its_own: Server
) -> None:
    """The server processes behind the engines' connections stop, all others work: said as soon as it can be stored."""
    since = len(broker.ledger())
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'ticker engine'"
    with psycopg.connect(postgres_of_its_own.url, autocommit=True) as connection:
        stopped = [row[0] for row in connection.execute(query)]
    assert len(stopped) >= len(replicas)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for one in replicas:
            wait_for("said", lambda one=one: _account(one)["reasons"] == ["database_stalled"], within_s=15)  # type: ignore[misc]
        for one in replicas:
            one.wait_for_health("ok", within_s=20)
        placed = replicas[0].client.post("/orders", params={"wait": 10}, json=limit_order())
        assert placed.json()["status"] == "completed"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert len(broker.ledger(since)) == 1
