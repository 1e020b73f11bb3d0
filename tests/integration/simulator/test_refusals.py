"""What Kite refuses, the simulator refuses: triggers, conversions, margins, controls from foreign pages."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from simulator.clock import IST
from simulator.server import RunningSimulator
from tests.integration.simulator.order_forms import order_form
from tests.integration.simulator.test_gtt_routes import form, order


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (form([1400], [order(1400, product="MIS")]), "Invalid `product`"),
        (form([1400], [order(1400, product="NRML")]), "NRML orders are allowed only in derivatives"),
        (form([1400.03], [order(1400)]), "Tick size"),
        (form([1400], [order(1400.03)]), "Tick size"),
        (form([1400], [{**order(1400), "tradingsymbol": "SBIN"}]), "should be for the instrument of its condition"),
        (form([1400], [{**order(1400), "exchange": "BSE"}]), "should be for the instrument of its condition"),
        (form([1503], [order(1503)]), "within 0.25% of the last price"),
        (form([1400, 1501], [order(1400, side="SELL"), order(1501, side="SELL")]), "within 0.25%"),
        (form([1400, 1600], [order(1400), order(1600)]), "OCO triggers to buy are not allowed in equity"),
    ],
)
async def test_a_trigger_that_kite_refuses_is_refused(
    client: httpx.AsyncClient, fields: dict[str, str], message: str
) -> None:
    """And not stored."""
    answer = await client.post("/gtt/triggers", data=fields)
    assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")
    assert message in answer.json()["message"]
    assert (await client.get("/gtt/triggers")).json()["data"] == []


async def test_a_trigger_of_an_index_is_refused(client: httpx.AsyncClient) -> None:
    """An index cannot be traded."""
    index = {"exchange": "NSE", "tradingsymbol": "NIFTY 50"}
    fields = form([1400], [{**order(1400), **index}])
    fields["condition"] = fields["condition"].replace("INFY", "NIFTY 50")
    assert "is an index" in (await client.post("/gtt/triggers", data=fields)).json()["message"]


async def test_a_trigger_at_a_distance_is_taken(client: httpx.AsyncClient) -> None:
    """0.25 percent and more."""
    assert (await client.post("/gtt/triggers", data=form([1503.75], [order(1503.75)]))).status_code == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new_product": "NRML"}, "NRML orders are allowed only in derivatives"),
        ({"new_product": "MIS", "old_product": "CNC", "position_type": "overnight"}, "cannot be converted to MIS"),
        ({"new_product": "MIS"}, "are the same"),
        ({"tradingsymbol": "NIFTY 50"}, "is an index"),
        ({"tradingsymbol": "SBIN"}, "more than the open position"),
    ],
)
async def test_a_conversion_that_kite_refuses_is_refused(
    client: httpx.AsyncClient, change: dict[str, str], message: str
) -> None:
    """The position stays as it is."""
    await client.post("/orders/regular", data=order_form())
    body: dict[str, Any] = order_form(position_type="day", old_product="MIS", new_product="CNC")
    answer = await client.put("/portfolio/positions", data={**body, **change})
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    net = (await client.get("/portfolio/positions")).json()["data"]["net"]
    assert [(row["product"], row["quantity"]) for row in net] == [("MIS", 10)]


async def test_a_position_of_the_day_has_no_close_price(client: httpx.AsyncClient) -> None:
    """It has one once it is carried into another day."""
    await client.post("/orders/regular", data=order_form(product="MTF"))
    await client.post("/_sim/clock", json={"now": (datetime.now(IST) + timedelta(days=1)).isoformat()})
    await client.post("/orders/regular", data=order_form(product="MIS"))
    net = (await client.get("/portfolio/positions")).json()["data"]["net"]
    assert {row["product"]: row["close_price"] > 0 for row in net} == {"MTF": True, "MIS": False}


async def test_an_order_in_equity_shows_its_leverage(client: httpx.AsyncClient) -> None:
    """Five times with MIS, none with CNC."""
    rows = [order_form(product=product, quantity=1, price=1500) for product in ("MIS", "MTF", "CNC")]
    answer = await client.post("/margins/orders", json=[{**row, "variety": "regular"} for row in rows])
    assert [row["leverage"] for row in answer.json()["data"]] == [5, 4, 1]


async def test_a_contract_note_needs_a_price(client: httpx.AsyncClient) -> None:
    """0 is none."""
    answer = await client.post("/charges/orders", json=[{**order_form(), "average_price": 0}])
    assert (answer.status_code, answer.json()["message"]) == (400, "Missing or empty field `average_price`")


async def test_a_tag_may_have_spaces_and_an_iceberg_its_size(client: httpx.AsyncClient) -> None:
    """As at Kite; a size that is not that of the legs is refused."""
    spaced = await client.post("/orders/regular", data=order_form(tag="my first order"))
    assert spaced.status_code == 200
    (row,) = (await client.get("/orders")).json()["data"]
    assert (row["tag"], row["tags"]) == ("my first order", ["my first order"])
    for size, status in ((5, 200), (4, 400), (10, 400)):
        iceberg = order_form(iceberg_legs=2, iceberg_quantity=size)
        assert (await client.post("/orders/iceberg", data=iceberg)).status_code == status


@pytest.mark.parametrize(
    ("days", "found"), [({}, 1), ({"from": -1, "to": 0}, 1), ({"from": -30, "to": -2}, 0), ({"from": 0, "to": 0}, 0)]
)
async def test_fund_orders_are_those_of_a_range(client: httpx.AsyncClient, days: dict[str, int], found: int) -> None:
    """Both days included; the last seven days without one."""
    today = datetime.now(IST).date()
    params = {name: str(today + timedelta(days=ahead)) for name, ahead in days.items()}
    assert len((await client.get("/mf/orders", params=params)).json()["data"]) == found


async def test_a_range_of_fund_orders_is_checked(client: httpx.AsyncClient) -> None:
    """Its order, and what is no date."""
    for params in ({"from": "2026-02-01", "to": "2026-01-01"}, {"from": "yesterday"}):
        assert (await client.get("/mf/orders", params=params)).status_code == 400


async def test_every_answer_is_dated_by_the_simulated_clock(client: httpx.AsyncClient) -> None:
    """Refusals and controls too."""
    now = datetime(2026, 7, 6, 10, 0, tzinfo=IST)
    await client.post("/_sim/clock", json={"now": now.isoformat(), "speed": 0})
    for path in ("/orders", "/nothing", "/_sim/stats"):
        answer = await client.get(path)
        assert answer.headers.get_list("date") == ["Mon, 06 Jul 2026 04:30:00 GMT"]
    assert parsedate_to_datetime("Mon, 06 Jul 2026 04:30:00 GMT") == now.astimezone(UTC)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:9100"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
async def test_the_controls_take_no_foreign_host_or_origin(
    client: httpx.AsyncClient, simulator: RunningSimulator, headers: dict[str, str]
) -> None:
    """A page in the developer's browser cannot fill orders; Kite's own routes are not concerned."""
    for path in ("/_sim/reset", "/_sim/session", "/_sim"):
        refused = await client.post(path, json={}, headers=headers)
        assert refused.status_code == 403, path
    assert (await client.get("/orders", headers=headers)).status_code == 200
    own = {"Origin": simulator.url, "Host": f"127.0.0.1:{simulator.port}"}
    for allowed in ({}, own, {"Host": "localhost:9100"}, {"Host": "simulator:9100"}, {"Host": "[::1]:9100"}):
        assert (await client.get("/_sim/stats", headers=allowed)).status_code == 200


async def test_a_login_gives_a_first_refresh_token(client: httpx.AsyncClient) -> None:
    """It renews the session once."""

    def signed(token: str) -> str:
        return hashlib.sha256(f"simkey{token}simsecret".encode()).hexdigest()

    login = {"api_key": "simkey", "request_token": "simreqtoken", "checksum": signed("simreqtoken")}
    refresh = (await client.post("/session/token", data=login)).json()["data"]["refresh_token"]
    renewal = {"api_key": "simkey", "refresh_token": refresh, "checksum": signed(refresh)}
    renewed = (await client.post("/session/refresh_token", data=renewal)).json()["data"]
    assert renewed["access_token"]
    assert renewed["refresh_token"] != refresh
    assert (await client.post("/session/refresh_token", data=renewal)).status_code == 403
