"""The order engine of all accounts: for each one a sender, a reconciler and a batch runner, and what wakes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.broker.orders import OrderRequest
from app.broker.port import Broker, CredentialSource, Governor, WireRequest
from app.db.postgres import Database
from app.errors import NotFound
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.kit.supervisor import Supervisor
from app.orders.batch_runner import BatchRunner
from app.orders.gate import SessionGate
from app.orders.reconciler import ReadStats, Reconciler
from app.orders.rules import OrderRules
from app.orders.sender import Sender
from app.orders.settlement import EventWriter, Settlement
from app.orders.signals import Signals
from app.orders.tags import Tagger


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEngine:
    """One account's loops."""

    broker: Broker
    signals: Signals
    sender: Sender
    reconciler: Reconciler
    batches: BatchRunner


class OrderEngine:
    """Built by bootstrap with one entry per account; ``start`` hands the loops to the supervisor."""

    def __init__(
        self,
        *,
        database: Database,
        events: EventWriter,
        rules: OrderRules,
        clock: Clock,
        ids: IdSource,
        tagger: Tagger,
        owner: str,
        on_change: Callable[[str], None],
    ) -> None:
        self._database = database
        self._settlement = Settlement(events)
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._tagger = tagger
        self._owner = owner
        self._on_change = on_change
        self._accounts: dict[str, AccountEngine] = {}

    def add(self, broker: Broker, *, governor: Governor, credentials: CredentialSource) -> None:
        """Make an account's loops; nothing runs before ``start``."""
        signals = Signals(broker.account_id, on_change=self._on_change)
        gate = SessionGate(credentials, clock=self._clock)
        sender = Sender(
            broker.account_id,
            owner=self._owner,
            database=self._database,
            gateway=broker.orders,
            governor=governor,
            settlement=self._settlement,
            gate=gate,
            signals=signals,
            rules=self._rules,
            clock=self._clock,
        )
        reconciler = Reconciler(
            broker.account_id,
            database=self._database,
            gateway=broker.orders,
            settlement=self._settlement,
            signals=signals,
            rules=self._rules,
            clock=self._clock,
            ids=self._ids,
            deployment=self._tagger.deployment,
            gate=gate,
        )
        batches = BatchRunner(
            broker.account_id,
            database=self._database,
            portfolio=broker.portfolio,
            settlement=self._settlement,
            signals=signals,
            rules=self._rules,
            clock=self._clock,
            ids=self._ids,
            tagger=self._tagger,
        )
        self._accounts[broker.account_id] = AccountEngine(
            broker=broker, signals=signals, sender=sender, reconciler=reconciler, batches=batches
        )

    def start(self, supervisor: Supervisor) -> None:
        for account_id, engine in self._accounts.items():
            supervisor.start(f"orders-sender-{account_id}", engine.sender.run())
            supervisor.start(f"orders-reconciler-{account_id}", engine.reconciler.run())
            supervisor.start(f"orders-batches-{account_id}", engine.batches.run())

    async def drain(self, *, timeout_s: float) -> bool:
        """Send nothing more and wait for the answers that are under way; False when some did not come in time."""
        finished = True
        deadline = self._clock.monotonic() + timeout_s
        for engine in self._accounts.values():
            left = max(0.0, deadline - self._clock.monotonic())
            finished &= await engine.sender.drain(timeout_s=left)
        return finished

    def signals(self, account_id: str) -> Signals:
        """Raises NotFound for an account that this service does not serve."""
        return self._engine(account_id).signals

    def broker(self, account_id: str) -> Broker:
        """Raises NotFound."""
        return self._engine(account_id).broker

    def preview(self, account_id: str, request: OrderRequest) -> WireRequest:
        """What would be sent for ``request``, under a tag that nothing else has. Raises NotFound."""
        return self._engine(account_id).broker.orders.preview(request, tag=f"{self._tagger.fresh()}1")

    def _engine(self, account_id: str) -> AccountEngine:
        engine = self._accounts.get(account_id)
        if engine is None:
            raise NotFound("account", account_id)
        return engine

    def on_order_hint(self, account_id: str) -> None:
        """An order push or a postback arrived: something may have changed at the broker."""
        if account_id in self._accounts:
            self._accounts[account_id].signals.look()

    def on_feed_connected(self, account_id: str) -> None:
        """Pushes of the gap are lost: read the book."""
        self.on_order_hint(account_id)

    def on_session_changed(self, account_id: str) -> None:
        """A new login: held orders may go, and the book can be read again."""
        if account_id in self._accounts:
            self._accounts[account_id].signals.sender.set()
            self._accounts[account_id].signals.look()

    def stats(self) -> Mapping[str, ReadStats]:
        return {account_id: engine.reconciler.stats for account_id, engine in self._accounts.items()}
