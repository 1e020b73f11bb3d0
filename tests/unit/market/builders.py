"""Values for market tests with the noise left out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from app.broker.market import Instrument, Mode
from app.market.subscriptions.model import Subscription

NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
"""Monday 5 January 2026, 12:00 IST."""


def instrument(
    key: str = "NSE:INFY",
    *,
    token: int = 408065,
    name: str = "INFOSYS",
    expiry: date | None = None,
    strike: str = "0",
    instrument_type: str = "EQ",
    segment: str | None = None,
) -> Instrument:
    exchange, _, tradingsymbol = key.partition(":")
    return Instrument(
        instrument_token=token,
        exchange_token=token >> 8,
        tradingsymbol=tradingsymbol,
        name=name,
        expiry=expiry,
        strike=Decimal(strike),
        tick_size=Decimal("0.05"),
        lot_size=1,
        instrument_type=instrument_type,
        segment=segment or exchange,
        exchange=exchange,
    )


def subscription(
    owner: str = "api",
    key: str = "NSE:INFY",
    *,
    mode: Mode = Mode.QUOTE,
    account_id: str = "primary",
    token: int = 408065,
    at: datetime = NOON,
) -> Subscription:
    exchange, _, tradingsymbol = key.partition(":")
    return Subscription(
        owner=owner,
        account_id=account_id,
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        instrument_token=token,
        requested_mode=mode,
        created_at=at,
        updated_at=at,
    )
