"""A fast clock: an evening, a night and a morning in seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx

from simulator.clock import IST
from simulator.server import running_simulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.integration.simulator.conftest import AUTHORIZATION
from tests.integration.simulator.order_forms import order_form, place
from tests.plain_http import NO_CERTIFICATES

AFTERNOON = datetime(2026, 7, 6, 15, 24, tzinfo=IST)
AN_HOUR_A_SECOND = 3_600.0


async def wait_for(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await check():
            await asyncio.sleep(0.05)


async def test_an_evening_and_a_night_pass_in_seconds() -> None:
    """Positions are squared off, the book is emptied, the token ends at six, after-market orders go out at the open."""
    settings = SimulatorSettings(
        port=0,
        sessions="calendar",
        start_time=AFTERNOON,
        clock_speed=0,
        ticks_per_second=0,
        rate_limits=RateLimits(enforced="off"),
    )
    async with (
        running_simulator(settings) as running,
        httpx.AsyncClient(base_url=running.url, headers=AUTHORIZATION, verify=NO_CERTIFICATES) as client,
    ):

        async def read(path: str) -> Any:
            return (await client.get(path)).json()["data"]

        async def set_clock(**body: object) -> None:
            (await client.post("/_sim/clock", json=body)).raise_for_status()

        async def squared_off() -> bool:
            return any(row["quantity"] == 0 for row in (await read("/portfolio/positions"))["net"])

        async def emptied() -> bool:
            return len(await read("/orders")) == 1

        async def token_dead() -> bool:
            return (await client.get("/orders")).status_code == 403

        infy = {"NSE:INFY": {"last_price": 1500, "frozen": True}}
        (await client.post("/_sim/market", json={"instruments": infy})).raise_for_status()
        await place(client)
        delivery = await place(client, product="CNC", quantity=3)
        await set_clock(now="2026-07-06T15:25:10+05:30")
        await wait_for(squared_off)
        await set_clock(now="2026-07-06T17:00:00+05:30")
        evening = order_form(product="CNC", quantity=4)
        assert (await client.post("/orders/regular", data=evening)).status_code == 400
        parked = (await client.post("/orders/amo", data=evening)).json()["data"]["order_id"]
        await set_clock(now="2026-07-06T23:55:00+05:30", speed=AN_HOUR_A_SECOND)
        await wait_for(emptied)
        await set_clock(now="2026-07-07T05:50:00+05:30")
        await wait_for(token_dead)
        await set_clock(now="2026-07-07T07:00:00+05:30", speed=0)
        (await client.post("/_sim/session", json={"user_id": "SIM001", "expired": False})).raise_for_status()
        assert [row["order_id"] for row in await read("/orders")] == [parked]
        assert (await client.get(f"/orders/{delivery}")).json()["message"] == "Couldn't find that `order_id`."
        holding = next(row for row in await read("/portfolio/holdings") if row["tradingsymbol"] == "INFY")
        assert holding["t1_quantity"] == 3
        await set_clock(now="2026-07-07T09:16:00+05:30")

        async def filled() -> bool:
            rows = await read("/orders")
            return bool(rows[0]["status"] == "COMPLETE")

        await wait_for(filled)
