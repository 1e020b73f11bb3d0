"""Holding and releasing: the reason becomes visible, and nothing else changes."""

from __future__ import annotations

from app.broker.orders import Operation
from app.broker.outcomes import Sent
from app.orders.sending.holds import NO_SESSION, Obstacle, next_step
from app.orders.state.lifecycle import Event
from app.orders.state.model import TaskError, TaskStatus
from tests.unit.orders.builders import command, task

CLOSED = NO_SESSION
HALT = Obstacle(error=TaskError(code="HALTED", message="x"), stopped=frozenset({Operation.PLACE, Operation.MODIFY}))


def test_a_held_cancel_does_not_forget_that_it_may_have_been_sent() -> None:
    """A cancel that waits to be repeated after a doubt is held with `sent: unknown`, and released with it."""
    waiting = command(Operation.CANCEL, status=TaskStatus.RETRYING, sent=Sent.UNKNOWN)
    held = next_step(waiting, [CLOSED])
    assert held is not None
    assert (held.event, held.sent) == (Event.HOLD, Sent.UNKNOWN)
    released = next_step(command(Operation.CANCEL, status=TaskStatus.HELD, sent=Sent.UNKNOWN), [])
    assert released is not None
    assert (released.event, released.sent) == (Event.RELEASE, Sent.UNKNOWN)


def test_a_halt_lets_cancels_pass() -> None:
    """Orders are held, cancels are not even looked at."""
    assert next_step(task(status=TaskStatus.PENDING, sent=Sent.NO), [HALT]) is not None
    assert next_step(command(Operation.CANCEL, status=TaskStatus.PENDING), [HALT]) is None
