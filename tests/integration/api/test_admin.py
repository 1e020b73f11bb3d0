"""An operator's routes and commands: kill, resume, audit, resolve."""

from uuid import UUID

import httpx
import pytest

from app.commands import kill, orders
from app.errors import StartError
from app.orders.operators.resolution import OperatorDecision
from simulator.server import RunningSimulator
from tests.integration.conftest import RunningService
from tests.waiting import until

ORDER = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "MIS",
    "order_type": "MARKET",
}  # fmt: skip


async def test_kill_and_resume_over_http(service: RunningService) -> None:
    """In force at once, listed, in the health answer, and lifted; the audit trail has both with the request's id."""
    killed = await service.client.post(
        "/admin/kill",
        json={"scope": "global", "mode": "halt", "cancel_open": True, "reason": "test"},
        headers={"X-Request-Id": "kill-1"},
    )
    assert killed.status_code == 200
    assert killed.json()["halt"]["scope"] == "global"
    listed = (await service.client.get("/admin/kill")).json()
    assert listed["halted"]
    assert listed["halts"][0] == killed.json()["halt"]
    task = (await service.client.post("/orders?wait=1", json=ORDER)).json()
    assert (task["status"], task["sent"]) in {("held", "no"), ("expired", "no")}
    resumed = await service.client.post("/admin/resume", json={"scope": "global", "reason": "over"})
    assert resumed.json() == {"lifted": True, "halted": False, "halts": []}
    again = await service.client.post("/admin/resume", json={"scope": "global", "reason": "over"})
    assert again.json()["lifted"] is False
    trail = (await service.client.get("/admin/audit?limit=10")).json()["data"]
    assert [entry["action"] for entry in trail] == ["resume", "kill"]
    assert (trail[1]["principal"], trail[1]["request_id"]) == ("default", "kill-1")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"scope": "account", "reason": "x"}, 400),
        ({"scope": "global", "account_id": "primary", "reason": "x"}, 400),
        ({"scope": "global", "reason": ""}, 400),
        ({"scope": "global", "reason": "x", "mode": "pause"}, 400),
        ({"scope": "account", "account_id": "unknown", "reason": "x"}, 404),
    ],
)
async def test_a_kill_that_does_not_say_what_it_means_is_refused(
    service: RunningService, body: dict[str, object], status: int
) -> None:
    """Nothing is halted by a request that is half wrong."""
    assert (await service.client.post("/admin/kill", json=body)).status_code == status
    assert (await service.client.get("/admin/kill")).json()["halted"] is False


async def test_the_command_line_halts_without_the_api(service: RunningService) -> None:
    """It writes to the database, and the running service holds its orders."""
    lines = await kill.halt(
        service.settings, account_id=None, mode="reduce_only", open_orders="cancel", reason="no API"
    )
    assert lines == ["reduce_only is in force for all accounts"]
    halts = (await service.client.get("/admin/kill")).json()["halts"]
    assert halts[0]["mode"] == "reduce_only"
    assert halts[0]["set_by"].startswith("cli:")

    async def held() -> bool:
        task = (await service.client.post("/orders?wait=1", json=ORDER)).json()
        return bool(task["status"] in {"held", "expired"})

    await until(held)
    assert await kill.resume(service.settings, account_id="primary", reason="x") == [
        "there was no halt of primary",
        "still in force: reduce_only of all accounts: no API",
    ]
    assert await kill.resume(service.settings, account_id=None, reason="x") == ["the halt of all accounts is lifted"]


async def test_the_command_line_names_the_database_that_is_away(service: RunningService) -> None:
    """One line."""
    secret = type(service.settings.database_url)
    away = service.settings.model_copy(update={"database_url": secret("postgresql://x@127.0.0.1:1/x")})
    with pytest.raises(StartError, match="DATABASE_URL"):
        await kill.resume(away, account_id=None, reason="x")


async def test_a_doubt_is_listed_and_resolved(service: RunningService, simulator: RunningSimulator) -> None:
    """The command line lists it with its tag, the API takes the operator's decision, a second one is a conflict."""
    fault = {"method": "POST", "path": "/orders/regular", "kind": "drop_before_read"}
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as control:
        await control.post("/_sim/faults", json=fault)
    task = (await service.client.post("/orders?wait=1", json=ORDER)).json()
    assert task["status"] == "in_doubt"
    listed = await orders.doubts(service.settings)
    assert task["task_id"] in listed[1]
    assert "nothing" in listed[1]
    path = f"/orders/tasks/{task['task_id']}/resolve"
    early = await service.client.post(path, json={"resolution": "requeue", "note": "x"})
    assert (early.status_code, early.json()["code"], early.json()["sent"]) == (409, "STILL_IN_DOUBT", "no")
    bad = await service.client.post(path, json={"resolution": "not_placed", "order_id": "1", "note": "x"})
    assert bad.status_code == 400
    done = await service.client.post(path, json={"resolution": "not_placed", "note": "not in the app"})
    assert (done.status_code, done.json()["status"]) == (200, "failed")
    again = await service.client.post(path, json={"resolution": "not_placed", "note": "not in the app"})
    assert (again.status_code, again.json()["code"]) == (409, "TASK_NOT_RESOLVABLE")
    requeued = await orders.resolve(
        service.settings, UUID(task["task_id"]), OperatorDecision(resolution="requeue", note="the signal still holds")
    )
    assert "is pending" in requeued


async def test_the_engine_counts_for_prometheus(service: RunningService) -> None:
    """One order and one batch: their statuses, how long they took, who leads, what the broker's rate made them wait."""
    await service.client.post("/orders?wait=5", json=ORDER)
    await service.client.post("/advanced/batch-orders?wait=10", json={"orders": [ORDER, ORDER]})
    text = (await service.client.get("/metrics")).text
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("ticker_"))
    assert float(samples['ticker_order_tasks_total{operation="place",status="completed"}']) == 3
    assert float(samples['ticker_order_task_seconds_count{operation="place"}']) == 3
    assert float(samples['ticker_batches_total{status="completed"}']) == 1
    assert float(samples["ticker_batch_seconds_count"]) == 1
    assert float(samples["ticker_broker_wait_seconds_count"]) >= 3
    assert float(samples['ticker_leader{role="sender"}']) == 1
    assert float(samples['ticker_leader{role="feed"}']) == 1
    assert float(samples['ticker_order_breaker_open{account="primary",operation="place"}']) == 0
    assert "ticker_orders_in_doubt_oldest_seconds" in samples


async def test_a_character_that_cannot_be_stored_is_the_callers_mistake(service: RunningService) -> None:
    """400, not a failure that leaves open whether the halt is in force."""
    body = {"scope": "global", "reason": "a\x00b"}
    answer = await service.client.post("/admin/kill", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (400, ["body", "reason"])
