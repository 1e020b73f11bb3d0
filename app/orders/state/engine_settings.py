"""The bounds of the order engine in one value: every wait, window and count that its loops use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from app.broker.orders import OrderRequest, OrderType, Validity, Variety
from app.config import Settings
from app.setting_values import AfterRecovery

CLEAN_READS_NEEDED = 5
"""So many clean reads, and the whole doubt window, prove that an order was not placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a circuit breaker opens, and for how long. Durations in seconds."""

    doubts: int = 3  # opens at this many doubts ...
    doubts_within_s: float = 10.0  # ... within this time
    failed_share: float = 0.5  # opens when this share of the outcomes is bad: not sent, or in doubt
    least_samples: int = 5  # ... of at least this many outcomes ...
    samples_within_s: float = 30.0  # ... within this time
    pause_s: float = 5.0  # from the opening to the first probe, and from a probe that fails to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Per account, durations in seconds. The defaults are those of ``app.config``; tests use shorter ones."""

    in_doubt_window_s: float = 120.0  # a doubt ends as not found only this long after its send, and after clean reads
    freshness_market_s: float = 3.0  # from acceptance to the latest send of a market or IOC order
    freshness_limit_s: float = 30.0  # the same for other orders, modifications and square-offs
    freshness_cancel_s: float = 60.0  # the same for cancels that a client repeats if they expire
    freshness_removal_s: float = 8 * 3600.0  # the same for cancels of unwanted orders
    send_timeout_s: float = 8.0  # one request to the broker, from connecting to the answer; after that it is a doubt
    claim_lease_s: float = 10.0  # from the claim to the stored outcome; after that the reconciler makes it a doubt
    claim_to_send_s: float = 1.0  # from the claim to the send; a process that was paused for longer sends nothing
    block_on_doubt_s: float = 15.0  # a doubt keeps new orders of its instrument and batch waiting, from its send
    poll_s: float = 0.25  # between two polls of a loop that no wake-up reaches, while the account has open tasks
    audit_s: float = 30.0  # between two reads of the order book, or trade book, that no hint asked for
    least_read_gap_s: float = 0.25  # from the end of one read of the order book to the next
    constant_read_gap_s: float = 1.0  # the same while hints arrive all the time
    book_read_s: float = 5.0  # one read of the order book; after that it has failed
    session_proof_s: float = 15.0  # between two reads of the profile that ask if a rejected token works after all
    in_flight: int = 4  # placements and modifications under way at once
    cancels_in_flight: int = 4  # cancels under way at once, beside the others
    batch_deadline_s: float = 600.0  # from a batch's acceptance until its unsent legs are withdrawn, at most
    exit_s: float = 300.0  # from the first exit of a position until the rest is given up and reported
    exit_moves_per_minute: int = 60  # of all exits together, of the broker's 400: cancels need the others
    halt_doubts: int = 3  # this many doubts stop new orders; cancels do not count
    halt_doubt_age_s: float = 30.0  # one doubt of this age stops them too
    alarm_doubt_age_s: float = 60.0  # a doubt of this age raises the alarm
    alarm_unwanted_age_s: float = 60.0  # an unwanted order that lives for so long raises the alarm
    fill_grace_s: float = 60.0  # from the end of an order until its missing fills are inferred
    account_lease_s: float = 10.0  # an owner that lost the database may still send for this long
    egress_ip: str = ""  # the address from which the broker sees this replica; empty: not known
    allowed_egress_ips: tuple[str, ...] = ()  # a replica with none of them sends no orders; empty: any may
    replica_live_s: float = 10.0  # a replica that has not announced itself for this long takes no account
    egress_cool_down_s: float = 600.0  # how long an address is not used that the broker has refused
    after_recovery: AfterRecovery = "reduce_only"  # what an account may do when it has recovered from a loss
    breaker: BreakerLimits = field(default_factory=BreakerLimits)  # of each circuit breaker

    @classmethod
    def from_settings(cls, settings: Settings) -> EngineSettings:
        """The bounds that operators can set; the others keep their defaults."""
        source = settings.egress_source_ip
        address = settings.egress_ip or (None if source is None or source.is_unspecified else source)
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
            exit_s=settings.exit_deadline_s,
            halt_doubts=settings.order_halt_doubts,
            halt_doubt_age_s=settings.order_halt_doubt_age_s,
            alarm_doubt_age_s=settings.order_alarm_doubt_age_s,
            fill_grace_s=settings.order_fill_grace_s,
            account_lease_s=settings.account_lease_s,
            egress_ip="" if address is None else str(address),
            allowed_egress_ips=tuple(settings.allowed_egress_ips.split(",")) if settings.allowed_egress_ips else (),
            after_recovery=settings.after_recovery,
        )

    @property
    def doubt_timeout(self) -> timedelta:
        """``block_on_doubt_s``, after which a batch with a leg in doubt is rolled back."""
        return timedelta(seconds=self.block_on_doubt_s)

    def freshness_s(self, request: OrderRequest) -> float:
        """Seconds that an order may wait to be sent. A market order has few, because the price moves meanwhile."""
        if request.variety is Variety.AMO:
            return self.freshness_limit_s
        hurried = request.order_type is OrderType.MARKET or request.validity is Validity.IOC
        return self.freshness_market_s if hurried else self.freshness_limit_s
