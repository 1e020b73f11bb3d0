"""Proof that an account's event log is as it was written: each row's hash covers itself and the row before.

A row that was changed by hand, lost, inserted later or restored from another log no longer follows. A log whose
beginning was dropped after its retention begins behind an event that the service has signed. It proves nothing against
someone with write access to the database who computes every later hash anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.db.postgres import Tx
from app.events import event_read_store, pruning_store
from app.events.log_signature import LogSigner
from app.events.model import LogHead, SignedDrop

PAGE = 2000
"""Events whose hashes one statement computes, within the bound on a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainBreak:
    """``seq``: the first event that does not follow the one before it."""

    account_id: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheck:
    """What was looked at of one log: ``events`` events after ``start``, and the first break, if there is one."""

    head: LogHead
    dropped: SignedDrop | None
    start: int
    events: int
    found: ChainBreak | None


async def check_log(tx: Tx, head: LogHead, *, signer: LogSigner, last: int | None = None) -> LogCheck:
    """Check the ``last`` events of the account, or all, up to its head; ``tx`` sees one moment of the database."""
    signed = await pruning_store.read_dropped(tx, head.account_id)
    start, previous = (0, None) if signed is None else (signed.dropped.seq, signed.dropped.hash)
    found = None
    if signed is not None and not signer.is_genuine(signed.dropped, signed.signature):
        found = _broken(head, start, "is called dropped, and this deployment has not signed that")
    newest = await event_read_store.newest_seq(tx, head.account_id) or 0
    if last is not None and newest - last > start:
        start = newest - last
        previous = await event_read_store.read_hash(tx, head.account_id, seq=start)
    begun, events = start, 0
    while found is None:
        page = await event_read_store.check_page(tx, head.account_id, after=start, previous=previous, limit=PAGE)
        events += page.count
        if page.broken_seq is not None:
            found = _break_at(head, page.broken_seq, before=page.before or 0)
        elif page.count < PAGE:
            break
        start, previous = page.last_seq or start, page.last_hash
    if found is None and newest < head.seq:
        found = _broken(head, head.seq, f"is gone: the log ends at {newest}")
    return LogCheck(head=head, dropped=signed, start=begun, events=events, found=found)


def _break_at(head: LogHead, seq: int, *, before: int) -> ChainBreak:
    if seq == before + 1:
        return _broken(head, seq, "is not what was written")
    return _broken(head, seq, f"follows {before}: those between are gone")


def _broken(head: LogHead, seq: int, reason: str) -> ChainBreak:
    return ChainBreak(account_id=head.account_id, seq=seq, reason=reason)
