"""SQL of what any owner has sent today: a new owner goes on counting for the broker's limits of day and minute."""

from __future__ import annotations

from datetime import date

from app.db.postgres import Tx
from app.orders.sending.hand_over_pause import SentToday
from app.orders.state.attempt_outcomes import AttemptOutcome

_RECENT = "2 minutes"
"""How far the ages of requests go back: further than the minute over which the broker counts."""


async def sent_today(tx: Tx, account_id: str, *, trade_date: date) -> SentToday:
    """What any owner has sent for the account on this day.

    The broker counts refused placements too, but none that never left, so those are left out.
    """
    cursor = await tx.execute(
        f"""SELECT count(*) FILTER (WHERE t.operation = 'place'),
             max(a.started_at) FILTER (WHERE a.finished_at IS NULL), max(a.finished_at),
             coalesce(array_agg(extract(epoch FROM clock_timestamp() - a.started_at)::float8)
                        FILTER (WHERE a.started_at > clock_timestamp() - interval '{_RECENT}'), '{{}}')
           FROM order_attempt a JOIN order_task t USING (task_id)
           WHERE t.account_id = %s AND t.trade_date = %s AND a.outcome IS DISTINCT FROM '{AttemptOutcome.NOT_SENT}'""",
        (account_id, trade_date),
    )
    row = await cursor.fetchone()
    if row is None:
        return SentToday()
    return SentToday(places=row[0], unanswered_at=row[1], answered_at=row[2], ages_s=row[3])
