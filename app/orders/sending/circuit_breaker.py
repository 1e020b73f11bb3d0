"""When to stop sending because the broker's side is broken: a circuit breaker, pure, ``now`` in monotonic seconds.

    closed ── doubts, or failures ──> open ── pause over ──> probing ── a read succeeds ──> closed
                                       ▲                        │
                                       └── a read fails, the pause doubles

Opened by connections that could not be made and nothing else, it closes with any read that succeeds: what was wrong is
known to be over. After doubts the pause is waited out, because reads can work while orders do not.

What it counts are outcomes that say something about the broker's systems. A refusal says nothing about them and is not
counted at all. Probes are reads of the order book, never orders.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from app.broker.outcomes import Accepted, InDoubt, NotSent, SendOutcome
from app.orders.state.engine_settings import BreakerLimits

MAX_SAMPLES = 1_000
"""More than the broker's rate lets through within the longest window."""


class Sample(StrEnum):
    GOOD = "good"
    FAILED = "failed"  # proven not sent: no connection
    DOUBT = "doubt"


def sample_of(outcome: SendOutcome) -> Sample | None:
    """What an outcome says about the broker's systems; None for refusals, dead sessions and our own rate."""
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
    """One account and class of requests."""

    limits: BreakerLimits = field(default_factory=BreakerLimits)
    state: State = "closed"
    opened: int = 0
    _samples: deque[tuple[float, Sample]] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    _pause_s: float = 0.0
    _pause_ends: float = 0.0
    _closed_at: float = float("-inf")

    @property
    def is_closed(self) -> bool:
        return self.state == "closed"

    def record(self, sample: Sample, *, now: float) -> None:
        """Count an outcome; opens when there were too many bad ones."""
        oldest = now - max(self.limits.doubts_within_s, self.limits.samples_within_s)
        while self._samples and self._samples[0][0] <= oldest:
            self._samples.popleft()
        self._samples.append((now, sample))
        if self.is_closed and self._is_too_much(now):
            self._open(now)

    def probe_due(self, *, now: float) -> bool:
        """True once when the pause is over: read the order book now and tell ``probed``."""
        if self.state != "open" or now < self._pause_ends:
            return False
        self.state = "probing"
        return True

    def reached(self, *, now: float) -> None:
        """The order book was read, asked for by the breaker or not."""
        if self.state == "open" and all(one is not Sample.DOUBT for _, one in self._samples):
            self._close(now)

    def probed(self, result: Literal["ok", "failed"], *, now: float) -> None:
        """What came of the read."""
        if self.state != "probing":
            return
        if result == "failed":
            self._open(now)
        else:
            self._close(now)

    def _is_too_much(self, now: float) -> bool:
        limits = self.limits
        doubts = sum(one is Sample.DOUBT for at, one in self._samples if at > now - limits.doubts_within_s)
        if doubts >= limits.doubts:
            return True
        recent = [one for at, one in self._samples if at > now - limits.samples_within_s]
        failed = sum(one is not Sample.GOOD for one in recent)
        return len(recent) >= limits.least_samples and failed >= limits.failed_share * len(recent)

    def _close(self, now: float) -> None:
        self.state = "closed"
        self._closed_at = now
        self._samples.clear()

    def _open(self, now: float) -> None:
        """Longer each time, unless it was closed for as long as the longest pause."""
        again = self.state == "probing" or now - self._closed_at < self.limits.longest_pause_s
        doubled = min(self._pause_s * 2, self.limits.longest_pause_s)
        self._pause_s = max(doubled, self.limits.first_pause_s) if again else self.limits.first_pause_s
        self._pause_ends = now + self._pause_s
        self.state = "open"
        self.opened += 1
