"""The event log as the order engine and the subscriptions write it: in the caller's transaction, one account each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.db.postgres import Tx
from app.events import event_append_store
from app.events.model import EPOCH_LENGTH, NewEvent
from app.kit.ids import IdSource
from app.market.subscriptions.market_events import EventRecorder


class AccountEventWriter:
    """The event log as the order engine needs it: plain pairs in, one epoch source for new logs."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids

    async def lock(self, tx: Tx, account_id: str) -> None:
        await event_append_store.lock(tx, account_id, epoch=self._ids.code(EPOCH_LENGTH))

    async def append(self, tx: Tx, account_id: str, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        await event_append_store.append(tx, account_id, [NewEvent(type=kind, data=data) for kind, data in events])

    async def begin_epoch(self, tx: Tx, account_id: str) -> None:
        await event_append_store.begin_epoch(tx, account_id, epoch=self._ids.code(EPOCH_LENGTH))


def event_recorder(log: AccountEventWriter) -> EventRecorder:
    """Writes one event of an account in the caller's transaction."""

    async def record(tx: Tx, account_id: str, kind: str, data: Mapping[str, Any]) -> None:
        await log.lock(tx, account_id)
        await log.append(tx, account_id, [(kind, data)])

    return record
