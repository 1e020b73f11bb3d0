"""Order forms for tests over HTTP."""

import httpx


def order_form(**changes: object) -> dict[str, str]:
    """The form of a buy of 10 INFY at 1500, with changes; None removes a field."""
    form: dict[str, object] = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 10,
        "product": "MIS",
        "order_type": "LIMIT",
        "price": 1500,
        "validity": "DAY",
        **changes,
    }
    return {name: str(value) for name, value in form.items() if value is not None}


async def place(client: httpx.AsyncClient, **changes: object) -> str:
    """The id of a placed order."""
    answer = await client.post("/orders/regular", data=order_form(**changes))
    assert answer.status_code == 200, answer.text
    order_id = answer.json()["data"]["order_id"]
    assert isinstance(order_id, str)
    return order_id


async def ledger(client: httpx.AsyncClient, **query: object) -> list[dict[str, object]]:
    answer = await client.get("/_sim/ledger", params={name: str(value) for name, value in query.items()})
    rows = answer.json()
    assert isinstance(rows, list)
    return rows
