"""Proof that an account's event log is as it was written: each row's hash covers itself and the row before.

A row that was changed by hand, lost, put in later or brought in by a restore of something else no longer follows. It
proves nothing against somebody who may write the database and hashes all that follows anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.db.postgres import Tx
from app.events.model import LogHead

_FIRST_BREAK = """
WITH recent AS (SELECT * FROM event WHERE account_id = %(account_id)s ORDER BY seq DESC LIMIT %(last)s)
SELECT seq, before FROM (
  SELECT seq, hash, lag(seq) OVER one_by_one AS before,
    event_hash(lag(hash) OVER one_by_one, account_id, seq, type, data, occurred_at) AS due,
    lag(hash) OVER one_by_one IS NOT NULL AS follows_hashed
  FROM recent WINDOW one_by_one AS (ORDER BY seq)
) checked
WHERE before IS NOT NULL
  AND (seq <> before + 1 OR (hash IS NULL AND follows_hashed) OR (hash IS NOT NULL AND hash <> due))
ORDER BY seq LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainBreak:
    """``seq``: the first event that does not follow the one before it."""

    account_id: str
    seq: int
    reason: str


async def find_break(tx: Tx, head: LogHead, *, last: int) -> ChainBreak | None:
    """Whether the ``last`` events of the account follow one another, up to its head; None when they do."""
    cursor = await tx.execute(_FIRST_BREAK, {"account_id": head.account_id, "last": last})
    found = await cursor.fetchone()
    if found is not None:
        seq, before = found
        reason = "is not what was written" if seq == before + 1 else f"follows {before}: those between are gone"
        return ChainBreak(account_id=head.account_id, seq=seq, reason=reason)
    cursor = await tx.execute("SELECT max(seq) FROM event WHERE account_id = %s", (head.account_id,))
    newest = await cursor.fetchone()
    if newest is not None and newest[0] is not None and newest[0] < head.seq:
        return ChainBreak(account_id=head.account_id, seq=head.seq, reason=f"is gone: the log ends at {newest[0]}")
    return None
