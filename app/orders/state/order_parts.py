"""What the classes of the order engine share, as one documented value in place of ten arguments each."""

from __future__ import annotations

from dataclasses import dataclass

from app.broker.port import Broker
from app.db.postgres import Database
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.orders.state.counters import ReadCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.last_prices import LastPrices
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.session_state import SessionState
from app.orders.state.settlement import Settlement
from app.orders.state.tags import Tagger
from app.orders.state.wakeups import Wakeups


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParts:
    """Shared by all classes of a process that store or change orders."""

    database: Database  # the pool that these classes use: that of the API, or that of the loops
    settlement: Settlement  # changes tasks and orders, with their events and counters
    settings: EngineSettings  # waits, windows and counts
    clock: Clock
    ids: IdSource  # ids of tasks, alarms and audit entries
    tagger: Tagger  # tags of placements
    tasks: TaskFactory  # makes the tasks that are stored


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts(OrderParts):
    """Shared by the loops of one account during one lease term."""

    broker: Broker  # the account's gateways
    term: LeaseTerm  # the lease under which the loops work, and whether the order book was read in it
    session: SessionState  # whether the broker accepts the account's token
    wakeups: Wakeups  # wakes the loops of the account
    read_counters: ReadCounters  # counts reads of the order book and what they found
    prices: LastPrices  # for orders that are sent only within a price

    @property
    def account_id(self) -> str:
        """The account that the loops send for."""
        return self.broker.account_id
