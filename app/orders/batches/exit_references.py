"""What the market is for instruments whose exits are priced: the newest tick, or else the broker's quote.

Only a quote has the circuit limits, so one is asked for at the first exit of an instrument, and again each minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from loguru import logger

from app.broker.market import Quote
from app.errors import ServiceError
from app.orders.batches.exit_rules import REFERENCE_MAX_AGE_S, Reference
from app.orders.state.last_prices import fresh_price
from app.orders.state.order_parts import AccountParts

QUOTE_TIMEOUT_S = 2.0
"""How long exits wait for the broker's quotes. It answers one such request a second."""
CIRCUIT_MAX_AGE_S = 60.0
"""Seconds. The exchange may move a circuit in the course of a day."""
ASK_AGAIN_S = 2.0
"""Between two requests for the same instrument, also when the first was in vain."""
DEFAULT_TICK = Decimal("0.05")
"""For an instrument that is not known: most are traded in multiples of it, or of a part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The broker's answer about one instrument; None where it gave none."""

    quote: Quote | None
    at: float  # by the monotonic clock, in seconds


class ExitReferences:
    """The references of one account's exits. Quotes are forgotten when they are too old for anything."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._market = parts.broker.market
        self._prices = parts.prices
        self._clock = parts.clock
        self._asked: dict[str, _Asked] = {}

    async def of(self, instruments: Collection[str]) -> Mapping[str, Reference]:
        """By instrument (``NSE:INFY``); without those of which no price is known. Takes ``QUOTE_TIMEOUT_S`` at most."""
        wanted = sorted(one for one in set(instruments) if self._lacks(one))
        if wanted:
            await self._ask(wanted)
        found = {one: self._reference(one) for one in instruments}
        return {one: reference for one, reference in found.items() if reference is not None}

    def _lacks(self, instrument: str) -> bool:
        asked = self._asked.get(instrument)
        if asked is None:
            return True
        age_s = self._clock.monotonic() - asked.at
        if age_s < ASK_AGAIN_S:
            return False
        last = self._prices.last_price(*_parts(instrument))
        has_tick = fresh_price(last, max_age_s=REFERENCE_MAX_AGE_S) is not None
        return not has_tick or asked.quote is None or age_s > CIRCUIT_MAX_AGE_S

    async def _ask(self, instruments: Collection[str]) -> None:
        quotes: Mapping[str, Quote] = {}
        try:
            async with asyncio.timeout(QUOTE_TIMEOUT_S):
                quotes = await self._market.quotes(list(instruments))
        except (ServiceError, TimeoutError) as error:
            log = logger.bind(account_id=self._account_id, action="price_exits", reason=repr(error))
            log.warning("no quotes for exits")
        now = self._clock.monotonic()
        self._asked = {one: kept for one, kept in self._asked.items() if now - kept.at <= CIRCUIT_MAX_AGE_S}
        self._asked |= {one: _Asked(quote=quotes.get(one), at=now) for one in instruments}

    def _reference(self, instrument: str) -> Reference | None:
        exchange, tradingsymbol = _parts(instrument)
        asked = self._asked.get(instrument)
        quote = None if asked is None else asked.quote
        last = self._prices.last_price(exchange, tradingsymbol)
        tick = fresh_price(last, max_age_s=REFERENCE_MAX_AGE_S)
        if last is not None and tick is not None:
            price, age_s = tick, last.age_s
        elif asked is not None and quote is not None:
            price, age_s = quote.last_price, self._clock.monotonic() - asked.at
        else:
            return None
        return Reference(
            last_price=price,
            age_s=age_s,
            tick_size=self._prices.tick_size(exchange, tradingsymbol) or DEFAULT_TICK,
            is_option=exchange not in {"NSE", "BSE"} and tradingsymbol.endswith(("CE", "PE")),
            lower_circuit=None if quote is None else _limit(quote.raw, "lower_circuit_limit"),
            upper_circuit=None if quote is None else _limit(quote.raw, "upper_circuit_limit"),
        )


def _parts(instrument: str) -> tuple[str, str]:
    exchange, _, tradingsymbol = instrument.partition(":")
    return exchange, tradingsymbol


def _limit(raw: Mapping[str, Any], name: str) -> Decimal | None:
    """A circuit limit; None where the quote has none, 0 or nonsense."""
    try:
        limit = Decimal(str(raw.get(name)))
    except InvalidOperation:
        return None
    return limit if limit.is_finite() and limit > 0 else None
