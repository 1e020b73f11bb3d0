"""What is always true of the exchange, under any sequence of requests, quotes, control commands and restarts.

The machine compares it with a reference: every order as it was last seen, and positions summed up from trades.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulator.errors import KiteError
from simulator.exchange.accounts.positions import Conversion
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.order import HistoryRow, Order
from simulator.exchange.orders.order_faults import OrderFaults
from simulator.exchange.orders.rows import book_rows
from simulator.exchange.orders.status import TRANSITIONS
from simulator.exchange.orders.units import fund_segment
from simulator.state.journal import Journal
from simulator.state.persistence import persist_exchange
from tests.unit.simulator.exchange.environment import OTHER_USER, START, USER, ManualClock, ReusableMarket, order_params

USERS = (USER, OTHER_USER)
PRICES = tuple(Decimal(price) / 20 for price in range(29_000, 31_001, 100))
users = st.sampled_from(USERS)
prices = st.sampled_from(PRICES)
quantities = st.integers(1, 300)
faults = st.sampled_from(
    [
        OrderFaults(),
        OrderFaults(),
        OrderFaults(),
        OrderFaults(fill_at_most=3),
        OrderFaults(refusal="no"),
        OrderFaults(stuck_status="OPEN PENDING"),
    ]
)
CASH = Decimal(400_000)


def refusal(action: Callable[[], object]) -> KiteError | None:
    """The error of a refused action, or None."""
    try:
        action()
    except KiteError as error:
        return error
    return None


class ExchangeMachine(RuleBasedStateMachine):
    """One instrument, two accounts with little money, a journal in a directory."""

    market = ReusableMarket()

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.seen: dict[str, tuple[str, int, int]] = {}
        self.carried: Counter[tuple[str, str]] = Counter()
        self.pushed: list[tuple[str, str]] = []
        self.open()
        self.set_quote(Decimal(1500), 50)

    def open(self) -> None:
        """Opens an exchange on the directory, as a process does at its start."""
        self.market.forget_exchange()
        accounts = Accounts(2, seed=1, started_at=START, session_end="never")
        self.exchange = Exchange(
            market=self.market,
            accounts=accounts,
            now=self.clock.now,
            seed=1,
            opening_cash=CASH,
            notify=self.notify,
            call_later=lambda _delay, _action: None,
        )
        self.journal: Journal = persist_exchange(
            Path(self.directory.name), exchange=self.exchange, accounts=accounts, seed=1, now=self.clock.now
        )
        self.token = self.exchange.instrument("NSE", "INFY").instrument_token

    def notify(self, order: Order, *, state: HistoryRow, as_status: str, audience: str) -> None:
        assert state in order.history or state.order_timestamp == order.order_timestamp, audience
        self.pushed.append((order.order_id, as_status))

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.directory.cleanup()

    def orders(self, user_id: str) -> list[Order]:
        return list(self.exchange.book.of_user(user_id))

    def some_order(self, data: st.DataObject) -> Order | None:
        everyone = [order for user_id in USERS for order in self.orders(user_id)]
        return data.draw(st.sampled_from(everyone)) if everyone else None

    @rule(
        user_id=users,
        variety=st.sampled_from(["regular", "regular", "regular", "iceberg", "co", "amo", "auction"]),
        side=st.sampled_from(["BUY", "SELL"]),
        product=st.sampled_from(["MIS", "CNC", "MTF"]),
        order_type=st.sampled_from(["LIMIT", "LIMIT", "MARKET", "SL", "SL-M"]),
        quantity=quantities,
        price=prices,
        trigger=prices,
        validity=st.sampled_from(["DAY", "DAY", "IOC", "TTL"]),
        quirk=faults,
    )
    def place(self, user_id: str, variety: str, quirk: OrderFaults, **form: Any) -> None:
        fields = {
            "transaction_type": form["side"],
            "product": form["product"],
            "order_type": form["order_type"],
            "quantity": form["quantity"],
            "price": form["price"],
            "trigger_price": form["trigger"] if variety == "co" or form["order_type"].startswith("SL") else None,
            "validity": form["validity"],
            "validity_ttl": 1 if form["validity"] == "TTL" else None,
            "market_protection": -1,
            "iceberg_legs": 3 if variety == "iceberg" else None,
            "auction_number": "14",
        }
        before = len(self.exchange.ledger)
        error = refusal(lambda: self.exchange.place(user_id, variety, order_params(**fields), quirk))
        assert error is None or error.status == 400
        assert (len(self.exchange.ledger) == before) == (error is not None)

    @rule(data=st.data(), price=prices, quantity=quantities)
    def modify(self, data: st.DataObject, price: Decimal, quantity: int) -> None:
        order = self.some_order(data)
        if order is None:
            return
        changes = {"price": str(price), "quantity": str(quantity)}
        variety = order.request.variety
        error = refusal(lambda: self.exchange.modify(order.user_id, variety, order.order_id, changes))
        assert error is None or error.status in (400, 429)

    @rule(data=st.data(), race=st.sampled_from(["cancel_wins", "fill_wins"]))
    def cancel(self, data: st.DataObject, race: Any) -> None:
        order = self.some_order(data)
        if order is None:
            return
        variety, quirk = order.request.variety, OrderFaults(cancel_race=race)
        error = refusal(lambda: self.exchange.cancel(order.user_id, variety, order.order_id, quirk))
        assert error is None or error.status == 400

    @rule(price=prices, liquidity=st.integers(0, 200))
    def set_quote(self, price: Decimal, liquidity: int) -> None:
        self.exchange.engine.renew_liquidity(self.token)
        self.market.set_price(self.token, price, frozen=True, liquidity=liquidity)

    @rule(data=st.data(), quantity=quantities)
    def fill_by_hand(self, data: st.DataObject, quantity: int) -> None:
        order = self.some_order(data)
        if order is not None:
            error = refusal(lambda: self.exchange.engine.force_fill(order, quantity))
            assert error is None or "cannot fill" in error.message

    @rule(minutes=st.integers(1, 3))
    def pass_time(self, minutes: int) -> None:
        self.clock.advance(minutes * 60)
        self.exchange.pass_time()

    @rule(user_id=users, quantity=st.integers(1, 20), side=st.sampled_from(["BUY", "SELL"]))
    def convert(self, user_id: str, quantity: int, side: Any) -> None:
        instrument = self.exchange.instrument("NSE", "INFY")
        conversion = Conversion(user_id, instrument, side, quantity, "MIS", "MTF", overnight=False)
        error = refusal(lambda: self.exchange.convert(conversion))
        assert error is None or "more than the open position" in error.message
        if error is None:
            signed = quantity if side == "BUY" else -quantity
            self.carried[(user_id, "MIS")] -= signed
            self.carried[(user_id, "MTF")] += signed

    @precondition(lambda self: len(self.seen) > 0)
    @rule()
    def restart(self) -> None:
        """The process is killed, and another one restores its journal."""
        before = self.picture()
        self.journal.close()
        self.open()
        assert self.picture() == before

    def picture(self) -> object:
        now = self.clock.now()
        return {
            user_id: (
                book_rows(self.orders(user_id), now=now),
                [[(row.status, row.at) for row in order.history] for order in self.orders(user_id)],
                self.exchange.portfolios[user_id].positions,
                self.exchange.portfolios[user_id].funds(self.exchange.unfilled_orders(user_id), segment="equity"),
                [(entry.seq, entry.order.order_id, entry.request) for entry in self.exchange.ledger.entries()],
            )
            for user_id in USERS
        }

    @invariant()
    def quantities_conserve(self) -> None:
        """The filled quantity is the sum of the trades and never decreases; a finished order never changes."""
        for user_id in USERS:
            for order in self.orders(user_id):
                assert order.filled_quantity == sum(trade.quantity for trade in order.trades)
                assert 0 <= order.filled_quantity <= order.request.quantity
                if order.status not in ("REJECTED", "CANCELLED"):
                    assert order.filled_quantity + order.pending_quantity == order.request.quantity
                now = (order.status, order.filled_quantity, len(order.history))
                status, filled, rows = self.seen.get(order.order_id, now)
                assert order.filled_quantity >= filled
                assert len(order.history) >= rows
                if not TRANSITIONS[status]:
                    assert (order.status, order.filled_quantity, len(order.history)) == (status, filled, rows)
                self.seen[order.order_id] = now

    @invariant()
    def statuses_follow_the_table(self) -> None:
        """The statuses follow the table, and times never go back."""
        for user_id in USERS:
            for order in self.orders(user_id):
                statuses = [row.status for row in order.history]
                assert all(after in TRANSITIONS[before] for before, after in pairwise(statuses))
                assert statuses[-1] == order.status
                assert all(one.at <= other.at for one, other in pairwise(order.history))

    @invariant()
    def positions_are_the_sum_of_trades(self) -> None:
        for user_id in USERS:
            total = Counter({key[1]: quantity for key, quantity in self.carried.items() if key[0] == user_id})
            for order in self.orders(user_id):
                for trade in order.trades:
                    total[trade.product] += trade.quantity if trade.transaction_type == "BUY" else -trade.quantity
            held = {key[2]: each.quantity for key, each in self.exchange.portfolios[user_id].positions.items()}
            assert {product: quantity for product, quantity in total.items() if quantity} == {
                product: quantity for product, quantity in held.items() if quantity
            }

    @invariant()
    def trades_keep_the_limit(self) -> None:
        """Trades have unique ids."""
        pairs = [(order, trade) for user_id in USERS for order in self.orders(user_id) for trade in order.trades]
        assert len({trade.trade_id for _, trade in pairs}) == len(pairs)
        for order, trade in pairs:
            limit = max(row.request.price for row in order.history)
            if trade.transaction_type == "BUY" and limit:
                assert trade.price <= limit

    @invariant()
    def the_ledger_is_the_book(self) -> None:
        """The ledger has every order of the book once, in order of acceptance, and no other."""
        entries = self.exchange.ledger.entries()
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert {entry.order.order_id for entry in entries} == {
            order.order_id for user_id in USERS for order in self.orders(user_id)
        }
        ids = [int(entry.order.order_id) for entry in entries]
        assert ids == sorted(set(ids))

    @invariant()
    def money_is_short_only_for_a_reason(self) -> None:
        """Orders never block more than the funds; funds below zero have one of the known reasons."""
        for user_id in USERS:
            portfolio = self.exchange.portfolios[user_id]
            orders = self.exchange.unfilled_orders(user_id)
            if portfolio.available(orders, segment="equity") >= 0:
                continue
            assert self.reason_for_shortfall(user_id), "available below zero without a reason"

    def reason_for_shortfall(self, user_id: str) -> bool:
        """A loss, a sale above the limit that was blocked for, or a conversion to a product with a higher margin."""
        lost = self.exchange.portfolios[user_id].realised("equity") < 0
        converted = any(quantity for key, quantity in self.carried.items() if key[0] == user_id)
        dearer = any(
            trade.transaction_type == "SELL" and trade.price > order.history[0].request.price
            for order in self.orders(user_id)
            for trade in order.trades
        )
        return lost or converted or dearer


ExchangeMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestExchange = ExchangeMachine.TestCase


def test_the_segment_of_the_machine_is_equity() -> None:
    """The machine checks the equity funds only."""
    assert fund_segment(ExchangeMachine.market.find("NSE", "INFY")) == "equity"  # type: ignore[arg-type]
