"""SQL of claiming: the one statement after which a task may leave, and everything that it depends on."""

from __future__ import annotations

from datetime import date

from app.broker.orders import Operation
from app.db.leases import HELD_BY_TERM
from app.db.postgres import Tx
from app.orders.risk.kill_switch_store import MANY_DOUBTS
from app.orders.sending.claim_terms import ClaimTerms
from app.orders.sending.hand_over_pause import SentToday
from app.orders.state.attempts import AttemptOutcome
from app.orders.state.model import Task
from app.orders.state.task_store import COLUMNS, IS_REPLACED, MISSED, OPEN, fetch_tasks

MOST_ATTEMPTS = 9
"""Of one placement: its number is one digit of the tag. More than that are only reached by sessions that keep dying."""

_IS_FREE_CANCEL = "(t.operation = 'cancel' AND t.purpose <> 'replace')"
"""The cancel of an order that is to be replaced goes only when the order that follows it may go."""

_A_DOUBT_PAUSES = """EXISTS (  -- a doubt on the instrument, or in the same batch, pauses new orders
        SELECT 1 FROM order_task d
        WHERE d.account_id = t.account_id AND d.operation = 'place' AND d.status = 'in_doubt'
          AND (d.instrument = t.instrument OR d.batch_id = t.batch_id)
          AND d.last_sent_at > clock_timestamp() - make_interval(secs => %(block_s)s))"""

_READY = f"""
  SELECT t.task_id, t.operation FROM order_task t
  WHERE t.account_id = %(account_id)s AND t.status IN ('pending', 'retrying') AND t.operation = ANY(%(operations)s)
    AND t.not_before <= clock_timestamp() AND t.send_by > clock_timestamp()
    AND (t.operation <> 'place' OR t.attempts < {MOST_ATTEMPTS})
    AND NOT t.cancel_on_sight                    -- taken back while it was on its way: it does not go once more
    AND {HELD_BY_TERM}
    AND ({_IS_FREE_CANCEL} OR NOT EXISTS (       -- what an operator has halted stays where it is
        SELECT 1 FROM kill_switch k
        WHERE k.scope IN ('*', t.account_id) AND (k.mode = 'halt' OR NOT t.reduces)))
    AND ((t.operation <> 'place' AND t.purpose <> 'replace') OR t.reduces OR NOT {MANY_DOUBTS})
    AND (t.purpose <> 'replace' OR (%(places_pass)s AND NOT {_A_DOUBT_PAUSES}))
    AND (t.created_at > %(known_since)s OR t.operation = 'cancel')
    AND (t.replaces IS NULL OR {IS_REPLACED})    -- never beside the order whose place it takes
    AND CASE WHEN t.operation = 'place' THEN
      NOT EXISTS (  -- first in, first out per instrument; an exit waits for exits only, and nobody for a replacement
        SELECT 1 FROM order_task s
        WHERE s.account_id = t.account_id AND s.operation = 'place' AND s.instrument = t.instrument
          AND s.task_id <> t.task_id
          AND (s.status = 'running'
            OR (s.status IN ('pending', 'retrying') AND s.reduces >= t.reduces AND s.replaces IS NULL
                AND (s.created_at, s.wave, coalesce(s.leg, 0), s.task_id)
                  < (t.created_at, t.wave, coalesce(t.leg, 0), t.task_id))))
      AND (t.reduces OR NOT {_A_DOUBT_PAUSES})
      AND NOT EXISTS (                           -- a batch's next wave waits for the answers to the one before
        SELECT 1 FROM order_task w
        WHERE w.batch_id = t.batch_id AND w.wave < t.wave AND w.operation = 'place' AND w.status IN {OPEN})
      AND (t.purpose <> 'client' OR NOT EXISTS ( -- what rolls back as a whole sends nothing after its first failure
        SELECT 1 FROM order_task f JOIN batch b USING (batch_id)
        WHERE f.batch_id = t.batch_id AND f.operation = 'place' AND f.purpose = 'client' AND b.rollback_on_failure
          AND (f.status IN {MISSED} OR b.status <> 'running')))
    ELSE
      NOT EXISTS (                               -- one command at a time per order
        SELECT 1 FROM order_task s
        WHERE s.account_id = t.account_id AND s.target_order_id = t.target_order_id AND s.task_id <> t.task_id
          AND (s.status = 'running' OR (s.operation = 'modify' AND s.status = 'in_doubt' AND t.operation = 'modify')))
    END
  ORDER BY t.priority, t.created_at, t.wave, t.leg LIMIT 1
"""

_CLAIM = f"""
WITH candidate AS ({_READY} FOR UPDATE SKIP LOCKED),
claimed AS (
  UPDATE order_task t SET status = 'running', fence = fence + 1, attempts = attempts + 1, sent = 'unknown',
    claimed_by = %(owner)s, claimed_until = clock_timestamp() + make_interval(secs => %(claim_s)s),
    last_sent_at = clock_timestamp(), clean_reads = 0, updated_at = clock_timestamp()
  FROM candidate c WHERE t.task_id = c.task_id
  RETURNING t.*
), attempt AS (
  INSERT INTO order_attempt (task_id, attempt, tag, fence)
  SELECT task_id, attempts, tag_base || attempts::text, fence FROM claimed
)
SELECT {COLUMNS} FROM claimed
"""


async def peek(tx: Tx, account_id: str, terms: ClaimTerms) -> Operation | None:
    """What kind of task would be claimed now, or None: so that the rate limit can be waited for before the claim."""
    cursor = await tx.execute(_READY, terms.params(account_id))
    row = await cursor.fetchone()
    return None if row is None else Operation(row[1])


async def claim_next(tx: Tx, account_id: str, terms: ClaimTerms, *, claim_s: float) -> Task | None:
    """Take the next task that may go now: status running, fence raised, attempt recorded, all in one statement."""
    params = {**terms.params(account_id), "owner": terms.owner, "claim_s": claim_s}
    found = await fetch_tasks(tx, _CLAIM, params)
    return found[0] if found else None


_RECENT = "2 minutes"


async def sent_today(tx: Tx, account_id: str, *, trade_date: date) -> SentToday:
    """Every placement counts against the broker's day, refused ones too; one that never left does not."""
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
