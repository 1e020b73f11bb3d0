"""The loop that announces this replica as one that may send, and sees to it that each account has such a replica.

An account that a replica owns whose address was refused goes to one that may send as soon as there is one. An account
for which no running replica may send is halted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from loguru import logger

from app.errors import ServiceError
from app.kit.clock import trade_date_of
from app.orders.sending import egress_store
from app.orders.sending.address_refusal import halt_for_addresses
from app.orders.state.egress import Egress
from app.orders.state.order_parts import OrderParts
from app.orders.state.task_store import database_now

ANNOUNCEMENTS = 5
"""In the time after which a silent replica takes no account."""


class SendingEngine(Protocol):
    """An account of this process, as its engine knows it."""

    @property
    def is_owner(self) -> bool: ...

    async def hand_over(self) -> None:
        """Give the account up. Raises Unavailable."""


class EgressCheck:
    """``engines`` are those of all accounts, also of those that this process does not own now."""

    def __init__(
        self, parts: OrderParts, *, replica: str, engines: Mapping[str, SendingEngine], changed: Callable[[str], None]
    ) -> None:
        self._parts = parts
        self._engines = engines
        self._changed = changed
        self._egress = Egress.of(parts.settings, replica=replica)
        self._without_sender_since: dict[str, float] = {}  # by account, in monotonic seconds
        self._is_leaving = False

    async def run(self) -> None:
        """Round after round, until it is cancelled; one that fails is repeated."""
        has_forgotten = False
        while True:
            try:
                await self.check()
                if not has_forgotten:  # once a process is enough
                    async with self._parts.database.connection() as connection:
                        await egress_store.forget_old(connection)
                    has_forgotten = True
            except ServiceError as error:
                logger.bind(account_id="*", reason=error).warning("replica not announced")
            await asyncio.sleep(self._egress.live_s / ANNOUNCEMENTS)

    async def check(self) -> None:
        """One round. Raises Unavailable."""
        if self._is_leaving:
            return
        async with self._parts.database.connection() as connection:
            await egress_store.announce(connection, self._egress)
            without = await egress_store.accounts_without_sender(
                connection,
                list(self._engines),
                live_s=self._egress.live_s,
                unclaimed_s=self._egress.unclaimed_s,
            )
            better = [
                engine
                for account_id, engine in self._engines.items()
                if engine.is_owner
                and await egress_store.is_refused(connection, account_id, self._egress)
                and await egress_store.another_may_send(connection, account_id, self._egress)
            ]
        for engine in better:
            await engine.hand_over()
        await self._halt_those_without(without)

    async def leave(self) -> None:
        """Let the others know that this replica takes no account any more."""
        self._is_leaving = True
        try:
            async with self._parts.database.connection() as connection:
                await egress_store.depart(connection, self._egress.replica)
        except ServiceError as error:
            logger.bind(account_id="*", reason=error).warning("replica did not say that it leaves")

    async def _halt_those_without(self, without: Mapping[str, str]) -> None:
        """Halt what has had no sender for a while: a replica that starts later may be the one that may send."""
        now = self._parts.clock.monotonic()
        self._without_sender_since = {one: self._without_sender_since.get(one, now) for one in without}
        for account_id, since in self._without_sender_since.items():
            if now - since < self._egress.live_s:
                continue
            async with self._parts.database.transaction() as tx:
                await self._parts.settlement.lock(tx, account_id)
                await halt_for_addresses(
                    tx,
                    account_id,
                    day=trade_date_of(await database_now(tx)),
                    message=without[account_id],
                    settlement=self._parts.settlement,
                    ids=self._parts.ids,
                )
            self._changed(account_id)
