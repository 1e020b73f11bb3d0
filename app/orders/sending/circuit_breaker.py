"""A circuit breaker: when to stop sending because the broker's systems fail. Pure; ``now`` is in monotonic seconds.

    closed ── doubts, or failures ──> open ── pause over ──> probing ── a read succeeds ──> closed
                                       ▲                        │
                                       └───── a read fails ─────┘

A breaker that only failed connections have opened closes with any read that succeeds, because the connection works
again. After doubts it waits for the pause, because reads can work while orders do not. The pause does not grow: orders
go again soon after an outage, and while it lasts each opening costs as many doubts as the limit on doubts allows.

It counts the outcomes that say something about the broker's systems. A refusal says nothing about them and does not
count. Probes are reads of the order book, never orders.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from app.broker.outcomes import Accepted, InDoubt, NotSent, SendOutcome
from app.orders.state.engine_settings import BreakerLimits

MAX_SAMPLES = 1_000
"""More than the broker's rate limit allows within the longest window."""


class Sample(StrEnum):
    """What one outcome says about the broker's systems."""

    GOOD = "good"  # the broker answered
    FAILED = "failed"  # proven not sent: no connection
    DOUBT = "doubt"  # no answer


def sample_of(outcome: SendOutcome) -> Sample | None:
    """The sample for an outcome; None for refusals, dead sessions and throttling, which do not count."""
    match outcome:
        case Accepted():
            return Sample.GOOD
        case InDoubt():
            return Sample.DOUBT
        case NotSent():
            return Sample.FAILED
        case _:
            return None


State = Literal["closed", "open", "probing"]


@dataclass(slots=True, kw_only=True)
class Breaker:
    """The breaker of one account and operation."""

    limits: BreakerLimits = field(default_factory=BreakerLimits)
    state: State = "closed"
    _samples: deque[tuple[float, Sample]] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))  # time, sample
    _pause_ends: float = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether requests may be sent."""
        return self.state == "closed"

    def record(self, sample: Sample, *, now: float) -> None:
        """Count an outcome; too many bad ones open the breaker."""
        oldest = now - max(self.limits.doubts_within_s, self.limits.samples_within_s)
        while self._samples and self._samples[0][0] <= oldest:
            self._samples.popleft()
        self._samples.append((now, sample))
        if self.is_closed and self._has_too_many_failures(now):
            self._open(now)

    def probe_due(self, *, now: float) -> bool:
        """True once when the pause is over: the caller reads the order book and calls ``probed`` with the result."""
        if self.state != "open" or now < self._pause_ends:
            return False
        self.state = "probing"
        return True

    def reached(self) -> None:
        """A read of the order book succeeded, a probe or not; closes the breaker unless it has counted a doubt."""
        if self.state == "open" and all(one is not Sample.DOUBT for _, one in self._samples):
            self._close()

    def probed(self, result: Literal["ok", "failed"], *, now: float) -> None:
        """The result of a probe: closes the breaker, or opens it for another pause."""
        if self.state != "probing":
            return
        if result == "failed":
            self._open(now)
        else:
            self._close()

    def _has_too_many_failures(self, now: float) -> bool:
        limits = self.limits
        doubts = sum(one is Sample.DOUBT for at, one in self._samples if at > now - limits.doubts_within_s)
        if doubts >= limits.doubts:
            return True
        recent = [one for at, one in self._samples if at > now - limits.samples_within_s]
        failed = sum(one is not Sample.GOOD for one in recent)
        return len(recent) >= limits.least_samples and failed >= limits.failed_share * len(recent)

    def _close(self) -> None:
        self.state = "closed"
        self._samples.clear()

    def _open(self, now: float) -> None:
        self._pause_ends = now + self.limits.pause_s
        self.state = "open"
