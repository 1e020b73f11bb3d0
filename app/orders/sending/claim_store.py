"""SQL of claiming a task for sending: one statement checks everything that the send depends on, and claims the task.

The conditions are in the statement and not in the sender, because each of them may change until the moment of the
claim, at other replicas too. After the claim is committed the request may leave.
"""

from __future__ import annotations

from psycopg.rows import dict_row

from app.broker.orders import Operation
from app.db.leases import HELD_BY_TERM, NEXT_GENERATION, Lease
from app.db.postgres import Tx
from app.orders.risk.doubt_limit_store import MANY_DOUBTS
from app.orders.sending.claim_parameters import ClaimTerms, NextTask
from app.orders.sending.price_bounds import PriceBounds
from app.orders.state.exit_state_store import ANOTHER_EXIT_IS_OPEN
from app.orders.state.model import Task
from app.orders.state.recovery_state_store import IS_RECOVERING
from app.orders.state.replacement_store import IS_REPLACED, STILL_REPLACES
from app.orders.state.tags import TAG_ATTEMPTS
from app.orders.state.task_store import COLUMNS, MISSED, OPEN, task_row

_IS_FREE_CANCEL = "(t.operation = 'cancel' AND t.purpose <> 'replace')"
"""Every cancel but that of an order to be replaced. That one is sent only when the new order may be sent too, because
the old order must not be cancelled when nothing can follow it."""

_A_DOUBT_PAUSES = """EXISTS (
        -- a doubt on the instrument, or in the same batch: its order may be live
        SELECT 1 FROM order_task d
        WHERE d.account_id = t.account_id AND d.operation = 'place' AND d.status = 'in_doubt'
          AND (d.instrument = t.instrument OR d.batch_id = t.batch_id)
          AND d.last_sent_at > clock_timestamp() - make_interval(secs => %(block_s)s))"""


_OF_UNDONE_BATCH = f"""x.purpose = 'client' AND EXISTS (
        SELECT 1 FROM order_task f JOIN batch b USING (batch_id)
        WHERE f.batch_id = x.batch_id AND f.operation = 'place' AND f.purpose = 'client' AND b.rollback_on_failure
          AND (f.status IN {MISSED} OR b.status <> 'running'))"""
"""Of a placement ``x``: a leg that a client asked for, of a batch that is being rolled back, or will be."""

_READY = f"""
  FROM order_task t
  WHERE t.account_id = %(account_id)s AND t.status IN ('pending', 'retrying')
    -- a place in flight is free for it, and no breaker is open
    AND t.operation = ANY(%(operations)s)
    -- the pause after the last attempt is over, and the order is fresh: prices move while it waits
    AND t.not_before <= clock_timestamp() AND t.send_by > clock_timestamp()
    -- no quote of the broker is awaited for its price bounds
    AND t.task_id <> ALL(%(waiting_for_price)s)
    -- the tag has a digit for one more attempt
    AND (t.operation <> 'place' OR t.attempts < {TAG_ATTEMPTS})
    -- still wanted: it may have been taken back while an earlier attempt was being sent
    AND t.unwanted_since IS NULL
    -- this process owns the account, by the database's clock: a paused process may believe it long after
    AND {HELD_BY_TERM}
    -- no loss of the database is being recovered from: an order that was forgotten could be sent again
    AND ({_IS_FREE_CANCEL} OR NOT {IS_RECOVERING})
    -- no halt, which stops all but cancels; reduce_only lets exits pass
    AND ({_IS_FREE_CANCEL} OR NOT EXISTS (
        SELECT 1 FROM kill_switch k
        WHERE k.scope IN ('*', t.account_id) AND (k.mode = 'halt' OR NOT t.reduces)))
    -- with too many unknown outcomes the positions are unknown, and nothing may add to them
    AND ((t.operation <> 'place' AND t.purpose <> 'replace') OR t.reduces OR NOT {MANY_DOUBTS})
    -- the cancel of an order to be replaced goes while its new order is wanted, and waits for whatever that one would
    -- wait for; only the book can show that the old order is gone, so it must have been readable since the client asked
    AND (t.purpose <> 'replace' OR (%(places_pass)s AND NOT {_A_DOUBT_PAUSES} AND t.created_at < %(book_read_at)s
      AND EXISTS (SELECT 1 FROM order_task r
                  WHERE r.account_id = t.account_id AND r.replaces = t.target_order_id AND {STILL_REPLACES})))
    -- a restored database may have forgotten that a task was sent; repeating a cancel does no harm
    AND (t.created_at > %(known_since)s OR t.operation = 'cancel')
    -- never live together with the order that it replaces
    AND (t.replaces IS NULL OR {IS_REPLACED})
    AND CASE WHEN t.operation = 'place' THEN
      -- first in, first out per instrument; an exit waits for exits only, and no order waits for a replacement, which
      -- itself waits for the end of the old order
      NOT EXISTS (
        SELECT 1 FROM order_task s
        WHERE s.account_id = t.account_id AND s.operation = 'place' AND s.instrument = t.instrument
          AND s.task_id <> t.task_id
          AND (s.status = 'running'
            OR (s.status IN ('pending', 'retrying') AND s.reduces >= t.reduces AND s.replaces IS NULL
                -- what can no longer be sent holds nothing up, also before it is marked as ended
                AND s.send_by > clock_timestamp() AND s.unwanted_since IS NULL AND s.attempts < {TAG_ATTEMPTS}
                AND NOT EXISTS (SELECT 1 FROM (SELECT s.purpose, s.batch_id) x WHERE {_OF_UNDONE_BATCH})
                AND NOT EXISTS (SELECT 1 FROM (SELECT s.*) t WHERE {ANOTHER_EXIT_IS_OPEN})
                AND (s.created_at, s.wave, coalesce(s.leg, 0), s.task_id)
                  < (t.created_at, t.wave, coalesce(t.leg, 0), t.task_id))))
      -- a position has one live exit at a time: two would close it twice
      AND NOT {ANOTHER_EXIT_IS_OPEN}
      -- an entry beside a doubt could double the position
      AND (t.reduces OR NOT {_A_DOUBT_PAUSES})
      -- a leg waits for the answers to the wave before
      AND NOT EXISTS (
        SELECT 1 FROM order_task w
        WHERE w.batch_id = t.batch_id AND w.wave < t.wave AND w.operation = 'place' AND w.status IN {OPEN})
      -- a batch that will be rolled back sends no further leg, also before its runner has decided so
      AND NOT EXISTS (SELECT 1 FROM (SELECT t.purpose, t.batch_id) x WHERE {_OF_UNDONE_BATCH})
    ELSE
      -- one command of an order at a time; a modification also waits for one in doubt, a cancel does not
      NOT EXISTS (
        SELECT 1 FROM order_task s
        WHERE s.account_id = t.account_id AND s.target_order_id = t.target_order_id AND s.task_id <> t.task_id
          AND (s.status = 'running' OR (s.operation = 'modify' AND s.status = 'in_doubt' AND t.operation = 'modify')))
    END
"""

