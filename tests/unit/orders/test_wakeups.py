"""Wake-ups: who polls how often, and who is woken by what."""

from __future__ import annotations

import asyncio

import pytest

from app.orders.state.wakeups import IDLE_POLL_S, OrderWakeups, Wakeups, session_notice, wait_for


class Changes(list[str]):
    """The accounts whose events were said to be new."""

    def wake(self, account_id: str) -> None:
        self.append(account_id)


def signals_of(changes: Changes, *, chance: float = 0.0) -> Wakeups:
    return Wakeups("primary", events=changes, random_number=lambda: chance)


@pytest.mark.parametrize(
    ("busy", "chance", "rest_s"), [(True, 0.0, 0.2), (True, 0.8, 0.16), (False, 0.0, IDLE_POLL_S), (False, 0.8, 4.0)]
)
def test_only_accounts_with_open_tasks_poll_often(busy: bool, chance: float, rest_s: float) -> None:
    """And never in step with the others."""
    wakeups = signals_of(Changes(), chance=chance)
    wakeups.busy = busy
    assert wakeups.rest_s(0.2) == pytest.approx(rest_s)


def test_a_slow_poll_is_not_made_faster_by_being_idle() -> None:
    """The longer of the two."""
    wakeups = signals_of(Changes())
    wakeups.busy = False
    assert wakeups.rest_s(60.0) == 60.0


async def test_a_change_wakes_the_sender_the_batches_and_the_waiting_callers() -> None:
    """All of them, and the readers of events; the waiter's signal is taken once."""
    changes = Changes()
    wakeups = signals_of(changes)
    wakeups.busy = False
    with wakeups.waiter() as waiter:
        wakeups.changed()
        async with asyncio.timeout(20):
            await waiter.wait(60)
    assert (wakeups.sender.is_set(), wakeups.batches.is_set(), wakeups.reconciler.is_set()) == (True, True, False)
    assert (wakeups.busy, changes) == (True, ["primary"])


def test_without_an_open_batch_a_change_is_nothing_to_their_runner() -> None:
    """Until one is stored, here or at another replica."""
    wakeups = signals_of(Changes())
    wakeups.batches_open = False
    wakeups.changed()
    assert (wakeups.sender.is_set(), wakeups.batches.is_set()) == (True, False)
    wakeups.stored(batch=True)
    assert wakeups.batches.is_set()


async def test_a_signal_is_taken_once() -> None:
    """The second wait lasts its time."""
    event = asyncio.Event()
    event.set()
    assert await wait_for(event, 1.0)
    assert not await wait_for(event, 0.01)


async def test_a_token_that_died_at_another_replica_makes_the_owner_read_the_book() -> None:
    """Of that account alone; nothing was stored, so nobody else is woken."""
    wakeups = OrderWakeups(["primary", "second"], events=Changes())
    for one in wakeups.by_account.values():
        one.busy = False
    wakeups.on_notice(session_notice("second"))
    first, second = wakeups.by_account["primary"], wakeups.by_account["second"]
    assert (first.reconciler.is_set(), second.reconciler.is_set()) == (False, True)
    assert not any(one.sender.is_set() or one.busy for one in (first, second))
