"""The first subscriptions, made through the service's own door: what a newcomer sees ticking."""

import time
from dataclasses import dataclass

import httpx

from embedded.errors import EmbeddedError

WATCHED = (
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
class Seeded:
    """`tokens` by `EXCHANGE:TRADINGSYMBOL`, for those that the broker knows."""

    tokens: dict[str, int]


def seed_subscriptions(client: httpx.Client) -> Seeded:
    """Subscribe to WATCHED in full mode; what is there already stays. An unknown instrument is passed over.

    Raises EmbeddedError when the service refuses the whole request.
    """
    items = [{"exchange": exchange, "tradingsymbol": symbol, "requested_mode": "full"} for exchange, symbol in WATCHED]
    answer = client.post("/subscriptions/bulk", json={"items": items})
    if answer.is_error:
        raise EmbeddedError(f"the service refused the first subscriptions: {answer.status_code} {answer.text[:500]}")
    records = client.get("/subscriptions", params={"limit": 200}).raise_for_status().json()["data"]
    known = {f"{record['exchange']}:{record['tradingsymbol']}": int(record["instrument_token"]) for record in records}
    return Seeded({key: known[key] for key in (f"{a}:{b}" for a, b in WATCHED) if key in known})


def wait_for_last_prices(client: httpx.Client, names: tuple[str, ...]) -> dict[str, float]:
    """The last price of each name, asked of the service until all have one or FIRST_TICK_TIMEOUT_S has passed."""
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
