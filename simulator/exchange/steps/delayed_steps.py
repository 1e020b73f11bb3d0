"""Steps that happen later: a timer of the event loop runs each inside a step of its own."""

from collections.abc import Callable
from datetime import datetime, timedelta

from simulator.exchange.steps.atomic_step import AtomicStep

CallLater = Callable[[float, Callable[[], None]], object]
"""`loop.call_later`: real seconds, and what to call then."""


class DelayedSteps:
    """Delays are real time, whatever the speed of the simulator's clock."""

    def __init__(self, *, step: AtomicStep, call_later: CallLater, now: Callable[[], datetime]) -> None:
        self._step = step
        self._call_later = call_later
        self._now = now

    def after(self, delay_ms: float, action: Callable[[], None]) -> datetime | None:
        """Runs `action` after `delay_ms`; returns that moment by the clock. A negative delay: never, and None."""
        if delay_ms < 0:
            return None

        def act() -> None:
            with self._step:
                action()

        self._call_later(delay_ms / 1000, act)
        return self._now() + timedelta(milliseconds=delay_ms)

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Runs `action` at `moment`, or immediately when it has passed."""
        self.after(max(0.0, (moment - self._now()).total_seconds() * 1000), action)
