"""SQL of whether an account is recovering from a loss of the database, for everything that must wait for its end."""

from __future__ import annotations

from typing import Literal

from app.db.pipeline import PendingResult
from app.db.postgres import Tx

IS_RECOVERING = """EXISTS (SELECT 1 FROM account_recovery r
  WHERE r.account_id = t.account_id AND r.ended_at IS NULL)"""
"""Of a task ``t``: its account is recovering, so nothing but cancels is sent."""

RecoveryState = Literal["none", "recovering", "over"]
"""``over``: there was a loss, and keys of forgotten orders may still be repeated."""


async def recovery_state(tx: Tx, account_id: str) -> PendingResult[RecoveryState]:
    """Whether the account is or was recovering; may share a round trip."""
    cursor = await tx.execute("SELECT ended_at IS NULL FROM account_recovery WHERE account_id = %s", (account_id,))
    return PendingResult(
        cursor=cursor, read=lambda rows: "none" if not rows else "recovering" if rows[0][0] else "over"
    )
