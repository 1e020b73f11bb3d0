"""What the classes of the order engine are made of: one documented value in place of ten arguments each."""

from __future__ import annotations

from dataclasses import dataclass

from app.broker.port import Broker
from app.db.postgres import Database
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.orders.state.counters import ReadCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.session_state import SessionState
from app.orders.state.settlement import Settlement
from app.orders.state.tags import Tagger
from app.orders.state.wakeups import Wakeups


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParts:
    """What everything that stores or changes orders shares within one process."""

    database: Database  # the pool that the holder works on: the API's, or the engine's own
    settlement: Settlement  # changes state, with its events and counters
    settings: EngineSettings  # waits, windows and counts
    clock: Clock
    ids: IdSource  # ids of tasks, alarms and audit entries
    tagger: Tagger  # tags of placements
    tasks: TaskFactory  # makes the tasks that are stored


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts(OrderParts):
    """What the loops of one account share during one lease term: ``OrderParts``, and what belongs to the account."""

    broker: Broker  # the account's gateways
    term: LeaseTerm  # the lease under which the loops work, and whether the order book was read in it
    session: SessionState  # whether the broker accepts the account's token
    wakeups: Wakeups  # which loop has something to do
    read_counters: ReadCounters  # reads of the order book and what they found

    @property
    def account_id(self) -> str:
        return self.broker.account_id
