"""What is wanted of the feeds, as values. Pure.

A *subscription* is what one owner wants: one instrument at one account, a row of the table. A *desired stream* is what
the account's feed has to carry because of them: an instrument stays while any owner subscribes to it, in the highest
mode that any of them asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from app.broker.market import Instrument, Mode

InstrumentKey: TypeAlias = tuple[str, str]
"""(exchange, tradingsymbol): tokens are recycled after expiry, symbols are not."""

StreamKey: TypeAlias = tuple[str, InstrumentKey]
"""(account_id, instrument): what is streamed, and by whose feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRequest:
    """One item of a client's request. ``account_id`` None: the service chooses."""

    instrument: Instrument
    mode: Mode
    account_id: str | None = None

    @property
    def key(self) -> InstrumentKey:
        return self.instrument.exchange, self.instrument.tradingsymbol


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One row as it is stored. ``instrument_token`` is the token of the day on which it was written."""

    owner: str
    account_id: str
    exchange: str
    tradingsymbol: str
    instrument_token: int
    requested_mode: Mode
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> InstrumentKey:
        return self.exchange, self.tradingsymbol

    @property
    def stream(self) -> StreamKey:
        return self.account_id, self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSubscription:
    """A row to write for an owner: new, or an old one in another mode."""

    stream: StreamKey
    instrument_token: int
    requested_mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredStream:
    """One instrument at one account with the subscriptions of all owners combined."""

    account_id: str  # whose feed streams it
    exchange: str  # NSE
    tradingsymbol: str  # INFY
    stored_token: int  # the token when it was last subscribed: what is shown while there is no token today
    token: int | None  # the token of today; None: the instrument does not exist today, so nothing is streamed
    mode: Mode  # the highest that any owner asks for
    owners: Mapping[str, Mode]  # by owner, the mode that it asks for
    created_at: datetime  # of the first subscription
    updated_at: datetime  # of the last change of any of them
