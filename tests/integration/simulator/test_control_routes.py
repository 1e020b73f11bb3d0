"""The control routes: ledger, market, clock, sessions, texts, statistics and reset."""

import httpx
import pytest

from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.integration.simulator.order_forms import ledger, order_form, place
from tests.integration.simulator.ticker_client import ticker


async def test_the_ledger_is_read_by_user_and_from_a_position(client: httpx.AsyncClient) -> None:
    """`since` is a sequence number or a time; entries have the documented fields."""
    first = await place(client, tag="A")
    second = await place(client, price=1490)
    entries = await ledger(client)
    assert [entry["order_id"] for entry in entries] == [first, second]
    assert {"order_id", "user_id", "tag", "variety", "request", "accepted_at", "state", "filled_quantity"} <= set(
        entries[0]
    )
    assert [entry["order_id"] for entry in await ledger(client, since=1)] == [second]
    assert await ledger(client, since="2100-01-01T00:00:00+05:30") == []
    assert len(await ledger(client, since="2020-01-01 00:00:00")) == 2
    assert await ledger(client, user_id="SIM002") == []
    assert (await client.get("/_sim/ledger", params={"since": "yesterday"})).status_code == 400


async def test_the_market_has_the_price_that_is_set(client: httpx.AsyncClient) -> None:
    """Resting orders are filled at it."""
    order_id = await place(client, price=1400)
    body = {"instruments": {"NSE:INFY": {"last_price": 1399.95, "liquidity": 4}}}
    answer = await client.post("/_sim/market", json=body)
    assert answer.json()["instruments"] == {"NSE:INFY": {"last_price": 1399.95}}
    assert (await client.get("/quote/ltp?i=NSE:INFY")).json()["data"]["NSE:INFY"]["last_price"] == 1399.95
    history = (await client.get(f"/orders/{order_id}")).json()["data"]
    assert (history[-1]["status"], history[-1]["filled_quantity"]) == ("OPEN", 4)
    await client.post("/_sim/market", json=body)
    assert [trade["quantity"] for trade in (await client.get("/trades")).json()["data"]] == [4, 4]


