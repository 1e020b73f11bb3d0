"""Faults of batches and of pushes, row by row of the fault table; checked against ledger and tables."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.faults.test_crash_rows import REPEATS, SETTINGS
from tests.integration.conftest import RunningService, running_service, settings
from tests.order_environment import OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, struck
from tests.waiting import until

__all__ = ["settings"]  # the fixture

RESTING = 5
"""Legs that stand when the sixth is rejected."""

UNHURRIED = replace(SETTINGS, send_timeout_s=10.0, claim_lease_s=12.0, block_on_doubt_s=10.0)
"""Until the crash no leg becomes a doubt because the machine was slow."""


async def test_row_22_a_batch_of_twenty_whose_seventh_leg_is_refused(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Legs 1-2 filled, 3 partly, 7 refused: nothing after 7 is sent, 3-6 are cancelled, the residual is exact."""
    await environment.fault("delay", times=-1, params={"ms": 150})
    await environment.fault("partial_fill", after=2, params={"quantity": 4})
    await environment.fault(
        "status", after=6, params={"code": 400, "error_type": "MarginException", "message": "No funds"}
    )
    prices = [1500, 1500, 1500, *[1400] * 17]
    batch = await environment.batch([order(price=Decimal(price)) for price in prices])
    assert batch["status"] == "rolled_back_with_fills"
    assert [(row["quantity"], row["tradingsymbol"]) for row in batch["residual"]] == [(24, "INFY")]
    legs = batch["orders"]
    assert [leg["filled_quantity"] for leg in legs[:3]] == [10, 10, 4]
    assert [leg["state"] for leg in legs[2:6]] == ["cancelled"] * 4
    assert [leg["status"] for leg in legs[7:]] == ["cancelled"] * 13
    history = await checked_history(database_url, simulator)
    assert len(history.ledger) == 6


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("cancelled", range(RESTING))
async def test_row_23_a_crash_in_compensation(
    cancelled: int, repeat: int, database_url: str, simulator: RunningSimulator
) -> None:
    """The process dies when so many cancels are done and the next is unanswered: all are in the end, said once."""
    async with open_order_environment(database_url, simulator.url, settings=UNHURRIED) as environment:
        await environment.set_price("NSE:INFY", 1500)
        await environment.fault("delay", times=-1, params={"ms": 200})  # legs and cancels stay far from ten a second
        await environment.fault("reject", after=RESTING, params={"message": "RMS:Blocked"})
        unheard = {"after": cancelled, "times": -1, "params": {"process": False}}
        await environment.fault("hang", method="DELETE", path="/orders/*", **unheard)
        batch = await environment.batch([order() for _ in range(RESTING + 1)], wait_s=0.0)
        await until(lambda: compensating_after(environment, batch, cancelled))
        await struck(environment, "hang")
        await asyncio.sleep(repeat % 10 / 100)
        await environment.crash()
        await environment.sim.delete("/_sim/faults")
        await after_the_lease(database_url)
        still = Counter(CANCELLED=cancelled, OPEN=RESTING - cancelled, REJECTED=1)
        assert states_of(await environment.ledger()) == still
    async with open_order_environment(database_url, simulator.url, settings=SETTINGS) as environment:
        history = await checked_history(database_url, simulator, within_s=30)
        assert [batch.status for batch in history.batches] == ["rolled_back"]
        assert states_of(await environment.ledger()) == Counter(CANCELLED=RESTING, REJECTED=1)
        kinds = [kind for _, kind, _ in await environment.events()]
        assert kinds.count("batch_rolled_back") == 1


async def compensating_after(environment: OrderEnvironment, batch: dict[str, Any], cancelled: int) -> bool:
    """Whether the batch is being taken back and so many of its orders are cancelled at the exchange."""
    return await is_compensating(environment, batch) and states_of(await environment.ledger())["CANCELLED"] == cancelled


async def is_compensating(environment: OrderEnvironment, batch: dict[str, Any]) -> bool:
    document, _ = await environment.service.queries.batch_now(UUID(batch["batch_id"]))
    return bool(document["status"] == "compensating")


def states_of(ledger: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["state"] for row in ledger)


async def test_row_21_pushes_that_lie_change_nothing(
    database_url: str, simulator: RunningSimulator, settings: Any
) -> None:
    """Duplicated, reordered, missing pushes and a forged postback: the end is the ledger's, fills never fall."""
    async with running_service(settings.model_copy(update={"order_audit_s": 0.5})) as service:
        async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as sim:
            for kind, params in (
                ("duplicate_update", {"copies": 3}),
                ("reorder_update", {"ms": 300}),
                ("drop_update", {}),
            ):
                await sim.post("/_sim/faults", json={"kind": kind, "times": 4, "probability": 0.5, "params": params})
            await sim.post("/_sim/market", json={"instruments": {"NSE:INFY": {"last_price": 1500}}})
            placed = await asyncio.gather(*(place(service, price) for price in (1400, 1500, 1500, 1400)))
            forged = {
                "order_id": placed[0]["order_id"], "status": "COMPLETE", "filled_quantity": 10, "user_id": "SIM001",
                "checksum": "0" * 64, "order_timestamp": "2026-01-05 09:15:00",
            }  # fmt: skip
            answer = await service.anonymous.post("/postback/primary", json=forged)
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
        history = await checked_history(database_url, simulator)
        assert len(history.ledger) == 4
        assert {known.state for known in history.orders} == {"open", "completed"}


async def place(service: RunningService, price: int) -> dict[str, Any]:
    body = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 10, "product": "MIS",
            "order_type": "LIMIT", "price": price}  # fmt: skip
    answer = await service.client.post("/orders", json=body)
    found: dict[str, Any] = answer.json()
    assert found["status"] == "completed", found
    return found


async def test_a_square_off_that_waits_for_the_positions_holds_up_no_other_batch(environment: OrderEnvironment) -> None:
    """The positions cannot be read: the fill stays for now, and another batch is taken back all the same."""
    await environment.fault("status", method="GET", path="/portfolio/positions", times=-1, params={"code": 502})
    refused = order(quantity=1_000_000)
    waiting = await environment.batch([order(price=Decimal(1510)), refused], on_filled="square_off", wait_s=0.0)
    await until(lambda: is_compensating(environment, waiting))
    await struck(environment, "status")
    other = await environment.batch([order(), refused])
    assert other["status"] == "rolled_back"
    assert await is_compensating(environment, waiting)
    await environment.sim.delete("/_sim/faults")

    async def is_over() -> bool:
        return (await environment.service.queries.batch_now(UUID(waiting["batch_id"])))[1]

    await until(is_over)
    document, _ = await environment.service.queries.batch_now(UUID(waiting["batch_id"]))
    assert (document["status"], document["residual"]) == ("rolled_back_with_fills", [])
