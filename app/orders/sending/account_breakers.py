"""An account's circuit breakers, one for placements and one for modifications, probed by the reconciler's reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from loguru import logger

from app.broker.orders import Operation
from app.broker.outcomes import SendOutcome
from app.kit.clock import Clock
from app.orders.sending.circuit_breaker import Breaker, sample_of
from app.orders.state.engine_settings import BreakerLimits
from app.orders.state.wakeups import Wakeups


class BookReadCounters(Protocol):
    """How many reads of the order book have succeeded and failed so far; both only rise."""

    @property
    def reads(self) -> int: ...

    @property
    def failed_reads(self) -> int: ...


class AccountBreakers:
    """Cancels have no breaker, because closing a position must stay possible. A new owner starts with closed breakers.

    A breaker is probed by a read of the order book, which the reconciler makes; its counters show how the read went.
    """

    def __init__(
        self, account_id: str, *, limits: BreakerLimits, reads: BookReadCounters, wakeups: Wakeups, clock: Clock
    ) -> None:
        self._account_id = account_id
        self._reads = reads
        self._wakeups = wakeups
        self._clock = clock
        self._by_class = {kind: Breaker(limits=limits) for kind in (Operation.PLACE, Operation.MODIFY)}
        self._counts_at_probe = (0, 0)
        self._reads_applied = 0

    def record(self, operation: Operation, outcome: SendOutcome) -> None:
        """Count the outcome of a send; logs when the breaker opens."""
        breaker, sample = self._by_class.get(operation), sample_of(outcome)
        if breaker is None or sample is None:
            return
        was_closed = breaker.is_closed
        breaker.record(sample, now=self._clock.monotonic())
        if was_closed and not breaker.is_closed:
            self._reads_applied = self._reads.reads
            logger.bind(account_id=self._account_id, action=operation).error(
                "circuit breaker opened: nothing is sent until the order book can be read"
            )

    def stops(self, operation: Operation) -> bool:
        """Whether tasks of this operation must not be sent now."""
        breaker = self._by_class.get(operation)
        return breaker is not None and not breaker.is_closed

    @property
    def all_closed(self) -> bool:
        """Whether no breaker waits for a probe."""
        return all(breaker.is_closed for breaker in self._by_class.values())

    def states(self) -> Mapping[Operation, str]:
        """``closed``, ``open`` or ``probing``, by operation."""
        return {kind: breaker.state for kind, breaker in self._by_class.items()}

    def check(self) -> None:
        """Apply the reads of the book since the last call, and wake the reconciler to read where a pause is over."""
        self._apply_reads()
        due = [breaker for breaker in self._by_class.values() if breaker.probe_due(now=self._clock.monotonic())]
        if due:
            self._counts_at_probe = (self._reads.reads, self._reads.failed_reads)
            self._wakeups.read_book()

    def _apply_reads(self) -> None:
        now = self._clock.monotonic()
        stopped = [(kind, breaker) for kind, breaker in self._by_class.items() if not breaker.is_closed]
        good, failed = self._reads.reads > self._counts_at_probe[0], self._reads.failed_reads > self._counts_at_probe[1]
        for kind, breaker in stopped:
            if self._reads.reads > self._reads_applied:
                breaker.reached()
            if good or failed:
                breaker.probed("ok" if good else "failed", now=now)
            if breaker.is_closed:
                logger.bind(account_id=self._account_id, action=kind).info(
                    "circuit breaker closed: the order book can be read"
                )
        self._reads_applied = self._reads.reads
