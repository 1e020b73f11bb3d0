"""Orders over HTTP: rows, history, trades, funds and positions in Kite's form."""

import re

import httpx
import pytest

from simulator.server import RunningSimulator
from tests.integration.simulator.order_forms import ledger, order_form, place

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


async def test_a_protected_market_order_goes_from_form_to_position(client: httpx.AsyncClient) -> None:
    """Order, book, history, trades, positions and ledger agree."""
    order_id = await place(client, order_type="MARKET", price=None, market_protection=-1, tag="K7Q2M9X4A1")
    [row] = (await client.get("/orders")).json()["data"]
    assert (row["order_id"], row["status"], row["order_type"]) == (order_id, "COMPLETE", "LIMIT")
    assert (row["tag"], row["tags"]) == ("K7Q2M9X4A1", ["K7Q2M9X4A1", "mktp", "mktp:0.50"])
    assert TIME.fullmatch(row["order_timestamp"])
    history = (await client.get(f"/orders/{order_id}")).json()["data"]
    assert [state["status"] for state in history] == [
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "COMPLETE",
    ]
    assert history[0]["exchange_order_id"] is None
    [trade] = (await client.get(f"/orders/{order_id}/trades")).json()["data"]
    assert (trade["quantity"], trade["average_price"]) == (10, 1500)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", trade["order_timestamp"])
    assert (await client.get("/trades")).json()["data"] == [trade]
    positions = (await client.get("/portfolio/positions")).json()["data"]
    assert [(p["quantity"], p["product"], p["buy_value"]) for p in positions["net"]] == [(10, "MIS", 15_000)]
    [entry] = await ledger(client)
    assert (entry["order_id"], entry["state"], entry["tag"]) == (order_id, "COMPLETE", "K7Q2M9X4A1")


async def test_margins_are_the_same_before_and_after_placement(client: httpx.AsyncClient) -> None:
    """`/margins/orders` has the amount that placement then blocks in `/user/margins`."""
    body = [{**order_form(price=1490), "variety": "regular", "quantity": 10, "price": 1490}]
    [answer] = (await client.post("/margins/orders", json=body)).json()["data"]
    before = (await client.get("/user/margins/equity")).json()["data"]["net"]
    await place(client, price=1490)
    after = (await client.get("/user/margins")).json()["data"]["equity"]["net"]
    assert before - after == answer["total"] == 2_980


async def test_a_basket_needs_less_than_its_orders_separately(client: httpx.AsyncClient) -> None:
    """A buy and a sell of one instrument hedge each other: `final` is below `initial`."""
    legs = [{**order_form(transaction_type=side), "variety": "regular"} for side in ("BUY", "SELL")]
    answer = await client.post("/margins/basket", params={"consider_positions": "True"}, json=legs)
    data = answer.json()["data"]
    assert (data["initial"]["total"], data["final"]["total"]) == (6_000, 3_000)
    assert len(data["orders"]) == 2


async def test_a_contract_note_has_the_order_with_its_charges(client: httpx.AsyncClient) -> None:
    """In the order of the request, at the given average price."""
    legs = [{**order_form(), "order_id": "x", "variety": "regular", "average_price": price} for price in (1500, 1600)]
    rows = (await client.post("/charges/orders", json=legs)).json()["data"]
    assert [row["price"] for row in rows] == [1500, 1600]
    assert rows[0]["charges"]["total"] > 0
    assert "order_id" not in rows[0]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1]", b"not json"])
