"""Sales of holdings by an account without consent: 428 until the user has authorised them at the depository."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from simulator.clock import IST
from tests.integration.simulator.order_forms import order_form

PAGE = "/connect/portfolio/authorise/holdings/simkey"
WITHOUT_CONSENT = {"user_id": "SIM001", "demat_consent": ""}


def sale(quantity: int, **changes: object) -> dict[str, str]:
    """A sale of INFY that rests, by CNC."""
    return order_form(transaction_type="SELL", product="CNC", quantity=quantity, price=1600, **changes)


@pytest.fixture
async def without_consent(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """SIM001 has 100 INFY and has given no consent."""
    (await client.post("/_sim/session", json=WITHOUT_CONSENT)).raise_for_status()
    return client


async def holding(client: httpx.AsyncClient, symbol: str = "INFY") -> dict[str, Any]:
    rows = (await client.get("/portfolio/holdings")).json()["data"]
    found: dict[str, Any] = next(row for row in rows if row["tradingsymbol"] == symbol)
    return found


async def authorise(client: httpx.AsyncClient, quantity: int | None = None) -> httpx.Response:
    """Starts an authorisation, for INFY or for everything, and gives it in the browser."""
    form = {} if quantity is None else {"isin": (await holding(client))["isin"], "quantity": str(quantity)}
    started = await client.post("/portfolio/holdings/authorise", data=form)
    return await client.get(f"{PAGE}/{started.json()['data']['request_id']}", headers={"Authorization": ""})


async def test_a_sale_of_holdings_without_consent_needs_an_authorisation(without_consent: httpx.AsyncClient) -> None:
    """428 with the quantity that is missing, and no order; after the authorisation it is taken."""
    client = without_consent
    refused = await client.post("/orders/regular", data=sale(10))
    assert (refused.status_code, refused.json()["error_type"]) == (428, "HoldingException")
    assert refused.json()["message"] == "10 quantity needs authorisation at depository."
    assert (await client.get("/orders")).json()["data"] == []
    given = await authorise(client, 15)
    assert (given.status_code, given.headers["location"].endswith("/finish?status=success")) == (302, True)
    assert (await client.get(given.headers["location"])).status_code == 200
    assert (await holding(client))["authorised_quantity"] == 15
    assert (await client.post("/orders/regular", data=sale(10))).status_code == 200
    further = await client.post("/orders/regular", data=sale(10))
    assert (further.status_code, further.json()["message"]) == (428, "5 quantity needs authorisation at depository.")
    await authorise(client)
    assert (await holding(client))["authorised_quantity"] == (await holding(client))["quantity"] == 100
    assert (await holding(client, "SBIN"))["authorised_quantity"] == 50
    assert (await client.post("/orders/regular", data=sale(10))).status_code == 200


async def test_other_orders_need_none(without_consent: httpx.AsyncClient) -> None:
    """Purchases, intraday sales, and sales of what was bought today."""
    client = without_consent
    bought = {"product": "CNC", "quantity": 10}
    for form in (order_form(**bought), order_form(transaction_type="SELL", price=1600), sale(10)):
        assert (await client.post("/orders/regular", data=form)).status_code == 200, form
    assert (await client.post("/orders/regular", data=sale(1))).status_code == 428
    short = await client.post("/orders/regular", data=sale(1_000))
    assert (short.status_code, short.json()["error_type"]) == (400, "HoldingException")


@pytest.mark.parametrize("consent", ["consent", "physical"])
async def test_an_account_with_consent_needs_none(client: httpx.AsyncClient, consent: str) -> None:
    """The profile says which one it has."""
    await client.post("/_sim/session", json={"user_id": "SIM001", "demat_consent": consent})
    assert (await client.get("/user/profile")).json()["data"]["meta"] == {"demat_consent": consent}
    assert (await client.post("/orders/regular", data=sale(100))).status_code == 200


async def test_an_authorisation_is_given_once_by_its_own_account(without_consent: httpx.AsyncClient) -> None:
    """Another key, an unknown id or a second visit authorise nothing."""
    client = without_consent
    isin = (await holding(client))["isin"]
    answer = await client.post("/portfolio/holdings/authorise", data={"isin": isin, "quantity": "5"})
    request_id = answer.json()["data"]["request_id"]
    for path in (f"{PAGE}2/{request_id}", f"{PAGE}/{'0' * 32}"):
        assert (await client.get(path)).headers["location"].endswith("status=error")
    for outcome in ("success", "error"):
        assert (await client.get(f"{PAGE}/{request_id}")).headers["location"].endswith(f"status={outcome}")
    assert (await holding(client))["authorised_quantity"] == 5
    odd = await client.post("/portfolio/holdings/authorise", data={"isin": isin})
    assert (odd.status_code, odd.json()["message"]) == (400, "Each `isin` needs a `quantity`.")
    wrong = await client.post("/_sim/session", json={"user_id": "SIM001", "demat_consent": "yes"})
    assert wrong.status_code == 400


async def test_an_authorisation_is_for_one_day(without_consent: httpx.AsyncClient) -> None:
    """It is gone on the next one."""
    await authorise(without_consent)
    tomorrow = datetime.now(IST) + timedelta(days=1)
    await without_consent.post("/_sim/clock", json={"now": tomorrow.isoformat()})
    assert (await holding(without_consent))["authorised_quantity"] == 0
    assert (await without_consent.post("/orders/regular", data=sale(1))).status_code == 428
