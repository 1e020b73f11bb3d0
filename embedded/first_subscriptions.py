"""The first subscriptions, made over the service's API: what a newcomer sees ticking."""

import time
from dataclasses import dataclass

import httpx

from embedded.errors import EmbeddedError

INSTRUMENTS = (
    ("NSE", "NIFTY 50"),
    ("NSE", "NIFTY BANK"),
    ("BSE", "SENSEX"),
    ("NSE", "INFY"),
    ("NSE", "RELIANCE"),
    ("NSE", "SBIN"),
    ("NSE", "TCS"),
    ("NSE", "HDFCBANK"),
    ("NSE", "ICICIBANK"),
    ("NSE", "ITC"),
    ("NSE", "LT"),
    ("NSE", "AXISBANK"),
)
FIRST_TICK_TIMEOUT_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class FirstSubscriptions:
    """`tokens` by `EXCHANGE:TRADINGSYMBOL`, of the instruments that the broker has."""

    tokens: dict[str, int]


def subscribe_first(client: httpx.Client) -> FirstSubscriptions:
    """Subscribes to INSTRUMENTS in full mode, beside existing subscriptions. An unknown instrument is left out.

    Raises EmbeddedError when the service refuses the request.
    """
    items = [
        {"exchange": exchange, "tradingsymbol": symbol, "requested_mode": "full"} for exchange, symbol in INSTRUMENTS
    ]
    answer = client.post("/subscriptions/bulk", json={"items": items})
    if answer.is_error:
        raise EmbeddedError(f"the service refused the first subscriptions: {answer.status_code} {answer.text[:500]}")
    records = client.get("/subscriptions", params={"limit": 200}).raise_for_status().json()["data"]
    known = {f"{record['exchange']}:{record['tradingsymbol']}": int(record["instrument_token"]) for record in records}
    return FirstSubscriptions({key: known[key] for key in (f"{a}:{b}" for a, b in INSTRUMENTS) if key in known})


def wait_for_last_prices(client: httpx.Client, names: tuple[str, ...]) -> dict[str, float]:
    """Last prices in rupees by name; waits up to FIRST_TICK_TIMEOUT_S until all have one."""
    deadline = time.monotonic() + FIRST_TICK_TIMEOUT_S
    while True:
        answer = client.get("/quotes", params={"i": list(names)})
        quotes = answer.json() if answer.is_success else {}
        prices = _read_last_prices(quotes.get("data", quotes))
        if all(name in prices for name in names) or time.monotonic() >= deadline:
            return prices
        time.sleep(POLL_S)


def _read_last_prices(quotes: dict[str, dict[str, object]]) -> dict[str, float]:
    prices = {}
    for name, quote in quotes.items():
        price = quote.get("last_price")
        if isinstance(price, int | float) and price > 0:
            prices[name] = float(price)
    return prices
