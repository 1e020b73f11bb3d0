"""How long to wait before the next attempt or read. Pure: randomness is an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential growth from ``first_s`` to ``cap_s``; the upper half of each step is random ("equal jitter")."""

    first_s: float
    cap_s: float
    factor: float = 2.0

    def delay(self, attempt: int, *, random: float) -> float:
        """Seconds to wait after failure number ``attempt`` (1, 2, ...); ``random`` is in [0, 1)."""
        exponent = min(attempt - 1, 63)
        step = min(self.cap_s, self.first_s * self.factor**exponent)
        return step / 2 + step / 2 * random


def jittered(seconds: float, *, random: float) -> float:
    """For polls of many processes that should not coincide: at most ``seconds``, at least three quarters of it."""
    return seconds * (1 - random / 4)
