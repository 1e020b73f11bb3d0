"""The client's own bounds: an order is sent only until ``valid_until``, and only while the last price is within bounds.

The exchange's ledger shows whether it went. Without a tick the engine asks the simulator for a quote.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import Operation, OrderType
from app.errors import BadInput
from app.orders.state.last_prices import LastPrice
from simulator.server import RunningSimulator
from tests.faults.rewriting_proxy import rewriting_proxy
from tests.faults.sender_steps import SenderSteps, sender_steps
from tests.order_environment import OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import end_of
from tests.waiting import until


class SetPrices:
    """Ticks as a test sets them."""

    def __init__(self) -> None:
        self.last: LastPrice | None = None

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """The price that the test has set, of INFY alone."""
        return self.last if (exchange, tradingsymbol) == ("NSE", "INFY") else None

    def tick_size(self, exchange: str, tradingsymbol: str) -> Decimal | None:
        """None of them is known."""
        return None


@pytest.fixture
def ticks() -> SetPrices:
    return SetPrices()


@pytest.fixture
async def priced(database_url: str, simulator: RunningSimulator, ticks: SetPrices) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, simulator.url, prices=ticks) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


@pytest.mark.parametrize(
    ("bounds", "goes"),
    [
        ({"not_above": Decimal(1500)}, True),
        ({"not_above": Decimal("1499.95")}, False),
        ({"not_below": Decimal(1500)}, True),
        ({"not_below": Decimal("1500.05")}, False),
        ({"not_below": Decimal(1499), "not_above": Decimal(1501)}, True),
        ({"not_below": Decimal(1501), "not_above": Decimal(1502)}, False),
    ],
)
async def test_an_order_goes_only_while_the_last_tick_is_within_its_bounds(
    priced: OrderEnvironment, ticks: SetPrices, bounds: dict[str, Any], goes: bool
) -> None:
    """A bound itself is still inside."""
    ticks.last = LastPrice(price=Decimal(1500), age_s=0.2)
    task = await priced.place(price=Decimal(1400), **bounds)
    assert len(await priced.ledger()) == int(goes)
    if goes:
        assert task["status"] == "completed"
    else:
        assert (task["status"], task["sent"], task["last_error"]["code"]) == ("failed", "no", "PRICE_OUT_OF_BOUNDS")


async def test_an_old_tick_is_not_believed_and_the_broker_is_asked(priced: OrderEnvironment, ticks: SetPrices) -> None:
    """The tick would let the order pass; the quote of now does not."""
    ticks.last = LastPrice(price=Decimal(1400), age_s=5.1)
    refused = await priced.place(price=Decimal(1400), not_above=Decimal(1450))
    assert refused["last_error"]["code"] == "PRICE_OUT_OF_BOUNDS"
    assert (await priced.place(price=Decimal(1400), not_above=Decimal(1550)))["status"] == "completed"
    assert len(await priced.ledger()) == 1


async def test_the_price_of_what_has_not_traded_is_no_price(priced: OrderEnvironment, ticks: SetPrices) -> None:
    """A tick of 0 is below every bound; the broker is asked, and its price is above this one."""
    ticks.last = LastPrice(price=Decimal(0), age_s=0.0)
    ended = await priced.place(not_above=Decimal(1450))
    assert (ended["status"], ended["last_error"]["code"]) == ("failed", "PRICE_OUT_OF_BOUNDS")
    assert await priced.ledger() == []


async def test_a_quote_of_nothing_is_no_price_either(database_url: str, simulator: RunningSimulator) -> None:
    """What the broker quotes for an instrument without a trade today."""
    async with rewriting_proxy(simulator.url) as proxy, open_order_environment(database_url, proxy.url) as environment:
        proxy.rewrite = lambda _method, _path, body: re.sub(rb'"last_price": ?[0-9.]+', b'"last_price": 0', body)
        ended = await environment.place(not_above=Decimal(1600))
        assert (ended["status"], ended["last_error"]["code"]) == ("failed", "STALE_PRICE")
        assert await environment.ledger() == []


async def test_without_tick_and_quote_nothing_is_sent(priced: OrderEnvironment) -> None:
    """The order says so, and the next order of the instrument goes."""
    await priced.fault("status", method="GET", path="/quote", params={"code": 503}, times=-1)
    refused = await priced.place(price=Decimal(1400), not_above=Decimal(1600))
    assert (refused["status"], refused["sent"], refused["last_error"]["code"]) == ("failed", "no", "STALE_PRICE")
    assert (await priced.place(price=Decimal(1401)))["status"] == "completed"
    assert [row["request"]["price"] for row in await priced.ledger()] == ["1401"]


async def test_orders_of_other_instruments_do_not_wait_for_a_quote(priced: OrderEnvironment) -> None:
    """The broker takes its time for the quote; another instrument's order is at the exchange before it."""
    await priced.fault("delay", method="GET", path="/quote", params={"ms": 1500}, times=1)
    slow = await priced.place(price=Decimal(1400), not_above=Decimal(1600), wait_s=0)
    other = await priced.place(tradingsymbol="SBIN", price=Decimal(500))
    assert other["status"] == "completed"
    assert (await end_of(priced, slow))["status"] == "completed"
    assert [row["request"]["tradingsymbol"] for row in await priced.ledger()] == ["SBIN", "INFY"]


