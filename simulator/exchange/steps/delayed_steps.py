"""What the exchange does later: a real delay, and then a turn of its own."""

from collections.abc import Callable
from datetime import datetime, timedelta

from simulator.exchange.steps.atomic_step import Turn

CallLater = Callable[[float, Callable[[], None]], object]


class Later:
    def __init__(self, *, turn: Turn, call_later: CallLater, now: Callable[[], datetime]) -> None:
        self._turn = turn
        self._call_later = call_later
        self._now = now

    def after(self, delay_ms: float, action: Callable[[], None]) -> datetime | None:
        """Runs `action`; below 0 never. When that is, by the clock."""
        if delay_ms < 0:
            return None

        def act() -> None:
            with self._turn:
                action()

        self._call_later(delay_ms / 1000, act)
        return self._now() + timedelta(milliseconds=delay_ms)

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """At once when `moment` has passed."""
        self.after(max(0.0, (moment - self._now()).total_seconds() * 1000), action)
