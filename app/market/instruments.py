"""The instrument registry (skeleton: signatures are final)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.broker.market import Instrument
from app.broker.port import Broker
from app.db.postgres import Database
from app.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStatus:
    """For health: ``ok``, ``stale`` (an older dump than today's is in use), ``empty``."""

    status: Literal["ok", "stale", "empty"]
    cached_instruments: int
    last_refresh: datetime | None
    last_error: str | None


class InstrumentService:
    def __init__(self, database: Database, *, brokers: Mapping[str, Broker], clock: Clock) -> None: ...

    async def start(self) -> None:
        """Load what PostgreSQL has; ask the broker when that is empty or older than today's dump. Never raises for
        the broker's failure."""

    async def run(self) -> None:
        """Refresh each day after the broker's dump time; try again with backoff after a failure."""

    def by_token(self) -> Mapping[int, Instrument]:
        """The present instruments: read at every use, replaced as a whole by a refresh."""
        raise NotImplementedError

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        raise NotImplementedError

    async def get(self, instrument_token: int) -> Instrument:
        """Raises NotFound, or Gone with INSTRUMENT_EXPIRED."""
        raise NotImplementedError

    def status(self) -> RegistryStatus:
        raise NotImplementedError