async def test_a_price_that_moves_between_the_look_and_the_claim_stops_the_claim(
    priced: OrderEnvironment, ticks: SetPrices
) -> None:
    """The statement compares with the price that the claim is given, not with an earlier one."""
    ticks.last = LastPrice(price=Decimal(1500), age_s=0.0)
    steps: SenderSteps = await sender_steps(priced)
    await priced.place(price=Decimal(1400), not_above=Decimal(1550), wait_s=0)
    following = await steps.loops.claims.peek(tuple(Operation))
    assert following is not None
    ticks.last = LastPrice(price=Decimal(1560), age_s=0.0)
    assert await steps.claim(following=following) is None
    assert await steps.claim() is None, "without a price no task with bounds is claimed"
    ticks.last = LastPrice(price=Decimal(1540), age_s=0.0)
    claimed = await steps.claim(following=following)
    assert claimed is not None


async def test_an_order_is_not_sent_after_its_valid_until(priced: OrderEnvironment) -> None:
    """It waits for a session that does not come; its own bound ends long before its freshness."""
    await priced.fault("delay", params={"ms": 900}, times=1)
    first = await priced.place(price=Decimal(1400), wait_s=0)
    short = datetime.now(UTC) + timedelta(milliseconds=400)
    second = await priced.place(price=Decimal(1401), valid_until=short, wait_s=0)
    assert (await end_of(priced, first))["status"] == "completed"
    ended = await end_of(priced, second)
    assert (ended["status"], ended["sent"]) == ("expired", "no")
    assert len(await priced.ledger()) == 1


async def test_valid_until_never_makes_an_order_wait_longer(priced: OrderEnvironment) -> None:
    """It is a bound of the client, beside the freshness of the service."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    task = await priced.place(price=Decimal(1400), valid_until=tomorrow)
    stored = (await priced.service.queries.task(task["task_id"])).send_by
    assert stored < datetime.now(UTC) + timedelta(seconds=11)


async def test_what_is_not_valid_any_more_is_refused_at_once(priced: OrderEnvironment) -> None:
    """The error names the field and the time of the service."""
    with pytest.raises(BadInput) as caught:
        await priced.place(price=Decimal(1400), valid_until=datetime.now(UTC) - timedelta(seconds=1))
    assert [problem.loc for problem in caught.value.problems] == [("body", "valid_until")]


async def test_a_repeated_key_is_answered_after_valid_until_too(priced: OrderEnvironment) -> None:
    """The client asks what became of its order; nothing is sent."""
    soon = datetime.now(UTC) + timedelta(seconds=0.6)
    first = await priced.place(price=Decimal(1400), valid_until=soon, key="k" * 16)
    assert first["status"] == "completed"

    async def is_over() -> bool:
        return datetime.now(UTC) > soon

    await until(is_over)
    again = await priced.place(price=Decimal(1400), valid_until=soon, key="k" * 16)
    assert again["task_id"] == first["task_id"]
    assert len(await priced.ledger()) == 1


async def test_a_leg_out_of_its_bounds_rolls_the_batch_back(priced: OrderEnvironment, ticks: SetPrices) -> None:
    """Its bounds are judged when it is sent, like those of a single order."""
    ticks.last = LastPrice(price=Decimal(1500), age_s=0.2)
    line = order(price=Decimal(1400))
    batch = await priced.batch([line, replace(line, not_above=Decimal(1450))])
    assert batch["status"] == "rolled_back"
    assert {row["state"] for row in await priced.ledger()} <= {"CANCELLED"}


async def test_a_market_order_may_have_bounds(priced: OrderEnvironment, ticks: SetPrices) -> None:
    """For it they matter most."""
    ticks.last = LastPrice(price=Decimal(1500), age_s=0.2)
    bought = await priced.place(order_type=OrderType.MARKET, price=None, not_above=Decimal(1510))
    assert bought["status"] == "completed"
