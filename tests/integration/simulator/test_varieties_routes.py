"""Varieties and slices over HTTP: the forms of the answers, and how they count towards the day's limit."""

from decimal import Decimal

import httpx
import pytest

from simulator.server import RunningSimulator
from simulator.settings import AutosliceAnswer, RateLimits, SimulatorSettings
from tests.integration.simulator.order_forms import order_form
from tests.simulator_thread import simulator_in_thread

TOKEN = {"Authorization": "token simkey:simtoken"}


def option_of(running: RunningSimulator) -> tuple[str, int]:
    """A NIFTY option's symbol and freeze quantity."""
    instruments = running.simulator.market.instruments.values()
    found = next(item for item in instruments if item.name == "NIFTY" and item.instrument_type == "PE")
    return found.tradingsymbol, found.freeze_quantity


@pytest.mark.parametrize("shape", ["object", "array"])
def test_the_answer_to_a_sliced_order_has_the_form_of_the_setting(shape: AutosliceAnswer) -> None:
    """The parent with its children, or the children only; a refused child has its own error."""
    settings = SimulatorSettings(port=0, ticks_per_second=0, autoslice_answer=shape, opening_cash=Decimal(400_000))
    with simulator_in_thread(settings) as running, httpx.Client(base_url=running.url, headers=TOKEN) as client:
        symbol, freeze = option_of(running)
        market = {f"NFO:{symbol}": {"last_price": 100, "frozen": True}}
        client.post("/_sim/market", json={"instruments": market}).raise_for_status()
        form = order_form(exchange="NFO", tradingsymbol=symbol, product="NRML", price=100, quantity=freeze * 3)
        plain = client.post("/orders/regular", data=form)
        answer = client.post("/orders/regular", data={**form, "autoslice": "true"}).json()["data"]
        small = client.post("/orders/regular", data={**order_form(price=1), "autoslice": "true"}).json()["data"]
        book = client.get("/orders").json()["data"]
    assert (plain.status_code, set(small)) == (400, {"order_id"})
    children = answer["children"] if shape == "object" else answer
    placed = [child["order_id"] for child in children if "order_id" in child]
    failed = [child["error"] for child in children if "error" in child]
    assert (len(placed), len(failed)) == (2, 1)
    assert (failed[0]["code"], failed[0]["error_type"], failed[0]["data"]) == (400, "MarginException", None)
    rows = [row for row in book if row["order_id"] in placed]
    assert {row["tags"][0] for row in rows} == {"autoslice"}
    if shape == "object":
        assert {row["tags"][1] for row in rows} == {f"autoslice:{answer['order_id']}"}


def test_the_day_counts_every_request_and_every_leg() -> None:
    """A refusal counts; five legs count five for the day and one for the second; changes and cancels do not count."""
    limits = RateLimits(orders_per_day=8, orders_per_second=100)
    settings = SimulatorSettings(port=0, ticks_per_second=0, rate_limits=limits)
    with simulator_in_thread(settings) as running, httpx.Client(base_url=running.url, headers=TOKEN) as client:
        client.post(
            "/_sim/market", json={"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True}}}
        ).raise_for_status()
        assert client.post("/orders/regular", data=order_form(price=None)).status_code == 400
        iceberg = order_form(price=1400, quantity=10, iceberg_legs=5)
        leg = client.post("/orders/iceberg", data=iceberg).json()["data"]["order_id"]
        assert client.put(f"/orders/iceberg/{leg}", data={"price": "1401"}).status_code == 200
        assert client.delete(f"/orders/iceberg/{leg}").status_code == 200
        codes = [client.post("/orders/regular", data=order_form(price=1400)).status_code for _ in range(3)]
        refusal = client.post("/orders/regular", data=order_form(price=1400)).json()
    assert codes == [200, 200, 429]
    assert refusal["message"] == "Maximum allowed order requests exceeded"
