"""A standby is promoted that lacks the last commits: what was sent reads as if it had never been."""

from __future__ import annotations

import asyncio

from simulator.server import RunningSimulator
from tests.desk import ACCOUNT, Desk, open_desk
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


async def test_what_was_sent_before_a_restore_does_not_expire_unsent(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Its freshness is over when the new owner comes; only the book may say what became of it."""
    async with open_desk(database_url, simulator.url) as desk:
        task = await desk.place()
        await desk.crash()
        await forget(desk, fresh_s=0)
    async with open_desk(database_url, simulator.url) as desk:
        ended = await end_of(desk, task)
        assert (ended["status"], ended["sent"], ended["order_id"]) == ("completed", "yes", task["order_id"])
        assert len(await desk.ledger()) == 1


async def test_what_was_not_sent_expires_once_the_book_was_read(database_url: str, simulator: RunningSimulator) -> None:
    """Nothing was forgotten: the first read of the term shows nothing, and it ends as expired."""
    async with open_desk(database_url, simulator.url) as desk:
        await desk.crash()
        task = await desk.place(wait_s=0.0)
        async with desk.database.connection() as connection:
            await connection.execute("UPDATE order_task SET send_by = now()")
    async with open_desk(database_url, simulator.url) as desk:
        ended = await end_of(desk, task)
        assert (ended["status"], ended["sent"]) == ("expired", "no")
        assert await desk.ledger() == []
