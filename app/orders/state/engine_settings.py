"""The order engine's bounds in one value: every wait, window and count that its loops use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from app.broker.orders import OrderRequest, OrderType, Validity, Variety
from app.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    doubts: int = 3
    doubts_within_s: float = 10.0
    failed_share: float = 0.5
    least_samples: int = 5
    samples_within_s: float = 30.0
    first_pause_s: float = 5.0
    longest_pause_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Durations in seconds. The defaults are those of ``app.config``; tests run them short."""

    in_doubt_window_s: float = 120.0
    freshness_market_s: float = 3.0
    freshness_limit_s: float = 30.0
    freshness_cancel_s: float = 60.0
    freshness_repeated_cancel_s: float = 8 * 3600.0  # nobody asks again: it is repeated until its order is at its end
    send_timeout_s: float = 8.0
    claim_lease_s: float = 10.0
    longest_pause_s: float = 1.0
    block_on_doubt_s: float = 15.0
    poll_s: float = 0.25
    audit_s: float = 30.0
    least_read_gap_s: float = 0.25
    constant_read_gap_s: float = 1.0
    book_read_s: float = 5.0
    in_flight: int = 4
    cancels_in_flight: int = 4
    batch_deadline_s: float = 600.0
    halt_doubts: int = 3
    halt_doubt_age_s: float = 30.0
    alarm_doubt_age_s: float = 60.0
    fill_grace_s: float = 60.0
    breaker: BreakerLimits = field(default_factory=BreakerLimits)

    @classmethod
    def from_settings(cls, settings: Settings) -> EngineSettings:
        return cls(
            in_doubt_window_s=settings.in_doubt_window_s,
            freshness_market_s=settings.order_freshness_market_s,
            freshness_limit_s=settings.order_freshness_limit_s,
            send_timeout_s=settings.order_send_timeout_s,
            claim_lease_s=settings.order_claim_lease_s,
            block_on_doubt_s=settings.order_block_on_doubt_s,
            poll_s=settings.order_poll_s,
            audit_s=settings.order_audit_s,
            in_flight=settings.orders_in_flight,
            batch_deadline_s=settings.batch_deadline_s,
            halt_doubts=settings.order_halt_doubts,
            halt_doubt_age_s=settings.order_halt_doubt_age_s,
            alarm_doubt_age_s=settings.order_alarm_doubt_age_s,
            fill_grace_s=settings.order_fill_grace_s,
        )

    @property
    def doubt_timeout(self) -> timedelta:
        return timedelta(seconds=self.block_on_doubt_s)

    def freshness_s(self, request: OrderRequest) -> float:
        """How long an order may wait unsent: a price of three seconds ago is another market."""
        if request.variety is Variety.AMO:
            return self.freshness_limit_s
        hurried = request.order_type is OrderType.MARKET or request.validity is Validity.IOC
        return self.freshness_market_s if hurried else self.freshness_limit_s
