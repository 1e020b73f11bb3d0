"""Holding and releasing: the reason becomes visible, and nothing else changes."""

from __future__ import annotations

import pytest

from app.broker.orders import Operation
from app.broker.outcomes import Sent
from app.orders.risk.halts import Halt, HaltMode
from app.orders.sending.held_tasks import NO_SESSION, halted, next_step
from app.orders.state.lifecycle import Event
from app.orders.state.model import TaskStatus
from tests.unit.orders.builders import NOW, command, task


def test_a_held_cancel_does_not_forget_that_it_may_have_been_sent() -> None:
    """A cancel that waits to be repeated after a doubt is held with `sent: unknown`, and released with it."""
    waiting = command(Operation.CANCEL, status=TaskStatus.RETRYING, sent=Sent.UNKNOWN)
    held = next_step(waiting, [NO_SESSION])
    assert held is not None
    assert (held.event, held.sent) == (Event.HOLD, Sent.UNKNOWN)
    released = next_step(command(Operation.CANCEL, status=TaskStatus.HELD, sent=Sent.UNKNOWN), [])
    assert released is not None
    assert (released.event, released.sent) == (Event.RELEASE, Sent.UNKNOWN)


@pytest.mark.parametrize("mode", ["halt", "reduce_only"])
def test_a_halt_holds_orders_and_modifications_and_lets_cancels_pass(mode: HaltMode) -> None:
    """The cancel of an order to be replaced waits with the order that follows it."""
    halt = halted(Halt(scope="*", mode=mode, reason="x", set_by="y", set_at=NOW))
    for held in (
        task(status=TaskStatus.PENDING, sent=Sent.NO),
        command(Operation.MODIFY, status=TaskStatus.PENDING),
        command(Operation.CANCEL, status=TaskStatus.PENDING, purpose="replace"),
    ):
        step = next_step(held, [halt])
        assert step is not None, held.operation
        assert step.event is Event.HOLD
    assert next_step(command(Operation.CANCEL, status=TaskStatus.PENDING), [halt]) is None
    released = next_step(command(Operation.CANCEL, status=TaskStatus.HELD), [halt])
    assert released is not None
    assert released.event is Event.RELEASE


@pytest.mark.parametrize(("mode", "passes"), [("halt", False), ("reduce_only", True)])
def test_only_reduce_only_lets_reductions_pass(mode: HaltMode, passes: bool) -> None:
    """A full halt also holds an order that is proven to reduce a position."""
    halt = halted(Halt(scope="*", mode=mode, reason="x", set_by="y", set_at=NOW))
    assert (next_step(task(status=TaskStatus.PENDING, reduces=True), [halt]) is None) is passes
