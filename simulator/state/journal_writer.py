"""Writes every change of the exchange as a line of the journal."""

from collections.abc import Iterable

from simulator.exchange.accounts.portfolio import Portfolio
from simulator.exchange.accounts.users import Account, Accounts
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.ledger import Ledger
from simulator.exchange.orders.order import Order
from simulator.exchange.steps.atomic_step import Changes
from simulator.state.journal import Journal
from simulator.state.records import (
    VERSION,
    Commit,
    FillRecord,
    HoldingRecord,
    OrderRecord,
    PortfolioRecord,
    PositionRecord,
    SessionRecord,
    Snapshot,
)


class JournalWriter:
    """Attached to an exchange, it is called after each step and each change of an account."""

    def __init__(self, journal: Journal, *, exchange: Exchange, accounts: Accounts, seed: int) -> None:
        self._journal = journal
        self._exchange = exchange
        self._accounts = accounts
        self._seed = seed
        self._written: dict[str, tuple[int, int]] = {}
        """By order id: how many history rows and fills of the order are in the file."""

    def attach(self) -> None:
        """Starts writing. What the exchange has already must be in the file, or `begin_day` must follow."""
        for order in self._exchange.book.all_orders():
            self._written[order.order_id] = (len(order.history), len(order.trades))
        self._exchange.step.save = self.save
        self._exchange.days.on_day_start = self.begin_day
        self._accounts.on_change = self.save_session

    def begin_day(self) -> None:
        """Begins the day's file; its first line has the state at the start of the day."""
        parked = self._exchange.book.parked()
        self._journal.start(self._snapshot(parked))
        self._written = {order.order_id: (len(order.history), len(order.trades)) for order in parked}

    def save(self, changes: Changes) -> None:
        """Writes one step."""
        self._journal.append(
            Commit(
                id_counts=self._exchange.ids.counts,
                orders=tuple(self._order(order) for order in changes.orders.values()),
                conversions=tuple(changes.conversions),
                authorisations=tuple(changes.authorisations),
                triggers=tuple(changes.triggers.values()),
                alerts=tuple(changes.alerts.values()),
            )
        )

    def save_session(self, account: Account) -> None:
        """Writes the tokens and settings of an account."""
        self._journal.append(Commit(id_counts=self._exchange.ids.counts, sessions=(session_record(account),)))

    def _order(self, order: Order) -> OrderRecord:
        rows, fills = self._written.get(order.order_id, (0, 0))
        self._written[order.order_id] = (len(order.history), len(order.trades))
        if rows:
            return changed_order(order, rows=rows, fills=fills)
        return whole_order(order, self._exchange.ledger)

    def _snapshot(self, parked: Iterable[Order]) -> Snapshot:
        exchange = self._exchange
        waiting = {order.order_id for order in parked}
        past = [entry.order for entry in exchange.ledger.entries() if entry.order.order_id not in waiting]
        return Snapshot(
            version=VERSION,
            seed=self._seed,
            day=exchange.days.day,
            id_counts=exchange.ids.counts,
            portfolios=tuple(portfolio_record(user, each) for user, each in exchange.portfolios.items()),
            past=tuple(finished_order(order, exchange.ledger) for order in past),
            parked=tuple(whole_order(order, exchange.ledger) for order in parked),
            sessions=tuple(session_record(account) for account in self._accounts),
            triggers=tuple(exchange.triggers.all()),
            alerts=tuple(exchange.alerts.all()),
        )


def changed_order(order: Order, *, rows: int, fills: int) -> OrderRecord:
    """The order's history and fills after the first `rows` and `fills`, and the fields outside its history."""
    return OrderRecord(
        order_id=order.order_id,
        rows=tuple(order.history[rows:]),
        fills=tuple(
            FillRecord(trade.trade_id, trade.quantity, trade.price, trade.at) for trade in order.trades[fills:]
        ),
        modifications=order.modifications,
        hidden=order.hidden,
        tag_hidden=order.tag_hidden,
        excluded_from_matching=order.excluded_from_matching,
        shows_at=order.shows_at,
        enters_at=order.enters_at,
    )


def whole_order(order: Order, ledger: Ledger, *, rows: int = 0) -> OrderRecord:
    """All of an order, its history without the first `rows` rows."""
    record = changed_order(order, rows=rows, fills=0)
    return OrderRecord(
        **{name: getattr(record, name) for name in ("rows", "fills", "modifications", "hidden", "tag_hidden")},
        excluded_from_matching=order.excluded_from_matching,
        shows_at=order.shows_at,
        enters_at=order.enters_at,
        order_id=order.order_id,
        instrument=order.instrument,
        user_id=order.user_id,
        guid=order.guid,
        accepted_at=order.accepted_at,
        parent_order_id=order.parent_order_id,
        iceberg=order.iceberg,
        sent=dict(ledger.request_of(order)),
    )


def finished_order(order: Order, ledger: Ledger) -> OrderRecord:
    """An order of an earlier day, with the last row of its history only."""
    return whole_order(order, ledger, rows=len(order.history) - 1)


def session_record(account: Account) -> SessionRecord:
    """The tokens and settings of an account as they are."""
    return SessionRecord(
        user_id=account.user_id,
        postback_url=account.postback_url,
        tokens=dict(account.tokens),
        request_tokens=tuple(sorted(account.request_tokens)),
        refresh_tokens=tuple(sorted(account.refresh_tokens)),
        logins=account.logins,
        demat_consent=account.demat_consent,
    )


def portfolio_record(user_id: str, portfolio: Portfolio) -> PortfolioRecord:
    """The portfolio at the start of a day, before its first trade."""
    positions = portfolio.positions.values()
    return PortfolioRecord(
        user_id=user_id,
        cash={str(segment): cash for segment, cash in portfolio.cash.items()},
        positions=tuple(
            PositionRecord(each.instrument, each.product, each.quantity, each.open_price) for each in positions
        ),
        holdings=tuple(
            HoldingRecord(each.instrument, each.quantity, each.average_price, each.t1_quantity)
            for each in portfolio.holdings.values()
        ),
    )
