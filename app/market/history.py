"""Candles (skeleton: signatures are final)."""

from __future__ import annotations

from collections.abc import Mapping

from app.broker.port import Broker
from app.market.instruments import InstrumentService


class HistoryService:
    def __init__(self, *, brokers: Mapping[str, Broker], instruments: InstrumentService) -> None: ...
