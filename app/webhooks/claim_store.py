"""SQL that claims deliveries for one process, and stores what came of them.

A claim moves ``due_at`` beyond the longest time that an attempt takes: when its process dies, another one tries again,
under the same ``webhook-id``. No endpoint gets more than its own slots, so one with 50,000 deliveries delays no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.webhooks.model import Claim, SealedSecret
from app.webhooks.retries import Outcome

CLAIM_LASTS_S = 30
"""Twice the longest attempt."""

SLOTS = 4
"""Attempts in flight at one endpoint, in one process; one while it fails, or is ordered."""

MAX_ATTEMPTS_KEPT = 20

_SHOWN = """
SELECT c.delivery_id, c.webhook_id, c.account_id, c.seq, c.type, coalesce(c.data, e.data)::text AS data,
  coalesce(e.occurred_at, c.created_at) AS occurred_at, c.fence, c.failures, c.replayed, w.url,
  w.secret, w.key_version, w.old_key_version,
  CASE WHEN w.old_secret_until > clock_timestamp() THEN w.old_secret END AS old_secret
FROM claimed c JOIN webhook w USING (webhook_id)
  LEFT JOIN event e ON e.account_id = c.account_id AND e.seq = c.seq AND c.data IS NULL
ORDER BY c.seq
"""

_CLAIM = f"""
WITH busy AS (
  SELECT * FROM unnest(%(webhook_ids)s::uuid[], %(in_flight)s::int[]) AS busy (webhook_id, in_flight)
), open AS MATERIALIZED (
  SELECT w.*, (CASE WHEN w.ordered OR w.failures > 0 THEN 1 ELSE {SLOTS} END) - coalesce(in_flight, 0) AS slots
  FROM webhook w LEFT JOIN busy USING (webhook_id)
  WHERE w.status = 'active' AND (w.retry_at IS NULL OR w.retry_at <= clock_timestamp())
), due AS MATERIALIZED (
  SELECT one.delivery_id, one.due_at FROM open CROSS JOIN LATERAL (
    SELECT d.delivery_id, d.due_at FROM webhook_delivery d
    WHERE d.webhook_id = open.webhook_id AND d.status = 'pending' AND d.due_at <= clock_timestamp()
    ORDER BY d.seq LIMIT greatest(open.slots, 0) FOR UPDATE SKIP LOCKED
  ) one WHERE NOT open.ordered
  UNION ALL
  SELECT one.delivery_id, one.due_at FROM open CROSS JOIN LATERAL (
    SELECT d.delivery_id, d.due_at FROM webhook_delivery d
    WHERE d.delivery_id = (
        SELECT first.delivery_id FROM webhook_delivery first
        WHERE first.webhook_id = open.webhook_id AND first.status = 'pending' ORDER BY first.seq LIMIT 1
      ) AND d.status = 'pending' AND d.due_at <= clock_timestamp() AND open.slots > 0
    FOR UPDATE SKIP LOCKED
  ) one WHERE open.ordered
), chosen AS MATERIALIZED (
  SELECT delivery_id FROM due ORDER BY due_at LIMIT %(limit)s
), claimed AS (
  UPDATE webhook_delivery d
  SET fence = fence + 1, due_at = clock_timestamp() + interval '{CLAIM_LASTS_S} seconds'
  FROM chosen WHERE d.delivery_id = chosen.delivery_id RETURNING d.*
)
{_SHOWN}"""

_STORE = f"""
UPDATE webhook_delivery d
SET status = CASE given.outcome WHEN 'failed' THEN 'pending' ELSE given.outcome END,
  due_at = clock_timestamp() + given.delay_s * interval '1 second',
  failures = d.failures + (given.outcome <> 'delivered')::int,
  attempts = CASE WHEN jsonb_array_length(d.attempts) < {MAX_ATTEMPTS_KEPT} THEN d.attempts ELSE d.attempts - 0 END
    || given.attempt
FROM unnest(%(delivery_ids)s::uuid[], %(fences)s::int[], %(outcomes)s::text[], %(delays)s::float8[],
  %(attempts)s::jsonb[]) AS given (delivery_id, fence, outcome, delay_s, attempt)
WHERE d.delivery_id = given.delivery_id AND d.fence = given.fence AND d.status = 'pending'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What came of a claimed delivery: ``attempt`` is its entry in the log."""

    delivery_id: UUID
    fence: int
    outcome: Outcome
    delay_s: float
    attempt: Mapping[str, Any]


async def claim(tx: Tx, *, in_flight: Mapping[UUID, int], limit: int) -> list[Claim]:
    """At most ``limit`` deliveries that are due; ``in_flight`` are the attempts of this process by endpoint."""
    async with tx.cursor(row_factory=kwargs_row(_claim_of)) as cursor:
        await cursor.execute(
            _CLAIM, {"webhook_ids": list(in_flight), "in_flight": list(in_flight.values()), "limit": limit}
        )
        return await cursor.fetchall()


async def read_claim(tx: Tx, delivery_id: UUID) -> Claim | None:
    """A delivery that its writer has claimed; None where it or its endpoint was deleted."""
    async with tx.cursor(row_factory=kwargs_row(_claim_of)) as cursor:
        await cursor.execute(
            f"WITH claimed AS (SELECT * FROM webhook_delivery WHERE delivery_id = %s) {_SHOWN}", (delivery_id,)
        )
        return await cursor.fetchone()


async def store(tx: Tx, results: Sequence[Stored]) -> None:
    """Write what came of claims, in one statement. A claim that was made void since changes nothing."""
    await tx.execute(
        _STORE,
        {
            "delivery_ids": [one.delivery_id for one in results],
            "fences": [one.fence for one in results],
            "outcomes": [one.outcome.value for one in results],
            "delays": [one.delay_s for one in results],
            "attempts": [Jsonb(dict(one.attempt)) for one in results],
        },
    )


async def release(tx: Tx, claims: Sequence[tuple[UUID, int]]) -> None:
    """Let other processes try these now: this one stops."""
    await tx.execute(
        "UPDATE webhook_delivery d SET due_at = clock_timestamp()"
        " FROM unnest(%s::uuid[], %s::int[]) AS given (delivery_id, fence)"
        " WHERE d.delivery_id = given.delivery_id AND d.fence = given.fence AND d.status = 'pending'",
        ([delivery_id for delivery_id, _ in claims], [fence for _, fence in claims]),
    )


def _claim_of(**row: Any) -> Claim:
    secrets = [SealedSecret(sealed=bytes(row.pop("secret")), key_version=row.pop("key_version"))]
    old, old_version = row.pop("old_secret"), row.pop("old_key_version")
    if old is not None:
        secrets.append(SealedSecret(sealed=bytes(old), key_version=old_version))
    return Claim(**row, secrets=tuple(secrets))
