"""Restores an exchange from the lines of its journal."""

from collections.abc import Iterable

from simulator.exchange.accounts.portfolio import Holding, Portfolio
from simulator.exchange.accounts.positions import Position
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.order import HistoryRow, Order, Trade
from simulator.state.journal import JournalError, Saved
from simulator.state.records import Commit, FillRecord, OrderRecord, PortfolioRecord, SessionRecord, Snapshot


class Restorer:
    """Applies records to an exchange that has no orders yet."""

    def __init__(self, *, exchange: Exchange, accounts: Accounts) -> None:
        self._exchange = exchange
        self._accounts = accounts
        self._orders: dict[str, Order] = {}

    def restore(self, saved: Saved) -> None:
        """Applies the whole content of a journal. Raises JournalError for an order or account that is unknown."""
        self._begin(saved.snapshot)
        for commit in saved.commits:
            self._apply(commit)
        last = saved.commits[-1].id_counts if saved.commits else saved.snapshot.id_counts
        self._exchange.ids.counts = last

    def _begin(self, snapshot: Snapshot) -> None:
        for record in snapshot.past:
            order = create_order(record)
            order.filled_value = order.history[-1].average_price * order.filled_quantity
            self._exchange.ledger.record(order, request=record.sent or {})
        for record in snapshot.parked:
            self._update_order(record)
        for portfolio in snapshot.portfolios:
            if portfolio.user_id not in self._exchange.portfolios:
                count = len(snapshot.portfolios)
                raise JournalError(f"the kept state has {count} accounts; start with --accounts {count} or more")
            self._exchange.portfolios[portfolio.user_id] = create_portfolio(portfolio)
        self._restore_sessions(snapshot.sessions)
        self._restore_triggers(snapshot)
        self._exchange.days.resume(snapshot.day)

    def _apply(self, commit: Commit) -> None:
        fills: list[tuple[Order, FillRecord]] = []
        for record in commit.orders:
            order = self._update_order(record)
            fills += [(order, fill) for fill in record.fills]
        for order, fill in sorted(fills, key=lambda pair: int(pair[1].trade_id)):
            trade = create_trade(order, fill)
            order.trades.append(trade)
            order.filled_value += trade.quantity * trade.price
            self._exchange.portfolios[order.user_id].book(trade)
        for conversion in commit.conversions:
            self._exchange.portfolios[conversion.user_id].convert(conversion)
        for authorisation in commit.authorisations:
            self._exchange.portfolios[authorisation.user_id].authorise(authorisation)
        self._restore_sessions(commit.sessions)
        self._restore_triggers(commit)

    def _update_order(self, record: OrderRecord) -> Order:
        order = self._orders.get(record.order_id)
        if order is None:
            order = create_order(record)
            self._orders[record.order_id] = order
            self._exchange.acceptance.record(order, record.sent or {})
        else:
            order.history.extend(record.rows)
        update_fields(order, record)
        self._exchange.book.track(order)
        return order

    def _restore_triggers(self, record: Snapshot | Commit) -> None:
        for trigger in record.triggers:
            self._exchange.triggers.put(trigger)
        for alert in record.alerts:
            self._exchange.alerts.put(alert)

    def _restore_sessions(self, records: Iterable[SessionRecord]) -> None:
        for record in records:
            account = self._accounts.get(record.user_id)
            if account is None:
                continue
            account.postback_url = record.postback_url
            account.tokens = dict(record.tokens)
            account.request_tokens = set(record.request_tokens)
            account.refresh_tokens = set(record.refresh_tokens)
            account.logins = record.logins
            account.demat_consent = record.demat_consent


def create_order(record: OrderRecord) -> Order:
    """The order of a first record. Raises JournalError for any other."""
    if record.instrument is None or record.accepted_at is None or not record.rows:
        raise JournalError(f"the journal names order {record.order_id} before it was accepted")
    order = Order(
        order_id=record.order_id,
        user_id=record.user_id,
        instrument=record.instrument,
        request=record.rows[0].request,
        accepted_at=record.accepted_at,
        guid=record.guid,
        parent_order_id=record.parent_order_id,
        iceberg=record.iceberg,
    )
    order.history = list(record.rows)
    update_fields(order, record)
    return order


def update_fields(order: Order, record: OrderRecord) -> None:
    """Sets the order's fields from the record's last row and from the record itself."""
    if record.rows:
        copy_row(order, record.rows[-1])
    order.modifications = record.modifications
    order.hidden, order.tag_hidden = record.hidden, record.tag_hidden
    order.excluded_from_matching = record.excluded_from_matching
    order.shows_at, order.enters_at = record.shows_at, record.enters_at


def copy_row(order: Order, row: HistoryRow) -> None:
    """Sets the order's fields from a row of its history."""
    order.status, order.request, order.order_timestamp = row.status, row.request, row.order_timestamp
    order.exchange_order_id = row.exchange_order_id
    order.exchange_timestamp, order.exchange_update_timestamp = row.exchange_timestamp, row.exchange_update_timestamp
    order.status_message, order.status_message_raw = row.status_message, row.status_message_raw
    order.filled_quantity, order.cancelled_quantity = row.filled_quantity, row.cancelled_quantity


def create_trade(order: Order, fill: FillRecord) -> Trade:
    """The trade of a fill of `order`."""
    return Trade(
        trade_id=fill.trade_id,
        order_id=order.order_id,
        exchange_order_id=order.exchange_order_id or "",
        instrument=order.instrument,
        product=order.request.product,
        transaction_type=order.request.transaction_type,
        quantity=fill.quantity,
        price=fill.price,
        at=fill.at,
    )


def create_portfolio(record: PortfolioRecord) -> Portfolio:
    """The portfolio at the start of the day."""
    return Portfolio(
        cash={"equity": record.cash["equity"], "commodity": record.cash["commodity"]},
        holdings=[
            Holding(each.instrument, each.quantity, each.average_price, each.t1_quantity) for each in record.holdings
        ],
        positions=[
            Position.carried(each.instrument, each.product, quantity=each.quantity, price=each.price)
            for each in record.positions
        ],
    )