@pytest.mark.parametrize(
    "body",
    [
        {"speed": 1},
        {"instruments": {"INFY": {}}},
        {"instruments": {"NSE:NOSUCH": {}}},
        {"instruments": {"NSE:INFY": 1500}},
        {"instruments": {"NSE:INFY": {"price": 1500}}},
        {"instruments": {"NSE:INFY": {"last_price": "much"}}},
        {"instruments": {"NSE:INFY": {"last_price": 1500.01}}},
        {"instruments": {"NSE:INFY": {"liquidity": -1}}},
        {"instruments": {"NSE:INFY": {"frozen": "yes"}}},
        {"ticks_per_second": -1},
        {"ticks_per_second": "fast"},
    ],
)
async def test_a_bad_market_command_is_refused(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    """400, and the price does not change."""
    assert (await client.post("/_sim/market", json=body)).status_code == 400
    assert (await client.get("/quote/ltp?i=NSE:INFY")).json()["data"]["NSE:INFY"]["last_price"] == 1500


async def test_the_clock_is_set_and_read(client: httpx.AsyncClient) -> None:
    """Orders have the simulated time."""
    answer = await client.post("/_sim/clock", json={"now": "2030-01-07T10:00:00+05:30", "speed": 0})
    assert answer.json() == {"now": "2030-01-07T10:00:00+05:30", "speed": 0.0}
    assert (await client.get("/_sim/clock")).json()["now"] == "2030-01-07T10:00:00+05:30"
    await place(client, price=1)
    assert (await client.get("/orders")).json()["data"][0]["order_timestamp"] == "2030-01-07 10:00:00"


@pytest.mark.parametrize("body", [{"now": "tomorrow"}, {"speed": -1}, {"speed": 1e9}, {"pace": 2}, [1]])
async def test_a_bad_clock_command_is_refused(client: httpx.AsyncClient, body: object) -> None:
    """400."""
    assert (await client.post("/_sim/clock", json=body)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": "SIM999"},
        {"user_id": "SIM001", "expired": "x"},
        {"user_id": "SIM001", "postback_url": "ftp://x"},
    ],
)
async def test_a_bad_session_command_is_refused(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    """400, and the session stays valid."""
    assert (await client.post("/_sim/session", json=body)).status_code == 400
    assert (await client.get("/user/profile")).status_code == 200


async def test_a_reset_begins_the_first_day_with_the_old_ledger(client: httpx.AsyncClient) -> None:
    """Empty book and positions, opening cash, valid token, no faults, counts 0; ids go on."""
    first = await place(client)
    await client.post("/_sim/faults", json={"kind": "reset"})
    await client.post("/_sim/session", json={"user_id": "SIM001", "expired": True})
    assert (await client.post("/_sim/reset")).json() == {"ledger_entries": 1}
    assert (await client.get("/orders")).json()["data"] == []
    assert (await client.get("/portfolio/positions")).json()["data"]["net"] == []
    assert (await client.get("/_sim/faults")).json() == []
    assert (await client.get("/_sim/stats")).json()["orders"]["arrived"] == {}
    assert await place(client) > first
    assert len(await ledger(client)) == 2


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/quote/ltp?i=NSE:INFY", 1), ("/instruments/historical/408065/day", 3), ("/user/profile", 10)],
)
async def test_each_class_of_requests_has_its_limit(path: str, allowed: int) -> None:
    """429 NetworkException above it within a second; the statistics count the violations."""
    async with running_simulator(SimulatorSettings(port=0, ticks_per_second=0)) as running:
        headers = {"Authorization": "token simkey:simtoken"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers) as client:
            answers = [await client.get(path) for _ in range(2 * allowed + 1)]
            refused = [answer for answer in answers if answer.status_code == 429]
            stats = (await client.get("/_sim/stats")).json()
    assert refused
    assert refused[0].json()["error_type"] == "NetworkException"
    assert refused[0].json()["message"] == "Too many requests"
    assert stats["violations"][0]["count"] == len(refused)


async def test_an_order_above_the_limits_is_refused_and_not_placed() -> None:
    """Three a second and five a minute: the ledger has the orders that were answered with 200 and no other."""
    limits = RateLimits(orders_per_second=3, orders_per_minute=5)
    async with running_simulator(SimulatorSettings(port=0, ticks_per_second=0, rate_limits=limits)) as running:
        headers = {"Authorization": "token simkey:simtoken"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers) as client:
            answers = [await client.post("/orders/regular", data=order_form(price=1300)) for _ in range(12)]
            entries = await ledger(client)
    statuses = [answer.status_code for answer in answers]
    assert 429 in statuses
    assert len(entries) == statuses.count(200) <= 5


@pytest.mark.parametrize("kind", ["error", "message"])
async def test_texts_of_the_broker_reach_the_sockets_of_a_user(
    simulator: RunningSimulator, client: httpx.AsyncClient, kind: str
) -> None:
    """In Kite's form; sockets of other users get nothing."""
    async with ticker(simulator) as mine, ticker(simulator, account="2") as other:
        answer = await client.post("/_sim/texts", json={"user_id": "SIM001", "type": kind, "data": "Hello."})
        assert answer.json() == {"sockets": 1}
        assert await mine.text() == {"type": kind, "data": "Hello."}
        assert all(isinstance(frame, bytes) for frame in await other.frames_within(0.2))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"user_id": "SIM001", "type": "order"}, "`type` wants error or message, got 'order'"),
        ({"user_id": "NOBODY", "type": "error"}, "no user NOBODY"),
        ({"type": "error"}, "`user_id` wants a user"),
    ],
)
async def test_a_bad_text_command_is_refused(client: httpx.AsyncClient, body: dict[str, object], message: str) -> None:
    """400 with the reason."""
    answer = await client.post("/_sim/texts", json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, message)
