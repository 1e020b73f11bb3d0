"""The order engine of all accounts. Any replica accepts orders; for each account one replica, its owner, sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from app.broker.orders import OrderRequest
from app.broker.port import Broker, CredentialSource, Governor, WireRequest
from app.db.leases import LeaseTimes
from app.db.postgres import Database
from app.errors import NotFound
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.kit.supervisor import Supervisor
from app.orders.engine.account_engine import AccountEngine, EngineParts
from app.orders.engine.activity_check import ActivityCheck
from app.orders.state.counters import OrderCounters, ReadCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.settlement import EventWriter, Settlement
from app.orders.state.tags import Tagger
from app.orders.state.wakeups import Wakeups


class OrderEngine:
    """Built by bootstrap with one entry per account; ``start`` hands the loops to the supervisor."""

    def __init__(
        self,
        *,
        database: Database,
        events: EventWriter,
        settings: EngineSettings,
        clock: Clock,
        ids: IdSource,
        tagger: Tagger,
        owner: str,
        on_change: Callable[[str], None],
        on_accept: Callable[[str], None],
        lease_times: LeaseTimes | None = None,
    ) -> None:
        self.counters = OrderCounters()
        self._parts = EngineParts(
            database=database,
            settlement=Settlement(events, counters=self.counters),
            counters=self.counters,
            settings=settings,
            clock=clock,
            ids=ids,
            tagger=tagger,
            tasks=TaskFactory(settings=settings, clock=clock, ids=ids, tagger=tagger),
            owner=owner,
            lease_times=lease_times or LeaseTimes(),
        )
        self._on_change = on_change
        self._on_accept = on_accept
        self._accounts: dict[str, AccountEngine] = {}
        self._watch = ActivityCheck(database, owned=self._owned_signals, every_s=settings.poll_s)

    def add(self, broker: Broker, *, governor: Governor, credentials: CredentialSource) -> None:
        """Make an account's engine; nothing runs before ``start``."""
        wakeups = Wakeups(broker.account_id, on_change=self._on_change)
        self._accounts[broker.account_id] = AccountEngine(
            broker, governor=governor, credentials=credentials, wakeups=wakeups, parts=self._parts
        )

    def start(self, supervisor: Supervisor) -> None:
        for account_id, engine in self._accounts.items():
            supervisor.start(f"orders-{account_id}", engine.run())
        supervisor.start("orders-watch", self._watch.run())

    async def drain(self, *, timeout_s: float) -> bool:
        """Send nothing more, wait for the answers under way, hand the leases over; False when some did not come."""
        drained = [engine.drain(timeout_s=timeout_s) for engine in self._accounts.values()]
        return all(await asyncio.gather(*drained))

    def accepted(self, account_id: str, *, batch: bool) -> None:
        """A task or a batch was stored: wake the sender here, and the owner if that is another replica."""
        engine = self._engine(account_id)
        engine.wakeups.stored(batch=batch)
        if not engine.is_owner:
            self._on_accept(account_id)

    def changed(self, account_id: str) -> None:
        """An operator or a client has settled or added tasks: wake whoever waits, here and at the owner."""
        engine = self._accounts.get(account_id)
        if engine is None:
            return
        engine.wakeups.changed()
        if not engine.is_owner:
            self._on_accept(account_id)

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
        return self._engine(account_id).broker.orders.preview(request, tag=f"{self._parts.tagger.fresh()}1")

    def _engine(self, account_id: str) -> AccountEngine:
        engine = self._accounts.get(account_id)
        if engine is None:
            raise NotFound("account", account_id)
        return engine

    def on_notice(self, account_id: str) -> None:
        """Another replica accepted something for this account; an empty name means any."""
        for engine in self._accounts.values():
            if account_id in {"", engine.broker.account_id}:
                engine.wakeups.stored(batch=True)

    def on_order_hint(self, account_id: str) -> None:
        """An order push or a postback arrived: something may have changed at the broker."""
        if account_id in self._accounts:
            self._accounts[account_id].wakeups.look()

    def on_feed_connected(self, account_id: str) -> None:
        """Pushes of the gap are lost: read the book."""
        self.on_order_hint(account_id)

    def on_session_changed(self, account_id: str) -> None:
        """A new login: held orders may go, and the book can be read again."""
        if account_id in self._accounts:
            self._accounts[account_id].wakeups.sender.set()
            self._accounts[account_id].wakeups.look()

    def _owned_signals(self) -> Mapping[str, Wakeups]:
        return {account_id: engine.wakeups for account_id, engine in self._accounts.items() if engine.is_owner}

    def owned_accounts(self) -> int:
        """Of how many accounts this replica sends the orders now."""
        return sum(engine.is_owner for engine in self._accounts.values())

    def breaker_states(self) -> Mapping[tuple[str, str], str]:
        """By account and operation, of the accounts that this replica sends for."""
        return {
            (account_id, str(operation)): state
            for account_id, engine in self._accounts.items()
            if engine.is_owner and engine.breakers is not None
            for operation, state in engine.breakers.states().items()
        }

    def read_counters(self) -> Mapping[str, ReadCounters]:
        return {account_id: engine.read_counters for account_id, engine in self._accounts.items()}
