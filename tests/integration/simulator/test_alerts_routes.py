"""`/alerts`: alerts fire, are in the history, and place baskets."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.simulator.test_gtt_routes import set_price

BASKET = {
    "name": "dip",
    "type": "alert",
    "tags": [],
    "items": [
        {
            "type": "insert",
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "weight": 1,
            "params": {
                "transaction_type": "BUY",
                "product": "CNC",
                "order_type": "LIMIT",
                "variety": "regular",
                "validity": "DAY",
                "validity_ttl": 0,
                "quantity": 3,
                "price": 1480.5,
                "trigger_price": 0,
                "disclosed_quantity": 0,
                "tags": ["DIP"],
                "gtt": {"target": 0, "stoploss": 0},
            },
        }
    ],
}


def form(**changes: object) -> dict[str, str]:
    fields: dict[str, object] = {
        "name": "INFY low",
        "type": "simple",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "operator": "<=",
        "rhs_type": "constant",
        "rhs_constant": 1480,
        **changes,
    }
    return {name: str(value) for name, value in fields.items() if value is not None}


async def create(client: httpx.AsyncClient, **changes: object) -> Any:
    answer = await client.post("/alerts", data=form(**changes))
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def read(client: httpx.AsyncClient, path: str) -> Any:
    return (await client.get(path)).json()["data"]


async def test_an_alert_fires_when_its_condition_becomes_true(client: httpx.AsyncClient) -> None:
    """Once while it is true, and again after it was false; each firing is in the history with a snapshot."""
    alert = await create(client)
    for price in (1490, 1479, 1478, 1490, 1480):
        await set_price(client, price)
    rows = await read(client, f"/alerts/{alert['uuid']}/history")
    after = await read(client, f"/alerts/{alert['uuid']}")
    assert [row["meta"][0]["last_price"] for row in rows] == [1479, 1480]
    assert (after["alert_count"], after["status"], rows[0]["order_meta"]) == (2, "enabled", None)
    assert rows[0]["condition"] == 'LastTradedPrice("NSE:INFY") <= 1480'
    assert rows[0]["meta"][0].keys() >= {"tradingsymbol", "exchange", "ohlc", "net_change", "volume_tick", "oi"}


async def test_an_alert_may_compare_with_an_index(client: httpx.AsyncClient) -> None:
    """The exchange of an index is INDICES in alerts."""
    alert = await create(
        client,
        operator="<",
        rhs_type="instrument",
        rhs_constant=None,
        rhs_exchange="INDICES",
        rhs_tradingsymbol="NIFTY 50",
        rhs_attribute="LastTradedPrice",
    )
    await set_price(client, 1490)
    assert (await read(client, f"/alerts/{alert['uuid']}"))["alert_count"] == 1
    assert (alert["rhs_exchange"], alert["rhs_constant"]) == ("INDICES", 0)


async def test_an_ato_alert_places_its_basket_and_is_disabled(client: httpx.AsyncClient) -> None:
    """Items get an id and a token; the orders have the basket's tag, and the history has their ids."""
    alert = await create(client, type="ato", basket=json.dumps(BASKET))
    item = alert["basket"]["items"][0]
    assert (item["id"], item["instrument_token"], item["params"]["price"]) == (1, 408065, 1480.5)
    await set_price(client, 1480)
    [order] = await read(client, "/orders")
    [row] = await read(client, f"/alerts/{alert['uuid']}/history")
    assert (order["tag"], order["quantity"], order["status"]) == ("DIP", 3, "COMPLETE")
    assert row["order_meta"] == [{"order_id": order["order_id"]}]
    assert (await read(client, f"/alerts/{alert['uuid']}"))["status"] == "disabled"
    await client.put(f"/alerts/{alert['uuid']}", data=form(rhs_constant=1470))
    assert (await read(client, "/alerts?status=enabled"))[0]["rhs_constant"] == 1470


async def test_deleted_alerts_are_kept_and_do_not_fire(client: httpx.AsyncClient) -> None:
    """Several can be deleted together; without a uuid nothing is deleted, and the answer is 400."""
    first, second = await create(client), await create(client, name="other")
    lost = await client.delete("/alerts")
    assert (lost.status_code, lost.json()["message"]) == (400, "Missing or empty field `uuid`")
    gone = await client.delete("/alerts", params={"uuid": [first["uuid"], second["uuid"]]})
    assert (gone.status_code, gone.json()["data"]) == (200, None)
    await set_price(client, 1400)
    assert await read(client, "/alerts?status=enabled") == []
    rows = await read(client, "/alerts?status=deleted&page=2&page_size=1")
    assert [(row["uuid"], row["alert_count"]) for row in rows] == [(first["uuid"], 0)]
    assert (await client.put(f"/alerts/{first['uuid']}", data=form())).status_code == 400
    assert (await client.get("/alerts/nope")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "Missing or empty field `name`"),
        ({"type": "loud"}, "Invalid `type`"),
        ({"operator": "!="}, "Invalid `operator`"),
        ({"lhs_attribute": "Volume"}, "Invalid `lhs_attribute`"),
        ({"lhs_tradingsymbol": "NOPE"}, "Unknown instrument NSE:NOPE"),
        ({"rhs_constant": None}, "Missing or empty field `rhs_constant`"),
        ({"type": "ato"}, "Missing or empty field `basket`"),
        ({"type": "ato", "basket": '{"items": []}'}, "Invalid `basket`"),
    ],
)
async def test_a_bad_alert_is_refused(client: httpx.AsyncClient, changes: dict[str, object], message: str) -> None:
    """400 that names the field; nothing is stored."""
    answer = await client.post("/alerts", data=form(**changes))
    assert (answer.status_code, message in answer.json()["message"]) == (400, True)
    assert await read(client, "/alerts") == []
