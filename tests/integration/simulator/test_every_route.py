"""Every route of Kite's table answers in its own form."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.simulator.order_forms import order_form, place
from tests.integration.simulator.test_alerts_routes import form as alert_form
from tests.integration.simulator.test_gtt_routes import form as trigger_form
from tests.integration.simulator.test_gtt_routes import order as trigger_order

ORDER = order_form(price=1400)
JSON_ORDER = {**ORDER, "variety": "regular", "quantity": 10, "price": 1500.0}
CHARGED = {**JSON_ORDER, "order_id": "x1", "average_price": 1500.0}
CONVERSION = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "position_type": "day",
    "quantity": "1",
    "old_product": "MIS",
    "new_product": "CNC",
}
DAYS = "from=2026-07-01+09:15:00&to=2026-07-03+15:30:00"
GTT = trigger_form([1400], [trigger_order(1401)])

ROUTES: list[tuple[str, str, Any, type | None]] = [
    ("GET", "/user/profile", None, dict),
    ("GET", "/user/profile/full", None, dict),
    ("GET", "/user/margins", None, dict),
    ("GET", "/user/margins/equity", None, dict),
    ("GET", "/user/margins/commodity", None, dict),
    ("GET", "/orders", None, list),
    ("GET", "/orders/{filled}", None, list),
    ("GET", "/orders/{filled}/trades", None, list),
    ("GET", "/trades", None, list),
    ("POST", "/orders/regular", ORDER, dict),
    ("POST", "/orders/amo", ORDER, dict),
    ("POST", "/orders/co", {**ORDER, "trigger_price": "1390"}, dict),
    ("POST", "/orders/iceberg", {**ORDER, "iceberg_legs": "2"}, dict),
    ("PUT", "/orders/regular/{resting}", {"price": "1401"}, dict),
    ("DELETE", "/orders/regular/{resting}?variety=regular&order_id={resting}", None, dict),
    ("GET", "/portfolio/holdings", None, list),
    ("GET", "/portfolio/holdings/summary", None, dict),
    ("GET", "/portfolio/holdings/compact", None, list),
    ("GET", "/portfolio/holdings/auctions", None, list),
    ("POST", "/portfolio/holdings/authorise", {"isin": "INE009A01021", "quantity": "5"}, dict),
    ("GET", "/portfolio/positions", None, dict),
    ("PUT", "/portfolio/positions", CONVERSION, bool),
    ("POST", "/margins/orders?mode=compact", [JSON_ORDER], list),
    ("POST", "/margins/basket?consider_positions=True&mode=compact", [JSON_ORDER], dict),
    ("POST", "/charges/orders", [CHARGED], list),
    ("GET", "/gtt/triggers", None, list),
    ("POST", "/gtt/triggers", GTT, dict),
    ("GET", "/gtt/triggers/{trigger}", None, dict),
    ("PUT", "/gtt/triggers/{trigger}", GTT, dict),
    ("DELETE", "/gtt/triggers/{trigger}", None, dict),
    ("GET", "/alerts", None, list),
    ("POST", "/alerts", alert_form(), dict),
    ("GET", "/alerts/{alert}", None, dict),
    ("PUT", "/alerts/{alert}", alert_form(), dict),
    ("GET", "/alerts/{alert}/history", None, list),
    ("DELETE", "/alerts?uuid={alert}", None, None),
    ("GET", "/instruments/historical/408065/day?continuous=0&oi=0&" + DAYS, None, dict),
    ("GET", "/quote?i=NSE:INFY", None, dict),
    ("GET", "/quote/ohlc?i=NSE:INFY&i=NSE:NIFTY+50", None, dict),
    ("GET", "/quote/ltp?i=NSE:INFY", None, dict),
    ("GET", "/instruments/trigger_range/buy?i=NSE:INFY&transaction_type=buy", None, dict),
    ("GET", "/instruments/NSE/INFY/trigger_range", None, dict),
    ("GET", "/mf/orders", None, list),
    ("GET", "/mf/orders/{fund_order}", None, dict),
    ("GET", "/mf/sips", None, list),
    ("GET", "/mf/sips/{sip}", None, dict),
    ("GET", "/mf/holdings", None, list),
    ("GET", "/mf/holdings/{isin}", None, list),
    ("GET", "/mf/allotments", None, list),
    ("GET", "/margins/equity", None, list),
]
SWITCHED_OFF = [
    ("POST", "/mf/orders"),
    ("DELETE", "/mf/orders/1"),
    ("POST", "/mf/sips"),
    ("PUT", "/mf/sips/1"),
    ("DELETE", "/mf/sips/1"),
]


async def prepare(client: httpx.AsyncClient) -> dict[str, str]:
    """Creates what the routes read, change and delete; ids by the names in the paths."""
    filled, resting = await place(client), await place(client, price=1400)
    trigger = (await client.post("/gtt/triggers", data=GTT)).json()["data"]["trigger_id"]
    alert = (await client.post("/alerts", data=alert_form())).json()["data"]["uuid"]
    [fund_order] = (await client.get("/mf/orders")).json()["data"]
    [sip] = (await client.get("/mf/sips")).json()["data"]
    return {
        "filled": filled,
        "resting": resting,
        "trigger": str(trigger),
        "alert": alert,
        "fund_order": fund_order["order_id"],
        "sip": sip["sip_id"],
        "isin": fund_order["tradingsymbol"],
    }


async def test_every_route_of_the_table_answers(client: httpx.AsyncClient) -> None:
    """In the success envelope, with data of its type, in the table's order."""
    names = await prepare(client)
    wrong = []
    for method, path, body, kind in ROUTES:
        target = path.format(**names)
        sent: dict[str, Any] = {"content": json.dumps(body)} if isinstance(body, list) else {"data": body}
        answer = await client.request(method, target, **sent)
        data = answer.json().get("data")
        if answer.status_code != 200 or answer.json()["status"] != "success" or type(data) is not (kind or type(None)):
            wrong.append((method, target, answer.text[:200]))
    assert wrong == []


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/instruments", "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike"),
        ("/instruments/MCX", "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike"),
        ("/mf/instruments", "tradingsymbol,amc,name,purchase_allowed,redemption_allowed,minimum_purchase_amount"),
    ],
)
async def test_dumps_are_plain_csv(client: httpx.AsyncClient, path: str, header: str) -> None:
    """The Content-Type is exactly `text/csv`, and lines end as at Kite."""
    answer = await client.get(path)
    lines = answer.text.split("\r\n")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv")
    assert lines[0].startswith(header)
    assert {line.count(",") for line in lines if line} == {lines[0].count(",")}


@pytest.mark.parametrize(("method", "path"), SWITCHED_OFF)
async def test_mutual_funds_are_read_only(client: httpx.AsyncClient, method: str, path: str) -> None:
    """The writing routes exist and refuse."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error_type"]) == (403, "PermissionException")


@pytest.mark.parametrize("path", [path for method, path, *_ in ROUTES if method == "GET" and "{" not in path])
async def test_every_route_needs_a_session(client: httpx.AsyncClient, path: str) -> None:
    """403 TokenException in the envelope."""
    answer = await client.get(path, headers={"Authorization": "token simkey:dead"})
    assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")