_FIRST = "ORDER BY t.priority, t.created_at, t.wave, t.leg LIMIT 1"

_WITHIN_PRICE_BOUNDS = """(num_nulls(t.request ->> 'not_above', t.request ->> 'not_below') = 2
    OR (t.instrument = %(priced_instrument)s
      AND %(last_price)s::numeric <= coalesce((t.request ->> 'not_above')::numeric, 'Infinity')
      AND %(last_price)s::numeric >= coalesce((t.request ->> 'not_below')::numeric, '-Infinity')))"""
"""The client's own price bounds, by the last price that the sender has read for the claim. A peek leaves them out."""

_PEEK = f"""
SELECT t.task_id, t.operation, t.instrument, t.fence, (t.request ->> 'not_above')::numeric,
  (t.request ->> 'not_below')::numeric
{_READY} {_FIRST}"""

_CLAIM = f"""
WITH candidate AS (
  SELECT t.task_id {_READY} AND {_WITHIN_PRICE_BOUNDS} {_FIRST} FOR UPDATE SKIP LOCKED
),
claimed AS (
  UPDATE order_task t SET status = 'running', fence = fence + 1, attempts = attempts + 1, sent = 'unknown',
    claimed_by = %(owner)s, claimed_until = clock_timestamp() + make_interval(secs => %(claim_s)s),
    last_sent_at = clock_timestamp(), clean_reads = 0, updated_at = clock_timestamp()
  FROM candidate c WHERE t.task_id = c.task_id
  RETURNING t.*
), attempt AS (
  INSERT INTO order_attempt (task_id, attempt, tag, fence)
  SELECT task_id, attempts, tag_base || attempts::text, fence FROM claimed
), raised AS (
  {NEXT_GENERATION} AND EXISTS (SELECT 1 FROM claimed) RETURNING generation
)
SELECT {COLUMNS}, (SELECT generation FROM raised) FROM claimed
"""


async def peek(tx: Tx, account_id: str, terms: ClaimTerms) -> NextTask | None:
    """The task that would be claimed now, whatever its price bounds are, or None.

    The sender reads the last price for it and waits for the rate limit before it claims.
    """
    cursor = await tx.execute(_PEEK, terms.params(account_id))
    row = await cursor.fetchone()
    if row is None:
        return None
    return NextTask(
        task_id=row[0],
        operation=Operation(row[1]),
        instrument=row[2],
        fence=row[3],
        bounds=PriceBounds(not_above=row[4], not_below=row[5]),
    )


async def claim_next(
    tx: Tx, account_id: str, terms: ClaimTerms, *, claim_s: float, lease: Lease | None = None
) -> Task | None:
    """Claim the next task that may be sent: status running, fence raised, attempt recorded, all in one statement.

    Returns None when no task may be sent. A claim that is not settled within ``claim_s`` seconds becomes a doubt.
    ``lease`` remembers the claim: in a database that has forgotten it nothing is claimed under the same term.
    """
    params = {**terms.params(account_id), "owner": terms.owner, "claim_s": claim_s}
    async with tx.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_CLAIM, params)
        row = await cursor.fetchone()
    if row is None:
        return None
    generation = row.pop("generation")
    if lease is not None:
        lease.advanced(int(generation))
    return task_row(**row)
