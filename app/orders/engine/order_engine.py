"""The order engine of all accounts. Any replica accepts orders; for each account one replica, its owner, sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from app.broker.orders import OrderRequest
from app.broker.port import Broker, WireRequest
from app.db.leases import Leases
from app.errors import NotFound
from app.kit.supervisor import Supervisor
from app.orders.engine.account_engine import AccountEngine, TradingAccount
from app.orders.engine.activity_check import ActivityCheck
from app.orders.state.counters import ReadCounters
from app.orders.state.parts import OrderParts
from app.orders.state.wakeups import OrderWakeups, Wakeups


class Replicas(Protocol):
    """The other replicas of this service."""

    def send(self, account_id: str) -> None:
        """Say that something was stored for the account; returns at once."""
        ...


class OrderEngine:
    """One engine per account; ``start`` hands the loops to the supervisor, nothing runs before."""

    def __init__(
        self,
        parts: OrderParts,
        *,
        accounts: Iterable[TradingAccount],
        wakeups: OrderWakeups,
        leases: Leases,
        replicas: Replicas,
    ) -> None:
        self.counters = parts.settlement.counters
        self._tagger = parts.tagger
        self._replicas = replicas
        self._accounts = {
            one.broker.account_id: AccountEngine(
                one, parts=parts, wakeups=wakeups.by_account[one.broker.account_id], leases=leases
            )
            for one in accounts
        }
        self._activity = ActivityCheck(parts.database, owned=self._owned_wakeups, every_s=parts.settings.poll_s)

    def start(self, supervisor: Supervisor) -> None:
        for account_id, engine in self._accounts.items():
            supervisor.start(f"orders-{account_id}", engine.run())
        supervisor.start("orders-watch", self._activity.run())

    async def drain(self, *, timeout_s: float) -> bool:
        """Send nothing more, wait for the answers under way, hand the leases over; False when some did not come."""
        drained = [engine.drain(timeout_s=timeout_s) for engine in self._accounts.values()]
        return all(await asyncio.gather(*drained))

    def accepted(self, account_id: str, *, batch: bool) -> None:
        """A task or a batch was stored: wake the sender here, and the owner if that is another replica."""
        engine = self._engine(account_id)
        engine.wakeups.stored(batch=batch)
        if not engine.is_owner:
            self._replicas.send(account_id)

    def changed(self, account_id: str) -> None:
        """An operator or a client has settled or added tasks: wake whoever waits, here and at the owner."""
        engine = self._accounts.get(account_id)
        if engine is None:
            return
        engine.wakeups.changed()
        if not engine.is_owner:
            self._replicas.send(account_id)

    def wakeups(self, account_id: str) -> Wakeups:
        """Raises NotFound for an account that this service does not serve."""
        return self._engine(account_id).wakeups

    def broker(self, account_id: str) -> Broker:
        """Raises NotFound."""
        return self._engine(account_id).broker

    def is_owner(self, account_id: str) -> bool:
        """Whether this replica sends the account's orders now. Raises NotFound."""
        return self._engine(account_id).is_owner

    def preview(self, account_id: str, request: OrderRequest) -> WireRequest:
        """What would be sent for ``request``, under a tag that nothing else has. Raises NotFound."""
        return self._engine(account_id).broker.orders.preview(request, tag=f"{self._tagger.fresh()}1")

    def _engine(self, account_id: str) -> AccountEngine:
        engine = self._accounts.get(account_id)
        if engine is None:
            raise NotFound("account", account_id)
        return engine

    def _owned_wakeups(self) -> Mapping[str, Wakeups]:
        return {account_id: engine.wakeups for account_id, engine in self._accounts.items() if engine.is_owner}

    def owned_accounts(self) -> int:
        """Of how many accounts this replica sends the orders now."""
        return sum(engine.is_owner for engine in self._accounts.values())

    def breaker_states(self) -> Mapping[tuple[str, str], str]:
        """By account and operation, of the accounts that this replica sends for."""
        return {
            (account_id, str(operation)): state
            for account_id, engine in self._accounts.items()
            if engine.is_owner and engine.loops is not None
            for operation, state in engine.loops.breakers.states().items()
        }

    def read_counters(self) -> Mapping[str, ReadCounters]:
        return {account_id: engine.read_counters for account_id, engine in self._accounts.items()}
