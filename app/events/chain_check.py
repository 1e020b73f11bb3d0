"""Proof that an account's event log is as it was written: each row's hash covers itself and the row before.

A row that was changed by hand, lost, inserted later or restored from another log no longer follows. It proves nothing
against someone with write access to the database who computes every later hash anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.db.postgres import Tx
from app.events import event_read_store
from app.events.model import LogHead


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainBreak:
    """``seq``: the first event that does not follow the one before it."""

    account_id: str
    seq: int
    reason: str


async def find_break(tx: Tx, head: LogHead, *, last: int) -> ChainBreak | None:
    """Whether the ``last`` events of the account follow one another, up to its head; None when they do."""
    found = await event_read_store.first_break(tx, head.account_id, last=last)
    if found is not None:
        seq, before = found
        reason = "is not what was written" if seq == before + 1 else f"follows {before}: those between are gone"
        return ChainBreak(account_id=head.account_id, seq=seq, reason=reason)
    newest = await event_read_store.newest_seq(tx, head.account_id)
    if newest is not None and newest < head.seq:
        return ChainBreak(account_id=head.account_id, seq=head.seq, reason=f"is gone: the log ends at {newest}")
    return None
