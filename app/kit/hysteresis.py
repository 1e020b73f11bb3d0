"""A condition is shown as soon as it is seen and for some seconds after, so that what comes and goes is seen. Pure."""

from __future__ import annotations

LOWERED_AFTER_S = 5.0


def is_shown(seen_at: float | None, *, now: float) -> bool:
    """Whether a condition that was last seen at ``seen_at`` (monotonic seconds; None: never) is still shown."""
    return seen_at is not None and now - seen_at < LOWERED_AFTER_S
