"""Drops events that are older than the retention and that nothing needs any more; the chain stays verifiable."""

from __future__ import annotations

import asyncio

from loguru import logger

from app.db.postgres import Database
from app.errors import ServiceError
from app.events import event_append_store, event_read_store, pruning_store
from app.events.log_signature import LogSigner
from app.events.model import SignedDrop

EVERY_S = 60.0
MORE_S = 0.5
ROWS_AT_ONCE = 500
"""Of one account in one transaction: its writers wait for it."""


class Retention:
    """``run`` lives as long as the service, in every process: the lock of each log keeps them apart."""

    def __init__(self, database: Database, *, signer: LogSigner, keep_s: float) -> None:
        self._database = database
        self._signer = signer
        self._keep_s = keep_s

    async def run(self) -> None:
        """A round every minute, and at once another one while there is more to drop."""
        while True:
            more = False
            try:
                more = await self.prune() > 0
            except ServiceError as error:
                logger.debug("old events not dropped: {}", error)
            await asyncio.sleep(MORE_S if more else EVERY_S)

    async def prune(self) -> int:
        """Drop what may be dropped, at most ``ROWS_AT_ONCE`` of each account; how many. Raises Unavailable."""
        async with self._database.connection() as connection:
            heads = await event_read_store.read_all_heads(connection)
        return sum([await self._prune(head.account_id, epoch=head.epoch) for head in heads])

    async def _prune(self, account_id: str, *, epoch: str) -> int:
        async with self._database.connection() as connection:  # mostly there is nothing, and no lock is taken
            if await pruning_store.droppable(connection, account_id, keep_s=self._keep_s, limit=ROWS_AT_ONCE) is None:
                return 0
        async with self._database.transaction() as tx:
            await event_append_store.lock(tx, account_id, epoch=epoch)
            dropped = await pruning_store.droppable(tx, account_id, keep_s=self._keep_s, limit=ROWS_AT_ONCE)
            if dropped is None:
                return 0
            count = await pruning_store.drop(tx, SignedDrop(dropped=dropped, signature=self._signer.sign(dropped)))
        logger.bind(account_id=account_id, seq=dropped.seq, action="prune").info("{} old events dropped", count)
        return count
