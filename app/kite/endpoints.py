"""The requests to Kite by name: the closed lists behind the labels of ``ticker_broker_requests_total``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from app import __version__
from app.errors import BrokerError, BrokerRefused, BrokerThrottled, BrokerUnavailable, SessionExpired

CLIENT_HEADERS: Mapping[str, str] = {"X-Kite-Version": "3", "User-Agent": f"ticker-service/{__version__}"}
"""How this service introduces itself, on every request and on the ticker's upgrade."""


class Endpoint(StrEnum):
    """The ``endpoint`` label."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"
    ORDERS = "orders"
    ORDER_HISTORY = "order_history"
    TRADES = "trades"
    BASKET_MARGIN = "basket_margin"
    PROFILE = "profile"
    HOLDINGS = "holdings"
    POSITIONS = "positions"
    MARGINS = "margins"
    INSTRUMENTS = "instruments"
    QUOTE = "quote"
    HISTORICAL = "historical"
    LOGIN = "login"
    LOGOUT = "logout"


BOOK_ENDPOINTS = frozenset({Endpoint.ORDERS, Endpoint.TRADES})
"""The reads that decide what has become of orders."""

READ_OUTCOMES: Mapping[type[BrokerError], str] = {
    BrokerRefused: "refused",
    SessionExpired: "session_expired",
    BrokerThrottled: "throttled",
    BrokerUnavailable: "unavailable",
}
"""The ``outcome`` label of a read that failed; also ``ok`` and ``cancelled``."""