async def test_a_margin_request_that_is_no_array_of_orders_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    """400 InputException."""
    answer = await client.post("/margins/orders", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")


async def test_insufficient_funds_are_a_margin_exception(client: httpx.AsyncClient) -> None:
    """The order is neither in the book nor in the ledger."""
    answer = await client.post("/orders/regular", data=order_form(product="CNC", quantity=10_000))
    assert (answer.status_code, answer.json()["error_type"]) == (400, "MarginException")
    assert answer.json()["message"].startswith("Insufficient funds. Required margin is 15000000.00 but available")
    assert (await client.get("/orders")).json()["data"] == []
    assert await ledger(client) == []


async def test_a_position_is_converted(client: httpx.AsyncClient) -> None:
    """PUT answers true and the product changes; more than the position is refused."""
    await place(client)
    form = order_form(position_type="day", old_product="MIS", new_product="CNC", order_type=None, price=None)
    assert (await client.put("/portfolio/positions", data=form)).json()["data"] is True
    net = (await client.get("/portfolio/positions")).json()["data"]["net"]
    assert {row["product"]: row["quantity"] for row in net} == {"MIS": 0, "CNC": 10}
    assert (await client.put("/portfolio/positions", data=form)).status_code == 400


async def test_holdings_have_three_forms(client: httpx.AsyncClient) -> None:
    """Full, compact and as a sum; today's sale is the used quantity."""
    await place(client, product="CNC", transaction_type="SELL", quantity=30, price=1490)
    rows = {row["tradingsymbol"]: row for row in (await client.get("/portfolio/holdings")).json()["data"]}
    assert (rows["INFY"]["quantity"], rows["INFY"]["used_quantity"]) == (100, 30)
    compact = (await client.get("/portfolio/holdings/compact")).json()["data"]
    assert {row["tradingsymbol"] for row in compact} == set(rows)
    summary = (await client.get("/portfolio/holdings/summary")).json()["data"]
    assert summary["total_pnl"] == pytest.approx(summary["current_value"] - summary["invested_amount"])


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "Route not found"),
        ("GET", "/orders/", 404, "Route not found"),
        ("POST", "/user/profile", 405, "Request method not allowed"),
        ("POST", "/orders/foo", 405, "Request method not allowed"),
        ("PUT", "/orders/foo/1", 405, "Request method not allowed"),
        ("GET", "/orders/123", 400, "Couldn't find that `order_id`."),
        ("POST", "/orders/amo", 400, "Missing or empty field `exchange`"),
        ("GET", "/user/margins/currency", 400, "Invalid `segment`."),
    ],
)
async def test_a_wrong_route_is_answered_in_the_envelope(
    client: httpx.AsyncClient, method: str, path: str, status: int, message: str
) -> None:
    """With the right status and JSON, on every path."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["message"], answer.json()["data"]) == (status, message, None)
    assert answer.headers["content-type"] == "application/json"


async def test_large_answers_are_zipped_on_request(client: httpx.AsyncClient) -> None:
    """Without the header they are plain."""
    for _ in range(3):
        await place(client, price=1490)
    zipped = await client.get("/orders")
    plain = await client.get("/orders", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.json() == plain.json()


async def test_whole_numbers_have_no_decimal_point(client: httpx.AsyncClient) -> None:
    """The Go client has integers for them."""
    await place(client)
    text = (await client.get("/portfolio/positions")).text + (await client.get("/orders")).text
    assert not re.search(r"\d\.0[,}]", text)


async def test_a_body_without_content_type_is_read_as_a_form(client: httpx.AsyncClient) -> None:
    """Some clients send no Content-Type."""
    body = "&".join(f"{name}={value}" for name, value in order_form().items())
    answer = await client.post("/orders/regular", content=body.encode())
    assert answer.status_code == 200


async def test_statistics_have_the_peak_second_of_an_account(simulator: RunningSimulator) -> None:
    """Counted at arrival and at acceptance, also when limits are not enforced."""
    async with httpx.AsyncClient(base_url=simulator.url, headers={"Authorization": "token simkey:simtoken"}) as client:
        for _ in range(12):
            await place(client, price=1400)
        stats = (await client.get("/_sim/stats")).json()
    assert stats["orders"]["accepted"]["SIM001"]["total"] == 12
    assert stats["orders"]["arrived"]["SIM001"]["max_per_second"] == 12
    assert stats["requests"]["order"] == 12
