"""When each exchange trades (skeleton: signatures are final)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketCalendar:
    mode: Literal["exchange", "always"] = "exchange"
    holidays: Mapping[str, frozenset[date]] = field(default_factory=dict)

    def is_open(self, exchange: str, now: datetime) -> bool:
        raise NotImplementedError
