"""The order engine of all accounts: one account engine each, and the wake-ups between replicas.

Any replica accepts orders. For each account one replica, its owner, sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from app.broker.orders import OrderRequest
from app.broker.port import Broker, WireRequest
from app.db.leases import Leases
from app.errors import NotFound
from app.kit.supervisor import Supervisor
from app.orders.engine.account_engine import AccountEngine, TradingAccount
from app.orders.engine.activity_check import ActivityCheck
from app.orders.engine.egress_check import EgressCheck
from app.orders.engine.trading_status_writer import TradingStatusWriter
from app.orders.recovery.database_record import RecordStore
from app.orders.recovery.loss_check import LossCheck
from app.orders.state.counters import ReadCounters
from app.orders.state.last_prices import LastPrices
from app.orders.state.order_parts import OrderParts
from app.orders.state.wakeups import OrderWakeups, Wakeups


class Replicas(Protocol):
    """The other replicas of this service."""

    def send(self, account_id: str) -> None:
        """Notify them that a task or batch was stored for the account. Does not wait."""
        ...


class OrderEngine:
    """The engines of all accounts of this process."""

    def __init__(
        self,
        parts: OrderParts,
        *,
        accounts: Iterable[TradingAccount],
        wakeups: OrderWakeups,
        leases: Leases,
        replicas: Replicas,
        prices: LastPrices,
        records: Sequence[RecordStore],
    ) -> None:
        self.counters = parts.settlement.counters
        self._tagger = parts.tagger
        self._replicas = replicas
        served = {one.broker.account_id: one for one in accounts}
        self._loss_check = LossCheck(
            parts,
            accounts=list(served),
            stores=records,
            generations=leases.generations,
            on_loss=lambda account_id: wakeups.by_account[account_id].read_book(),
            books_read=self._books_read,
        )
        self._accounts = {
            account_id: AccountEngine(
                one,
                parts=parts,
                wakeups=wakeups.by_account[account_id],
                leases=leases,
                loss_check=self._loss_check,
                prices=prices,
            )
            for account_id, one in served.items()
        }
        self._activity = ActivityCheck(parts.database, owned=self._owned_wakeups, every_s=parts.settings.poll_s)
        self._statuses = TradingStatusWriter(
            parts.database, sending=self._sending_engines, settings=parts.settings, clock=parts.clock
        )

        self._egress = EgressCheck(parts, replica=leases.owner, engines=self._accounts, changed=self.changed)

    def start(self, supervisor: Supervisor) -> None:
        """Run the engines under the supervisor; nothing runs before."""
        for account_id, engine in self._accounts.items():
            supervisor.start(f"orders-{account_id}", engine.run())
        supervisor.start("orders-activity", self._activity.run())
        supervisor.start("orders-egress", self._egress.run())
        supervisor.start("orders-statuses", self._statuses.run())
        supervisor.start("database-comparison", self._loss_check.run())

    async def drain(self, *, timeout_s: float) -> bool:
        """Drain every account, see ``AccountEngine.drain``; returns False when some requests did not end in time."""
        await self._egress.leave()
        drained = [engine.drain(timeout_s=timeout_s) for engine in self._accounts.values()]
        return all(await asyncio.gather(*drained))

    def accepted(self, account_id: str, *, batch: bool) -> None:
        """Wake the account's loops after a task was stored, or a batch. Raises NotFound."""
        engine = self._engine(account_id)
        engine.wakeups.stored(batch=batch)
        if not engine.is_owner:
            self._replicas.send(account_id)

    def changed(self, account_id: str) -> None:
        """Wake loops and waiting clients, here and at the owner, after a change outside of the loops."""
        engine = self._accounts.get(account_id)
        if engine is None:
            return
        engine.wakeups.changed()
        if not engine.is_owner:
            self._replicas.send(account_id)

    def wakeups(self, account_id: str) -> Wakeups:
        """The account's wake-ups. Raises NotFound for an account that this service does not serve."""
        return self._engine(account_id).wakeups

    def broker(self, account_id: str) -> Broker:
        """The account's gateways at the broker. Raises NotFound."""
        return self._engine(account_id).broker

    def is_owner(self, account_id: str) -> bool:
        """Whether this replica sends the account's orders now. Raises NotFound."""
        return self._engine(account_id).is_owner

    def preview(self, account_id: str, request: OrderRequest) -> WireRequest:
        """The HTTP request that a placement of ``request`` would send, under a new tag. Raises NotFound."""
        return self._engine(account_id).broker.orders.preview(request, tag=f"{self._tagger.fresh()}1")

    def _engine(self, account_id: str) -> AccountEngine:
        engine = self._accounts.get(account_id)
        if engine is None:
            raise NotFound("account", account_id)
        return engine

    def _sending_engines(self) -> Mapping[str, AccountEngine]:
        return {account_id: engine for account_id, engine in self._accounts.items() if engine.sends}

    def _owned_wakeups(self) -> Mapping[str, Wakeups]:
        return {account_id: engine.wakeups for account_id, engine in self._accounts.items() if engine.is_owner}

    def _books_read(self) -> bool:
        """Whether this replica owns accounts, and has read the order book of each of them since it does."""
        owned = [engine for engine in self._accounts.values() if engine.is_owner]
        return bool(owned) and all(engine.book_was_read for engine in owned)

    def owned_accounts(self) -> int:
        """How many accounts this replica owns now."""
        return sum(engine.is_owner for engine in self._accounts.values())

    def breaker_states(self) -> Mapping[tuple[str, str], str]:
        """``closed``, ``open`` or ``probing``, by account and operation, of the accounts that this replica owns."""
        return {
            (account_id, str(operation)): state
            for account_id, engine in self._accounts.items()
            if engine.is_owner and engine.loops is not None
            for operation, state in engine.loops.breakers.states().items()
        }

    def read_counters(self) -> Mapping[str, ReadCounters]:
        """By account, what its reconciler in this process has counted."""
        return {account_id: engine.read_counters for account_id, engine in self._accounts.items()}
