"""A standby is promoted that lacks the last commits: what was sent reads as if it had never been."""

from __future__ import annotations

import asyncio

from tests.desk import ACCOUNT, Desk
from tests.faults.test_order_faults import end_of

FORGET = """UPDATE order_task SET status = 'pending', attempts = 0, fence = 0, sent = 'no', order_id = NULL,
  last_sent_at = NULL, finished_at = NULL, send_by = now() + make_interval(secs => %s)"""


async def forget(desk: Desk, *, fresh_s: float) -> None:
    """Every task as it was accepted; ``fresh_s``: how much of its freshness is left."""
    async with desk.database.transaction() as tx:
        await tx.execute("DELETE FROM broker_order")
        await tx.execute("DELETE FROM order_attempt")
        await tx.execute(FORGET, (fresh_s,))


async def test_what_this_process_sent_is_not_sent_again_within_its_term(desk: Desk) -> None:
    """The promotion was faster than the lease: no new term asks the book first, but the sender itself remembers."""
    task = await desk.place()
    await asyncio.sleep(0.5)
    await forget(desk, fresh_s=20)
    desk.engine.accepted(ACCOUNT, batch=False)
    ended = await end_of(desk, task)
    assert (ended["status"], ended["order_id"]) == ("completed", task["order_id"])
    assert len(await desk.ledger()) == 1
