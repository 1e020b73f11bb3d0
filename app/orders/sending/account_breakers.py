"""An account's circuit breakers, one per class that can be stopped, and their probes by the reconciler's reads."""

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
    """How many reads of the order book have succeeded and failed so far."""

    @property
    def reads(self) -> int: ...

    @property
    def failed_reads(self) -> int: ...


class AccountBreakers:
    """Cancels have none: the way out is never shut. A new owner of the account begins with closed ones."""

    def __init__(
        self, account_id: str, *, limits: BreakerLimits, reads: BookReadCounters, wakeups: Wakeups, clock: Clock
    ) -> None:
        self._account_id = account_id
        self._reads = reads
        self._wakeups = wakeups
        self._clock = clock
        self._by_class = {kind: Breaker(limits=limits) for kind in (Operation.PLACE, Operation.MODIFY)}
        self._asked_at = (0, 0)
        self._reads_seen = 0

    def record(self, operation: Operation, outcome: SendOutcome) -> None:
        """Count what a send told."""
        breaker, sample = self._by_class.get(operation), sample_of(outcome)
        if breaker is None or sample is None:
            return
        was_closed = breaker.is_closed
        breaker.record(sample, now=self._clock.monotonic())
        if was_closed and not breaker.is_closed:
            self._reads_seen = self._reads.reads
            logger.error("breaker of account {} is open: no {} until the broker answers", self._account_id, operation)

    def stops(self, operation: Operation) -> bool:
        breaker = self._by_class.get(operation)
        return breaker is not None and not breaker.is_closed

    @property
    def all_closed(self) -> bool:
        return all(breaker.is_closed for breaker in self._by_class.values())

    def states(self) -> Mapping[Operation, str]:
        return {kind: breaker.state for kind, breaker in self._by_class.items()}

    def check(self) -> None:
        """Take what the reads of the book have told, and ask for one where a pause is over."""
        self._take_reads()
        due = [breaker for breaker in self._by_class.values() if breaker.probe_due(now=self._clock.monotonic())]
        if due:
            self._asked_at = (self._reads.reads, self._reads.failed_reads)
            self._wakeups.look()

    def _take_reads(self) -> None:
        now = self._clock.monotonic()
        stopped = [breaker for breaker in self._by_class.values() if not breaker.is_closed]
        good, failed = self._reads.reads > self._asked_at[0], self._reads.failed_reads > self._asked_at[1]
        for breaker in stopped:
            if self._reads.reads > self._reads_seen:
                breaker.reached(now=now)
            if good or failed:
                breaker.probed("ok" if good else "failed", now=now)
            if breaker.is_closed:
                logger.info("breaker of account {} is closed: the order book can be read", self._account_id)
        self._reads_seen = self._reads.reads
