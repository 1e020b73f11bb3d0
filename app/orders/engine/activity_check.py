"""Which accounts of this replica have open tasks or batches: one query for all of them, so that idle ones poll seldom.

Without it the loops of each idle account would poll several times a second. It only sets how often they poll: a loop of
an idle account still polls every ``IDLE_POLL_S``, and nothing is decided here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from loguru import logger

from app.db.postgres import Database
from app.errors import ServiceError
from app.kit.backoff import jittered
from app.orders.engine.activity_store import busy_accounts
from app.orders.state.wakeups import Wakeups


class ActivityCheck:
    """``owned`` returns the wake-ups of the accounts that this replica owns now. ``run`` ends when it is cancelled."""

    def __init__(
        self,
        database: Database,
        *,
        owned: Callable[[], Mapping[str, Wakeups]],
        every_s: float,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._owned = owned
        self._every_s = every_s
        self._random = random_number

    async def run(self) -> None:
        """Check again and again; a check that fails is logged and repeated."""
        while True:
            try:
                await self.check()
            except ServiceError as error:
                logger.bind(reason=error).warning("activity of accounts not checked")
            await asyncio.sleep(jittered(self._every_s, random=self._random()))

    async def check(self) -> None:
        """Mark each owned account as busy or idle. Raises Unavailable."""
        owned = self._owned()
        if not owned:
            return
        async with self._database.connection() as connection:
            busy = await busy_accounts(connection, sorted(owned))
        for account_id, wakeups in owned.items():
            if account_id not in busy:
                wakeups.busy = False
            elif not wakeups.busy:  # the wake-up was lost
                wakeups.stored(batch=True)
