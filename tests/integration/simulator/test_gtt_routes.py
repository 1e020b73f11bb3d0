"""`/gtt/triggers`: GTTs fire at their price and place their order."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.settings import RateLimits, SimulatorSettings
from tests.simulator_thread import simulator_in_thread

TOKEN = {"Authorization": "token simkey:simtoken"}


def order(price: float, *, side: str = "BUY", quantity: int = 5, product: str = "CNC") -> dict[str, Any]:
    return {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": side,
        "quantity": quantity,
        "order_type": "LIMIT",
        "product": product,
        "price": price,
    }


def form(values: list[float], orders: list[dict[str, Any]], *, last_price: float = 1500) -> dict[str, str]:
    condition = {"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": values, "last_price": last_price}
    return {
        "type": "single" if len(values) == 1 else "two-leg",
        "condition": json.dumps(condition),
        "orders": json.dumps(orders),
    }


async def set_price(client: httpx.AsyncClient, price: float) -> None:
    body = {"instruments": {"NSE:INFY": {"last_price": price, "frozen": True}}}
    (await client.post("/_sim/market", json=body)).raise_for_status()


async def create(client: httpx.AsyncClient, fields: dict[str, str]) -> int:
    answer = await client.post("/gtt/triggers", data=fields)
    assert answer.status_code == 200, answer.text
    trigger_id = answer.json()["data"]["trigger_id"]
    assert isinstance(trigger_id, int)
    return trigger_id


async def read(client: httpx.AsyncClient, trigger_id: int) -> Any:
    return (await client.get(f"/gtt/triggers/{trigger_id}")).json()["data"]


async def test_a_single_trigger_fires_once_and_places_its_order(client: httpx.AsyncClient) -> None:
    """It fires when the price falls to its value; the result has the id of the order, which is in the book."""
    trigger_id = await create(client, form([1480], [order(1481)]))
    await set_price(client, 1480.05)
    assert (await read(client, trigger_id))["status"] == "active"
    await set_price(client, 1479)
    fired = await read(client, trigger_id)
    result = fired["orders"][0]["result"]
    assert (fired["status"], result["order_result"]["status"], result["triggered_at"]) == ("triggered", "success", 1479)
    book = (await client.get("/orders")).json()["data"]
    assert [row["order_id"] for row in book] == [result["order_result"]["order_id"]]
    assert (book[0]["status"], book[0]["average_price"]) == ("COMPLETE", 1479)
    await set_price(client, 1500)
    await set_price(client, 1470)
    assert len((await client.get("/orders")).json()["data"]) == 1


@pytest.mark.parametrize(("price", "leg"), [(1450, 0), (1560, 1)])
async def test_one_of_two_legs_fires(client: httpx.AsyncClient, price: float, leg: int) -> None:
    """The lower or the upper one; the other order has no result."""
    legs = [order(1440, side="SELL"), order(1550, side="SELL")]
    trigger_id = await create(client, form([1450, 1550], legs))
    await set_price(client, price)
    fired = await read(client, trigger_id)
    assert fired["orders"][leg]["result"]["order_result"]["status"] == "success"
    assert fired["orders"][1 - leg]["result"] is None


async def test_an_order_that_is_refused_leaves_its_reason(client: httpx.AsyncClient) -> None:
    """The GTT has fired for good; `order_id` is empty."""
    trigger_id = await create(client, form([1490], [order(1480, side="SELL", quantity=5_000)]))
    await set_price(client, 1485)
    fired = await read(client, trigger_id)
    result = fired["orders"][0]["result"]["order_result"]
    assert (fired["status"], result["status"], result["order_id"]) == ("triggered", "failed", "")
    assert "Insufficient stock holding" in result["rejection_reason"]


async def test_a_trigger_can_be_changed_and_deleted(client: httpx.AsyncClient) -> None:
    """A change sends all three fields; a deleted GTT can be read and never fires."""
    trigger_id = await create(client, form([1480], [order(1481)]))
    changed = await client.put(f"/gtt/triggers/{trigger_id}", data=form([1400], [order(1401)]))
    assert changed.json()["data"] == {"trigger_id": trigger_id}
    assert (await client.delete(f"/gtt/triggers/{trigger_id}")).json()["data"] == {"trigger_id": trigger_id}
    await set_price(client, 1390)
    [row] = (await client.get("/gtt/triggers")).json()["data"]
    assert (row["id"], row["status"], row["condition"]["trigger_values"]) == (trigger_id, "deleted", [1400])
    assert (await client.delete(f"/gtt/triggers/{trigger_id}")).status_code == 400
    assert (await client.get("/gtt/triggers/1")).status_code == 404
    assert (await client.get("/gtt/triggers/x")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (form([1500], [order(1500)]), "one of the trigger values equal to the last price"),
        (form([1400, 1450], [order(1), order(1)]), "second trigger price less than the last price"),
        (form([1550, 1560], [order(1), order(1)]), "first trigger price more than the last price"),
        (form([1400, 1600], [order(1)]), "wants 2 trigger value"),
        ({**form([1400], [order(1)]), "type": "triple"}, "Invalid `type`"),
        ({**form([1400], [order(1)]), "orders": "{"}, "Invalid JSON"),
        ({"type": "single"}, "Missing or empty field `condition`"),
        (form([1400], [{**order(1), "order_type": "MARKET"}]), "Only LIMIT orders"),
        (form([1400], [{**order(1), "price": 0}]), "Missing or empty field `price`"),
    ],
)
async def test_a_bad_trigger_is_refused(client: httpx.AsyncClient, fields: dict[str, str], message: str) -> None:
    """400 with Kite's sentence; nothing is stored."""
    answer = await client.post("/gtt/triggers", data=fields)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert (await client.get("/gtt/triggers")).json()["data"] == []


def test_triggers_and_alerts_outlive_the_process(tmp_path: Path) -> None:
    """They fire after a restart."""
    settings = SimulatorSettings(port=0, ticks_per_second=0, state_dir=tmp_path, rate_limits=RateLimits(enforced="off"))
    alert = {
        "name": "low",
        "type": "simple",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "operator": "<=",
        "rhs_type": "constant",
        "rhs_constant": "1480",
    }
    with simulator_in_thread(settings) as running, httpx.Client(base_url=running.url, headers=TOKEN) as client:
        start = {"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True}}}
        client.post("/_sim/market", json=start).raise_for_status()
        trigger_id = client.post("/gtt/triggers", data=form([1480], [order(1481)])).json()["data"]["trigger_id"]
        uuid = client.post("/alerts", data=alert).json()["data"]["uuid"]
    with simulator_in_thread(settings) as running, httpx.Client(base_url=running.url, headers=TOKEN) as client:
        assert client.get(f"/gtt/triggers/{trigger_id}").json()["data"]["status"] == "active"
        low = {"instruments": {"NSE:INFY": {"last_price": 1470, "frozen": True}}}
        client.post("/_sim/market", json=low).raise_for_status()
        assert client.get(f"/gtt/triggers/{trigger_id}").json()["data"]["status"] == "triggered"
        assert client.get(f"/alerts/{uuid}").json()["data"]["alert_count"] == 1
        later = client.post("/gtt/triggers", data=form([1400], [order(1401)])).json()["data"]["trigger_id"]
    assert later == trigger_id + 1
